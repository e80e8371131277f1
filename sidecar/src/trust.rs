//! What this guard believes, and whom it asks.

use std::sync::Arc;

use certs::{Authority, Standing, StoreError, TokenRef, TrustStore};
use jsonwebtoken::DecodingKey;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use wire::leaf::Serial;
use wire::{Code, Identity, TrustDomain};

use crate::audit::Audit;
use crate::denial::Denial;

/// The authority's certificate and keys, and the store that says what still counts.
pub struct Trust {
    /// The trust domain of every identity that may come in.
    pub domain: TrustDomain,
    /// This guard's own identity.
    pub guard: Identity,
    /// The certificate of the authority.
    pub authority: CertificateDer<'static>,
    /// The public key of the authority's tokens.
    pub token_key: DecodingKey,
    /// The algorithms for certificates.
    pub algorithms: WebPkiSupportedAlgorithms,
    /// The live state of grants, certificates and tokens.
    pub store: Arc<dyn TrustStore>,
    /// The authority itself, where this guard holds it.
    pub issuer: Option<Arc<Authority>>,
    /// Where alarms go.
    pub audit: Arc<Audit>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// The store was found to be older than it once was. A guard that only follows the
    /// store may be a moment behind; it cannot tell.
    pub fn rolled_back(&self, seen: u64) {
        if self.issuer.is_none() {
            return;
        }
        if let Err(error) = self.store.report_rollback(seen) {
            tracing::error!(%error, "the alarm could not be written into the store");
        }
        self.repeat_alarm();
    }

    /// Says aloud, once, the alarm that stands in the store, whoever noticed it.
    pub fn repeat_alarm(&self) {
        if let Some(Ok(Some(alarm))) = self.issuer.as_ref().map(|authority| authority.alarm()) {
            self.audit.alarm(
                "rolled-back",
                &alarm.at.to_string(),
                &format!(
                    "the trust store was rolled back to an older state ({}); nothing is issued until somebody has looked: hrpyc-certs restore --accept-rollback --why TEXT",
                    alarm.why
                ),
            );
        }
    }

    /// What the store knows of a peer, asked off the runtime's own threads: a disk may hang.
    ///
    /// # Errors
    /// A denial when the store cannot be read.
    pub async fn standing(
        &self,
        identity: &Identity,
        serial: &Serial,
        token: Option<(&str, u64)>,
    ) -> Result<Standing, Denial> {
        let store = self.store.clone();
        let (identity, serial) = (identity.clone(), serial.clone());
        let token = token.map(|(id, generation)| (id.to_owned(), generation));
        let asked = tokio::task::spawn_blocking(move || {
            let token = token.as_ref().map(|(id, generation)| TokenRef {
                id,
                generation: *generation,
            });
            store.standing(&identity, &serial, token)
        });
        match asked.await {
            Ok(answer) => answer.map_err(|error| unavailable(&error)),
            Err(error) => Err(Denial::new(
                Code::Internal,
                format!("The guard failed while it asked its trust store: {error}."),
                "Tell your IT team; the guard's log has more.",
            )),
        }
    }
}

fn unavailable(error: &StoreError) -> Denial {
    tracing::error!(%error, "the trust store cannot be read");
    Denial::new(
        Code::StoreUnavailable,
        "The guard cannot look up who has access, so nobody is let in for now.",
        "Try again in a minute; if it stays so, tell your IT team.",
    )
}
