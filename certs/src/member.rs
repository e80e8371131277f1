//! A guard that joined another guard's authority: it holds its own keys and nothing that
//! could sign certificates or tokens.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wire::enrolment::Issued;
use wire::leaf::{Leaf, Usage};
use wire::{Identity, Kind, Secret, TrustDomain};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::audit_key::{self, AuditKey};
use crate::authority::{GuardCredentials, crypto};
use crate::certificates::{self, SubjectKey, p256_key};
use crate::error::StateError;
use crate::files;
use crate::state::{
    self, AUTHORITY_CERTIFICATE, Description, GUARD_CERTIFICATE, GUARD_KEY, Holds, STATE,
    TOKEN_PUBLIC,
};

const WHAT_KEY: &str = "this guard's private key";
const WHAT_CERTIFICATE: &str = "this guard's certificate";

/// An open state directory of a guard that joined.
#[derive(Debug)]
pub struct Member {
    path: PathBuf,
    guard: Identity,
    authority: CertificateDer<'static>,
    authority_pem: String,
    token_public: String,
    authority_guard: Identity,
    authority_address: String,
}

impl Member {
    /// Writes what joining brought, where there is nothing yet, or an empty directory.
    ///
    /// # Errors
    /// [`StateError::Exists`] when there is something; [`StateError::Crypto`] when what
    /// was issued does not fit together.
    pub fn create(
        path: &Path,
        key_pem: &Secret<String>,
        issued: &Issued,
        authority_guard: &Identity,
        authority_address: &str,
    ) -> Result<Self, StateError> {
        let lacks = |what: &str| crypto("use what was issued", format!("it lacks {what}"));
        let certificate = issued
            .certificate
            .as_deref()
            .ok_or_else(|| lacks("a certificate"))?;
        let token_key = issued
            .token_key
            .as_deref()
            .ok_or_else(|| lacks("the key of tokens"))?;
        let description = Description::new(Holds::Member {
            authority_guard: authority_guard.clone(),
            authority_address: authority_address.into(),
        });
        state::make(path, |directory| {
            for (name, content) in [
                (GUARD_KEY, key_pem.expose().as_str()),
                (GUARD_CERTIFICATE, certificate),
                (AUTHORITY_CERTIFICATE, &issued.authority),
                (TOKEN_PUBLIC, token_key),
                (STATE, &description.to_toml()),
            ] {
                files::create(&directory.join(name), content.as_bytes())?;
            }
            audit_key::create(directory)?;
            // What cannot be opened must not get the state directory's name.
            Self::load(
                directory,
                authority_guard.clone(),
                authority_address.to_owned(),
            )
            .map(drop)
        })?;
        Self::load(path, authority_guard.clone(), authority_address.to_owned())
    }

    pub(crate) fn load(
        path: &Path,
        authority_guard: Identity,
        authority_address: String,
    ) -> Result<Self, StateError> {
        let file = |name: &str| path.join(name);
        let damaged = |name: &str, why: &str| StateError::Damaged {
            path: path.join(name),
            why: why.into(),
        };
        let authority_pem =
            files::read(&file(AUTHORITY_CERTIFICATE), "the authority's certificate")?;
        let token_public = files::read(&file(TOKEN_PUBLIC), "the public key of tokens")?;
        let key = files::read(&file(GUARD_KEY), WHAT_KEY)?;
        let pem = files::read(&file(GUARD_CERTIFICATE), WHAT_CERTIFICATE)?;
        AuditKey::load(path)?;

        let authority = CertificateDer::from_pem_slice(authority_pem.expose().as_bytes())
            .map_err(|_| damaged(AUTHORITY_CERTIFICATE, "it is not a certificate in PEM"))?;
        let domain = X509Certificate::from_der(&authority)
            .ok()
            .filter(|(_, certificate)| certificate.is_ca())
            .and_then(|(_, certificate)| certificates::trust_domain(&certificate))
            .ok_or_else(|| {
                damaged(
                    AUTHORITY_CERTIFICATE,
                    "it is not an authority's certificate",
                )
            })?;
        if !token_public.expose().contains("-----BEGIN PUBLIC KEY-----") {
            return Err(damaged(TOKEN_PUBLIC, "it is not a public key in PEM"));
        }
        let (_, leaf) = read_leaf(pem.expose()).map_err(|why| damaged(GUARD_CERTIFICATE, &why))?;
        let pair = p256_key(&key).map_err(|why| damaged(GUARD_KEY, &why))?;
        let subject = SubjectKey::from_pair(&pair).map_err(|why| damaged(GUARD_KEY, &why))?;
        if leaf.key_digest != subject.digest {
            return Err(damaged(
                GUARD_CERTIFICATE,
                "it belongs to another key than guard.key",
            ));
        }
        if leaf.identity.domain != domain || leaf.identity.kind != Kind::Guard {
            return Err(damaged(
                GUARD_CERTIFICATE,
                "it does not name a guard of the authority",
            ));
        }
        Ok(Self {
            path: path.into(),
            guard: leaf.identity,
            authority,
            authority_pem: authority_pem.expose().clone(),
            token_public: token_public.expose().clone(),
            authority_guard,
            authority_address,
        })
    }

