//! Certificates and tokens.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use wire::Identity;
use wire::leaf::Serial;

use super::{parsed, revoked, second};
use crate::trust::Revocation;

/// A certificate that was issued.
pub(crate) struct CertificateRow {
    pub(crate) serial: Serial,
    pub(crate) identity: Identity,
    pub(crate) generation: u64,
    pub(crate) device: String,
    pub(crate) key_digest: [u8; 32],
    pub(crate) fingerprint: [u8; 32],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) issued_at: Timestamp,
    pub(crate) pem: String,
    pub(crate) revoked: Option<Revocation>,
}

/// A token that was issued.
pub(crate) struct TokenRow {
    pub(crate) id: String,
    pub(crate) identity: Identity,
    pub(crate) serial: Serial,
    pub(crate) generation: u64,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires: Timestamp,
}

pub(crate) fn certificate(
    connection: &Connection,
    serial: &Serial,
) -> rusqlite::Result<Option<CertificateRow>> {
    connection
        .prepare_cached("SELECT * FROM certificates WHERE serial = ?1")?
        .query_row([serial.as_str()], certificate_row)
        .optional()
}

/// Generation and revocation of a certificate, without the rest of its row.
pub(crate) fn certificate_fate(
    connection: &Connection,
    identity: &Identity,
    serial: &Serial,
) -> rusqlite::Result<Option<(u64, Option<Revocation>)>> {
    connection
        .prepare_cached(
            "SELECT generation, revoked_at, revoked_why FROM certificates
             WHERE serial = ?1 AND identity = ?2",
        )?
        .query_row(params![serial.as_str(), identity.to_string()], |row| {
            Ok((row.get("generation")?, revoked(row)?))
        })
        .optional()
}

/// Whether a key was revoked with its device, whose ever it was.
pub(crate) fn key_revocation(
    connection: &Connection,
    digest: &[u8; 32],
) -> rusqlite::Result<Option<Revocation>> {
    connection
        .prepare_cached("SELECT at, why FROM revocations WHERE key = ?1 ORDER BY sequence")?
        .query_row([wire::hex(digest)], revocation)
        .optional()
}

/// All certificates, oldest first.
pub(crate) fn certificates(connection: &Connection) -> rusqlite::Result<Vec<CertificateRow>> {
    connection
        .prepare_cached("SELECT * FROM certificates ORDER BY issued_at, rowid")?
        .query_map([], certificate_row)?
        .collect()
}

/// The certificates of one identity, oldest first.
pub(crate) fn certificates_of(
    connection: &Connection,
    identity: &Identity,
) -> rusqlite::Result<Vec<CertificateRow>> {
    connection
        .prepare_cached("SELECT * FROM certificates WHERE identity = ?1 ORDER BY issued_at, rowid")?
        .query_map([identity.to_string()], certificate_row)?
        .collect()
}

fn certificate_row(row: &Row<'_>) -> rusqlite::Result<CertificateRow> {
    Ok(CertificateRow {
        serial: parsed(row, "serial")?,
        identity: parsed(row, "identity")?,
        generation: row.get("generation")?,
        device: row.get("device")?,
        key_digest: row.get("key_digest")?,
        fingerprint: row.get("fingerprint")?,
        not_before: second(row.get("not_before")?)?,
        not_after: second(row.get("not_after")?)?,
        issued_at: second(row.get("issued_at")?)?,
        pem: row.get("pem")?,
        revoked: revoked(row)?,
    })
}

pub(crate) fn add_certificate(
    transaction: &Transaction<'_>,
    row: &CertificateRow,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO certificates (serial, identity, generation, device, key_digest,
                 fingerprint, not_before, not_after, issued_at, pem)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                row.serial.as_str(),
                row.identity.to_string(),
                row.generation,
                row.device,
                row.key_digest,
                row.fingerprint,
                row.not_before.as_second(),
                row.not_after.as_second(),
                row.issued_at.as_second(),
                row.pem,
            ],
        )
        .map(drop)
}

pub(crate) fn token(connection: &Connection, id: &str) -> rusqlite::Result<Option<TokenRow>> {
    connection
        .prepare_cached("SELECT * FROM tokens WHERE id = ?1")?
        .query_row([id], token_row)
        .optional()
}

pub(crate) fn tokens_of(
    connection: &Connection,
    identity: &Identity,
) -> rusqlite::Result<Vec<TokenRow>> {
    connection
        .prepare_cached("SELECT * FROM tokens WHERE identity = ?1 ORDER BY generation")?
        .query_map([identity.to_string()], token_row)?
        .collect()
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get("id")?,
        identity: parsed(row, "identity")?,
        serial: parsed(row, "serial")?,
        generation: row.get("generation")?,
        issued_at: second(row.get("issued_at")?)?,
        expires: second(row.get("expires")?)?,
    })
}

pub(crate) fn add_token(transaction: &Transaction<'_>, row: &TokenRow) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO tokens (id, identity, serial, generation, issued_at, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                row.id,
                row.identity.to_string(),
                row.serial.as_str(),
                row.generation,
                row.issued_at.as_second(),
                row.expires.as_second(),
            ],
        )
        .map(drop)
}

/// Forgets tokens that expired before `before`. A session may outlive its token, and can
/// be ended by the token's id for as long as the row is there.
pub(crate) fn forget_tokens(
    transaction: &Transaction<'_>,
    before: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM tokens WHERE expires < ?1")?
        .execute([before.as_second()])
        .map(drop)
}

pub(crate) fn token_revocation(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Option<Revocation>> {
    connection
        .prepare_cached("SELECT at, why FROM revocations WHERE kind = 'token' AND subject = ?1")?
        .query_row([id], revocation)
        .optional()
}

/// The tokens that were revoked alone at `since` or later, by their ids.
pub(crate) fn revoked_tokens(
    connection: &Connection,
    since: Timestamp,
) -> rusqlite::Result<Vec<(String, Revocation)>> {
    connection
        .prepare_cached(
            "SELECT subject, at, why FROM revocations WHERE kind = 'token' AND at >= ?1",
        )?
        .query_map([since.as_second()], |row| {
            Ok((row.get("subject")?, revocation(row)?))
        })?
        .collect()
}

/// A row of the table of revocations.
fn revocation(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    Ok(Revocation {
        at: second(row.get("at")?)?,
        why: row.get("why")?,
    })
}
