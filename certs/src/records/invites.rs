//! Invites.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use wire::Identity;
use wire::leaf::Serial;

use super::grants::{Terms, terms};
use super::{json, parsed, revoked, second};
use crate::trust::Revocation;

/// An invite, known by the hash of its secret.
pub(crate) struct InviteRow {
    pub(crate) hash: Vec<u8>,
    pub(crate) id: String,
    pub(crate) identity: Identity,
    pub(crate) terms: Terms,
    pub(crate) sequence: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) used: Option<Used>,
    pub(crate) revoked: Option<Revocation>,
}

/// How an invite was used up.
pub(crate) struct Used {
    pub(crate) at: Timestamp,
    pub(crate) key_digest: Vec<u8>,
    pub(crate) serial: Serial,
}

pub(crate) fn invite_by_hash(
    connection: &Connection,
    hash: &[u8],
) -> rusqlite::Result<Option<InviteRow>> {
    connection
        .prepare_cached("SELECT * FROM invites WHERE hash = ?1")?
        .query_row([hash], invite_row)
        .optional()
}

pub(crate) fn invite_by_id(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Option<InviteRow>> {
    connection
        .prepare_cached("SELECT * FROM invites WHERE id = ?1")?
        .query_row([id], invite_row)
        .optional()
}

/// All invites, oldest first.
pub(crate) fn invites(connection: &Connection) -> rusqlite::Result<Vec<InviteRow>> {
    connection
        .prepare_cached("SELECT * FROM invites ORDER BY sequence")?
        .query_map([], invite_row)?
        .collect()
}

/// The invites of an identity that were neither used nor revoked, expired ones among
/// them, oldest first.
pub(crate) fn open_invites_of(
    connection: &Connection,
    identity: &Identity,
) -> rusqlite::Result<Vec<InviteRow>> {
    connection
        .prepare_cached(
            "SELECT * FROM invites
             WHERE identity = ?1 AND used_at IS NULL AND revoked_at IS NULL ORDER BY sequence",
        )?
        .query_map([identity.to_string()], invite_row)?
        .collect()
}

fn invite_row(row: &Row<'_>) -> rusqlite::Result<InviteRow> {
    let used = match row.get::<_, Option<i64>>("used_at")? {
        None => None,
        Some(at) => Some(Used {
            at: second(at)?,
            key_digest: row.get("used_key")?,
            serial: parsed(row, "serial")?,
        }),
    };
    Ok(InviteRow {
        hash: row.get("hash")?,
        id: row.get("id")?,
        identity: parsed(row, "identity")?,
        terms: terms(row)?,
        sequence: row.get("sequence")?,
        created_at: second(row.get("created_at")?)?,
        expires: second(row.get("expires")?)?,
        used,
        revoked: revoked(row)?,
    })
}

pub(crate) fn add_invite(transaction: &Transaction<'_>, row: &InviteRow) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO invites (hash, id, identity, role, upstreams, sources, access_until,
                 sequence, created_at, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                row.hash,
                row.id,
                row.identity.to_string(),
                row.terms.role,
                json(&row.terms.upstreams)?,
                json(&row.terms.from)?,
                row.terms.access_until.as_ref().map(ToString::to_string),
                row.sequence,
                row.created_at.as_second(),
                row.expires.as_second(),
            ],
        )
        .map(drop)
}

/// Forgets invites that nobody used and that expired before `before`.
pub(crate) fn forget_invites(
    transaction: &Transaction<'_>,
    before: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "DELETE FROM invites WHERE used_at IS NULL AND expires < ?1",
            [before.as_second()],
        )
        .map(drop)
}

pub(crate) fn use_invite(
    transaction: &Transaction<'_>,
    id: &str,
    used: &Used,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE invites SET used_at = ?2, used_key = ?3, serial = ?4 WHERE id = ?1",
            params![
                id,
                used.at.as_second(),
                used.key_digest,
                used.serial.as_str()
            ],
        )
        .map(drop)
}
