//! An authority in a temporary directory, and people who deal with it.

use std::path::{Path, PathBuf};

use hrpyc_certs::{
    AccessEnd, Authority, Changes, IssueError, Redemption, State, TokenRef, TrustStore as _, open,
};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wire::enrolment::Issued;
use wire::invite::Invite;
use wire::leaf::{Leaf, Usage};
use wire::token::Claims;
use wire::{Identity, Kind, Secret};

/// A state directory; it goes away at the end.
pub(crate) struct Studio {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) authority: Authority,
}

/// A private key with a request for it.
pub(crate) struct Machine {
    pub(crate) key: Secret<String>,
    pub(crate) request: Vec<u8>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let key = wire::keypair::generate().unwrap().pem;
        let request = wire::keypair::request(&key).unwrap();
        Self { key, request }
    }
}

impl Studio {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::init(
            &directory.path().join("state"),
            Some("studio.example".parse().unwrap()),
            &"ws12".parse().unwrap(),
        )
        .unwrap();
        Self {
            directory,
            authority,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Ends the process that has it open; gives the directory, and where the state is in it.
    pub(crate) fn close(self) -> (tempfile::TempDir, PathBuf) {
        let path = self.path();
        (self.directory, path)
    }

    /// Opens a directory that was closed.
    pub(crate) fn open(directory: tempfile::TempDir) -> Self {
        Self {
            authority: open_authority(&directory.path().join("state")),
            directory,
        }
    }

    /// Opens the directory once more, as another process would.
    pub(crate) fn again(&self) -> Authority {
        open_authority(&self.path())
    }

    pub(crate) fn who(&self, name: &str) -> Identity {
        Identity::from_shorthand(name, self.authority.domain()).unwrap()
    }

    /// Makes an invite and returns its secret.
    pub(crate) fn invite(&self, name: &str, changes: &Changes) -> [u8; 16] {
        invite(&self.authority, name, changes)
    }

    pub(crate) fn join(&self, name: &str) -> (Machine, Issued) {
        let secret = self.invite(name, &full());
        let machine = Machine::new();
        let issued = redeem(&self.authority, &secret, &machine).unwrap();
        (machine, issued)
    }

    pub(crate) fn standing(&self, issued: &Issued) -> hrpyc_certs::Standing {
        standing(&self.authority, issued)
    }
}

pub(crate) fn open_authority(path: &Path) -> Authority {
    match open(path).unwrap() {
        State::Authority(authority) => authority,
        State::Member(_) => panic!("a member"),
    }
}

pub(crate) fn full() -> Changes {
    Changes {
        role: Some("full".into()),
        ..Changes::default()
    }
}

pub(crate) fn until(at: Timestamp) -> Option<AccessEnd> {
    Some(AccessEnd::At(Box::new(
        at.to_zoned(jiff::tz::TimeZone::UTC),
    )))
}

pub(crate) fn invite(authority: &Authority, name: &str, changes: &Changes) -> [u8; 16] {
    let identity = Identity::from_shorthand(name, authority.domain()).unwrap();
    let changes = if identity.kind == Kind::Guard {
        &Changes::default()
    } else {
        changes
    };
    let made = authority
        .invite(&hrpyc_certs::InviteOrder {
            identity: &identity,
            changes,
            guard_address: Some("ws12.studio.example:18812"),
            valid: SignedDuration::from_hours(24),
            now: Timestamp::now(),
        })
        .unwrap();
    let code: Invite = made.code.expose().parse().unwrap();
    *code.secret.expose()
}

pub(crate) fn redeem(
    authority: &Authority,
    secret: &[u8; 16],
    machine: &Machine,
) -> Result<Issued, IssueError> {
    redeem_at(authority, secret, machine, Timestamp::now())
}

pub(crate) fn redeem_at(
    authority: &Authority,
    secret: &[u8; 16],
    machine: &Machine,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let redeem_with = |address| {
        authority.redeem(&Redemption {
            secret,
            request_der: &machine.request,
            device: "laptop",
            address,
            now,
        })
    };
    match redeem_with(None) {
        Err(IssueError::AddressMissing) => redeem_with(Some("ws13.studio.example:18812")),
        other => other,
    }
}

pub(crate) fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_deref().unwrap().as_bytes()).unwrap()
}

pub(crate) fn leaf(issued: &Issued) -> Leaf {
    let usage = match issued.identity.kind {
        Kind::Guard => Usage::Server,
        Kind::Artist | Kind::Service => Usage::Client,
    };
    Leaf::read(&der(issued), usage).unwrap()
}

/// Writes to the store what no command would, as somebody with the disk could.
pub(crate) fn forge(studio: &Studio, sql: &str) {
    let store = rusqlite::Connection::open(studio.path().join("store.db")).unwrap();
    store.execute_batch(sql).unwrap();
}

/// The claims of a token, its signature checked with the authority's public key.
pub(crate) fn claims(authority: &Authority, issued: &Issued) -> Claims {
    let der = pem_body(&authority.token_key_pem());
    // The raw key is the end of an Ed25519 SubjectPublicKeyInfo, RFC 8410 section 4.
    let key = jsonwebtoken::DecodingKey::from_ed_der(&der[der.len() - 32..]);
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[wire::token::audience(authority.domain())]);
    let token = issued.token.as_ref().unwrap();
    let data =
        jsonwebtoken::decode::<Claims>(token.jwt.expose().as_bytes(), &key, &validation).unwrap();
    assert_eq!(data.header.typ.as_deref(), Some(wire::token::TYPE));
    data.claims
}

fn pem_body(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap()
}

pub(crate) fn standing(authority: &Authority, issued: &Issued) -> hrpyc_certs::Standing {
    let claims = claims(authority, issued);
    authority
        .standing(
            &issued.identity,
            &leaf(issued).serial,
            Some(TokenRef {
                id: &claims.jti,
                generation: claims.generation,
            }),
        )
        .unwrap()
}

pub(crate) fn revoke(authority: &Authority, target: &str, why: &str) {
    let target = authority.find_target(target).unwrap();
    authority.revoke(&target, why, Timestamp::now()).unwrap();
}
