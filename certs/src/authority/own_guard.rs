//! The guard that shares the authority's state directory: its certificate and its address.

use std::sync::PoisonError;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wire::Secret;
use wire::leaf::{Leaf, Usage};

use super::opening::what;
use super::{Authority, MAX_SHOWN, OWN_DEVICE, crypto, is_address};
use crate::certificates::{SubjectKey, p256_key};
use crate::error::{IssueError, StateError, StoreError};
use crate::files;
use crate::records::{self, CertificateRow};
use crate::state::{GUARD_CERTIFICATE, GUARD_KEY};
use crate::store;

/// The chain and key that a guard presents.
#[derive(Debug)]
pub struct GuardCredentials {
    /// The guard's own certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The guard's private key.
    pub key: PrivateKeyDer<'static>,
    /// First moment of the guard's certificate.
    pub not_before: Timestamp,
    /// Last moment of the guard's certificate.
    pub not_after: Timestamp,
    /// Why a certificate that is due was not renewed. It is valid still, and the next look
    /// tries again.
    pub not_renewed: Option<StateError>,
}

impl GuardCredentials {
    /// Whether two thirds of the certificate's life are over, so that it should be
    /// renewed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        is_due(self.not_before, self.not_after, now)
    }
}

fn is_due(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let life = not_after.as_second() - not_before.as_second();
    now.as_second() - not_before.as_second() >= life / 3 * 2
}

impl Authority {
    /// The chain and key of this directory's own guard. The certificate is issued anew
    /// when two thirds of its life are over, and with a new key when it was revoked. When
    /// that fails, the present one is good for the rest of its life.
    ///
    /// # Errors
    /// [`StateError`] when the files or the store cannot be read, or there is no valid
    /// certificate and none can be written.
    pub fn guard_credentials(&self, now: Timestamp) -> Result<GuardCredentials, StateError> {
        let _turn = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let key_path = self.path.join(GUARD_KEY);
        let mut key_pem = files::read(&key_path, what(GUARD_KEY))?;
        let mut pair = p256_key(&key_pem).map_err(|why| StateError::Damaged {
            path: key_path.clone(),
            why,
        })?;
        let mut key = SubjectKey::from_pair(&pair).map_err(|why| StateError::Damaged {
            path: key_path.clone(),
            why,
        })?;
        let pem_path = self.path.join(GUARD_CERTIFICATE);
        let pem = files::read(&pem_path, what(GUARD_CERTIFICATE))?;
        // A certificate that cannot be used is simply replaced: its key is here, and so
        // is the authority's.
        let present = CertificateDer::from_pem_slice(pem.expose().as_bytes())
            .ok()
            .and_then(|der| {
                let leaf = Leaf::read(&der, Usage::Server).ok()?;
                (leaf.identity == self.guard && leaf.key_digest == key.digest)
                    .then_some((der, leaf))
            });
        let (is_revoked, is_known) = self.store.read(|transaction| {
            let fate = match &present {
                Some((_, leaf)) => {
                    records::certificate_fate(transaction, &self.guard, &leaf.serial)?
                }
                None => None,
            };
            let key = records::key_revocation(transaction, &key.digest)?;
            let is_revoked = key.is_some() || matches!(fate, Some((_, Some(_))));
            Ok((is_revoked, fate.is_some()))
        })?;
        let mut present = present.filter(|_| is_known);
        if is_revoked {
            present = None;
            key_pem = wire::keypair::generate()
                .map_err(|e| crypto("make the guard's key", e))?
                .pem;
            files::replace(&key_path, key_pem.expose().as_bytes())?;
            pair = p256_key(&key_pem).map_err(|e| crypto("read the guard's key", e))?;
            key = SubjectKey::from_pair(&pair).map_err(|e| crypto("read the guard's key", e))?;
        } else if let Some((der, leaf)) = &present
            && !is_due(leaf.not_before, leaf.not_after, now)
            // Otherwise it was issued while the clock was ahead.
            && leaf.not_before <= now
        {
            return self.credentials(der.clone(), &key_pem, leaf);
        }
        let (error, present) = match (self.renew_guard(&key, now), present) {
            (Ok((der, leaf)), _) => return self.credentials(der, &key_pem, &leaf),
            (Err(error), present) => (error, present),
        };
        match present.filter(|(_, leaf)| leaf.not_after > now) {
            Some((der, leaf)) => Ok(GuardCredentials {
                not_renewed: Some(error),
                ..self.credentials(der, &key_pem, &leaf)?
            }),
            None => Err(error),
        }
    }

    /// Issues a certificate to this directory's own guard and puts it in its place.
    fn renew_guard(
        &self,
        key: &SubjectKey,
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, Leaf), StateError> {
        let signed = self
            .signer
            .sign(key, &self.guard, now)
            .map_err(|e| crypto("issue the guard's certificate", e))?;
        self.store
            .write(|transaction| {
                let generation = store::advance(transaction)?;
                let row = CertificateRow::new(&signed, generation, OWN_DEVICE, now);
                Ok(records::add_certificate(transaction, &row)?)
            })
            .map_err(IssueError::into_state)?;
        files::replace(&self.path.join(GUARD_CERTIFICATE), signed.pem.as_bytes())?;
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes())
            .map_err(|e| crypto("read the guard's certificate", e))?;
        Ok((der, signed.leaf))
    }

    fn credentials(
        &self,
        der: CertificateDer<'static>,
        key: &Secret<String>,
        leaf: &Leaf,
    ) -> Result<GuardCredentials, StateError> {
        Ok(GuardCredentials {
            chain: vec![der, self.certificate()],
            key: PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|e| crypto("read the guard's key", e))?,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            not_renewed: None,
        })
    }

    /// Remembers where artists reach this directory's own guard, `HOST:PORT`.
    ///
    /// # Errors
    /// [`StateError::Address`] when it is not of that form, [`StateError::Store`] when it
    /// cannot be written.
    pub fn set_guard_address(&self, address: &str) -> Result<(), StateError> {
        if !is_address(address) {
            return Err(StateError::Address {
                text: address.chars().take(MAX_SHOWN).collect(),
            });
        }
        if self.guard_address()?.as_deref() == Some(address) {
            return Ok(());
        }
        self.store
            .write(|transaction| Ok(records::set_guard_address(transaction, address)?))
            .map_err(IssueError::into_state)
    }

    /// Where artists reach this directory's own guard, as last remembered.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn guard_address(&self) -> Result<Option<String>, StoreError> {
        self.store
            .read(|transaction| records::guard_address(transaction))
    }
}
