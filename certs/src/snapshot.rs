//! A copy of what the store knows, for guards that do not hold it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wire::Identity;
use wire::leaf::Serial;
use wire::message::Message;

use crate::trust::{self, Grant, Revocation, Standing, TokenRef};

/// All that [`crate::TrustStore::standing`] looks at, at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// The number of the last change that it holds.
    pub sequence: u64,
    /// When it was taken.
    pub taken: Timestamp,
    pub(crate) grants: BTreeMap<String, Grant>,
    pub(crate) certificates: BTreeMap<String, SnapshotCertificate>,
    pub(crate) revoked_tokens: BTreeMap<String, Revocation>,
}

/// A certificate in a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotCertificate {
    pub(crate) identity: Identity,
    pub(crate) generation: u64,
    pub(crate) revoked: Option<Revocation>,
}

impl Message for Snapshot {
    const KIND: u8 = 6;
    const CAP: usize = 64 * 1024 * 1024;
}

impl Snapshot {
    /// The same answer that the store would have given when the snapshot was taken.
    pub fn standing(
        &self,
        identity: &Identity,
        serial: &Serial,
        token: Option<TokenRef<'_>>,
    ) -> Standing {
        let grant = self.grants.get(&identity.to_string()).cloned();
        let found = self
            .certificates
            .get(serial.as_str())
            .filter(|certificate| certificate.identity == *identity)
            .map(|certificate| (certificate.generation, certificate.revoked.clone()));
        let revoked = token.and_then(|token| self.revoked_tokens.get(token.id).cloned());
        let certificate = trust::certificate_status(found, grant.as_ref());
        Standing {
            token: trust::token_status(token, revoked, &certificate, grant.as_ref(), self.sequence),
            certificate,
            grant,
            sequence: self.sequence,
        }
    }
}
