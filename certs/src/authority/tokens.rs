//! Signing access tokens.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, Header};
use rusqlite::Transaction;
use wire::Secret;
use wire::enrolment::Token;
use wire::leaf::Fingerprint;
use wire::token::{self, Claims, Confirmation};

use super::{Authority, KEEP_TOKENS, crypto};
use crate::error::IssueError;
use crate::records::{self, CertificateRow, TokenRow};
use crate::store::{Abort, advance};
use crate::trust::Grant;

/// How long a token admits.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl Authority {
    /// A token for the holder of a certificate, with the grant of this moment.
    pub(super) fn sign_token(
        &self,
        transaction: &Transaction<'_>,
        grant: &Grant,
        certificate: &CertificateRow,
        now: Timestamp,
    ) -> Result<Token, Abort> {
        let expires = now.saturating_add(TOKEN_LIFE).unwrap_or(now);
        let row = TokenRow {
            id: crate::random::hex(16),
            identity: certificate.identity.clone(),
            serial: certificate.serial.clone(),
            generation: advance(transaction)?,
            issued_at: now,
            expires,
        };
        let claims = Claims {
            iss: token::issuer(self.domain()),
            aud: token::audience(self.domain()),
            sub: row.identity.clone(),
            iat: now.as_second(),
            nbf: now
                .saturating_sub(wire::BACKDATE)
                .unwrap_or(now)
                .as_second(),
            exp: expires.as_second(),
            jti: row.id.clone(),
            role: grant.role.clone(),
            generation: row.generation,
            cnf: Confirmation::of(&Fingerprint(certificate.fingerprint)),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(token::TYPE.into());
        let jwt = jsonwebtoken::encode(&header, &claims, &self.token_key)
            .map_err(|e| IssueError::from(crypto("sign a token", e)))?;
        let forget = now.saturating_sub(KEEP_TOKENS).unwrap_or(now);
        records::forget_tokens(transaction, forget)?;
        records::add_token(transaction, &row)?;
        Ok(Token {
            jwt: Secret::new(jwt),
            expires,
        })
    }
}