    /// The state directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The realm of the authority.
    pub fn domain(&self) -> &TrustDomain {
        &self.guard.domain
    }

    /// The identity of this guard.
    pub fn guard_identity(&self) -> &Identity {
        &self.guard
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    /// The authority's certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.authority_pem
    }

    /// The public key of tokens, SubjectPublicKeyInfo in PEM.
    pub fn token_key_pem(&self) -> String {
        self.token_public.clone()
    }

    /// The private key of this guard, to ask for a new certificate with.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read.
    pub fn guard_key(&self) -> Result<Secret<String>, StateError> {
        files::read(&self.path.join(GUARD_KEY), WHAT_KEY)
    }

    /// The chain and key that this guard presents. A new certificate must be asked for
    /// when [`GuardCredentials::is_due`].
    ///
    /// # Errors
    /// [`StateError`] when the files cannot be read.
    pub fn guard_credentials(&self) -> Result<GuardCredentials, StateError> {
        let path = self.path.join(GUARD_CERTIFICATE);
        let pem = files::read(&path, WHAT_CERTIFICATE)?;
        let (der, leaf) =
            read_leaf(pem.expose()).map_err(|why| StateError::Damaged { path, why })?;
        let key = self.guard_key()?;
        Ok(GuardCredentials {
            chain: vec![der, self.authority.clone()],
            key: PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|e| crypto("read the guard's key", e))?,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            not_renewed: None,
        })
    }

    /// The guard that holds the authority.
    pub fn authority_guard(&self) -> &Identity {
        &self.authority_guard
    }

    /// Where that guard is reached, `HOST:PORT`.
    pub fn authority_address(&self) -> &str {
        &self.authority_address
    }

    /// Puts a renewed certificate, for the same key, in the place of the old one.
    ///
    /// # Errors
    /// [`StateError::Crypto`] when it is for another key or another guard.
    pub fn replace_certificate(&self, pem: &str) -> Result<(), StateError> {
        const DOING: &str = "use the renewed certificate";
        let (_, leaf) = read_leaf(pem).map_err(|why| crypto(DOING, why))?;
        let subject = p256_key(&self.guard_key()?)
            .and_then(|pair| SubjectKey::from_pair(&pair))
            .map_err(|why| crypto(DOING, why))?;
        if leaf.identity != self.guard || leaf.key_digest != subject.digest {
            return Err(crypto(DOING, "it is not for this guard and its key"));
        }
        files::replace(&self.path.join(GUARD_CERTIFICATE), pem.as_bytes())
    }
}

fn read_leaf(pem: &str) -> Result<(CertificateDer<'static>, Leaf), String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "it is not a certificate in PEM".to_owned())?;
    let leaf = Leaf::read(&der, Usage::Server).map_err(|e| e.to_string())?;
    Ok((der, leaf))
}
