//! Making an authority, and opening one.

use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ED25519};
use wire::{Identity, Kind, Name, Secret, TrustDomain};

use super::{Authority, OWN_DEVICE, crypto};
use crate::audit_key::{self, AuditKey};
use crate::certificates::{LoadError, Signer, SubjectKey, p256_key};
use crate::error::{IssueError, StateError};
use crate::files;
use crate::journal::{self, Journal};
use crate::records::{self, CertificateRow, Terms};
use crate::state::{
    self, AUDIT_KEY, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, Description, GUARD_CERTIFICATE,
    GUARD_KEY, Holds, JOURNAL, MARK, STATE, STORE, TOKEN_KEY,
};
use crate::store::{self, Store, mark};

impl Authority {
    /// Makes a new authority where there is nothing yet, or an empty directory. The trust
    /// domain is `GUARD.internal` unless given.
    ///
    /// # Errors
    /// [`StateError::Exists`] when there is something; others when it cannot be written.
    /// Nothing is left behind then.
    pub fn init(
        path: &Path,
        domain: Option<TrustDomain>,
        guard: &Name,
    ) -> Result<Self, StateError> {
        let domain = match domain {
            Some(domain) => domain,
            None => format!("{guard}.internal")
                .parse()
                .map_err(|e| crypto("name the trust domain", e))?,
        };
        state::make(path, |directory| {
            fill(directory, &domain, guard, Timestamp::now())
        })?;
        Self::load(path, domain, guard.clone())
    }

    pub(crate) fn load(path: &Path, domain: TrustDomain, guard: Name) -> Result<Self, StateError> {
        let file = |name| path.join(name);
        let damaged = |name: &str, why: String| StateError::Damaged {
            path: path.join(name),
            why,
        };
        // All of them first, so that what is missing is named before what is wrong.
        for (name, what) in FILES {
            files::check_file(&file(name), what)?;
        }
        for (name, what) in [
            ("store.db-wal", store::WHAT),
            ("store.db-shm", store::WHAT),
            (MARK, mark::WHAT),
        ] {
            match files::check_file(&file(name), what) {
                Ok(()) | Err(StateError::Missing { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        let key = files::read(&file(AUTHORITY_KEY), what(AUTHORITY_KEY))?;
        let certificate = files::read(&file(AUTHORITY_CERTIFICATE), what(AUTHORITY_CERTIFICATE))?;
        let signer = Signer::load(&key, certificate.expose()).map_err(|e| match e {
            LoadError::Key(why) => damaged(AUTHORITY_KEY, why),
            LoadError::Certificate(why) => damaged(AUTHORITY_CERTIFICATE, why),
        })?;
        if signer.domain != domain {
            return Err(damaged(
                STATE,
                format!(
                    "it names the trust domain {domain}, and the authority's certificate {}",
                    signer.domain
                ),
            ));
        }
        let token_pem = files::read(&file(TOKEN_KEY), what(TOKEN_KEY))?;
        let token_pair = KeyPair::from_pkcs8_pem_and_sign_algo(token_pem.expose(), &PKCS_ED25519)
            .map_err(|_| {
            damaged(
                TOKEN_KEY,
                "it is not an Ed25519 key in PKCS #8 and PEM".into(),
            )
        })?;
        AuditKey::load(path)?;
        Ok(Self {
            guard: Identity::new(domain, Kind::Guard, guard),
            signer,
            token_key: EncodingKey::from_ed_der(token_pair.serialized_der()),
            token_public: token_pair.public_key_pem(),
            store: Store::open(file(STORE), Journal::new(file(JOURNAL)))?,
            path: path.into(),
            renewing: Mutex::new(()),
        })
    }
}

/// The files of an authority, each with what it is. `state.toml` has been read by then.
pub(crate) const FILES: [(&str, &str); 8] = [
    (AUTHORITY_KEY, "the authority's private key"),
    (AUTHORITY_CERTIFICATE, "the authority's certificate"),
    (TOKEN_KEY, "the private key that signs tokens"),
    (GUARD_KEY, "the guard's private key"),
    (GUARD_CERTIFICATE, "the guard's certificate"),
    (AUDIT_KEY, audit_key::WHAT),
    (STORE, store::WHAT),
    (JOURNAL, journal::WHAT),
];

pub(super) fn what(name: &str) -> &'static str {
    FILES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("a file of the authority", |(_, what)| what)
}

/// Writes the files of a new authority.
fn fill(
    directory: &Path,
    domain: &TrustDomain,
    guard: &Name,
    now: Timestamp,
) -> Result<(), StateError> {
    let write =
        |name: &str, content: &str| files::create(&directory.join(name), content.as_bytes());
    let (key, certificate) =
        Signer::create(domain, now).map_err(|e| crypto("make the authority", e))?;
    let signer = Signer::load(&key, &certificate).map_err(|e| match e {
        LoadError::Key(why) | LoadError::Certificate(why) => crypto("make the authority", why),
    })?;
    write(AUTHORITY_KEY, key.expose())?;
    write(AUTHORITY_CERTIFICATE, &certificate)?;

    let token = KeyPair::generate_for(&PKCS_ED25519)
        .map(|pair| Secret::new(pair.serialize_pem()))
        .map_err(|e| crypto("make the token key", e))?;
    write(TOKEN_KEY, token.expose())?;

    let identity = Identity::new(domain.clone(), Kind::Guard, guard.clone());
    let guard_key = wire::keypair::generate()
        .map_err(|e| crypto("make the guard's key", e))?
        .pem;
    let signed = p256_key(&guard_key)
        .and_then(|pair| SubjectKey::from_pair(&pair))
        .and_then(|key| signer.sign(&key, &identity, now))
        .map_err(|e| crypto("issue the guard's certificate", e))?;
    write(GUARD_KEY, guard_key.expose())?;
    write(GUARD_CERTIFICATE, &signed.pem)?;
    audit_key::create(directory)?;

    write(JOURNAL, "")?;
    store::create(&directory.join(STORE))?;
    let store = Store::open(directory.join(STORE), Journal::new(directory.join(JOURNAL)))?;
    store
        .write(|transaction| {
            let sequence = store::advance(transaction)?;
            records::put_grant(
                transaction,
                &identity,
                &Terms::none(),
                sequence,
                sequence,
                now,
            )?;
            let row = CertificateRow::new(&signed, sequence, OWN_DEVICE, now);
            Ok(records::add_certificate(transaction, &row)?)
        })
        .map_err(IssueError::into_state)?;
    drop(store);

    let description = Description::new(Holds::Authority {
        trust_domain: domain.clone(),
        guard: guard.clone(),
    });
    write(STATE, &description.to_toml())
}
