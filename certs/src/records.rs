//! The rows of the store, read and written inside a transaction.

mod certificates;
mod grants;
mod invites;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};
use wire::Identity;

pub(crate) use certificates::{
    CertificateRow, TokenRow, add_certificate, add_token, certificate, certificate_fate,
    certificates, certificates_of, forget_tokens, key_revocation, revoked_tokens, token,
    token_revocation, tokens_of,
};
pub(crate) use grants::{GrantRow, Terms, grant, grants, put_grant, set_grant_address};
pub(crate) use invites::{
    InviteRow, Used, add_invite, forget_invites, invite_by_hash, invite_by_id, invites,
    open_invites_of, use_invite,
};

use crate::journal::{DeviceKey, Entry, EntryKind};
use crate::store::advance;
use crate::trust::Revocation;

/// The highest sequence that is believed. A store gets nowhere near it, and the numbers
/// above leave room to go on when a false one was believed.
pub(crate) const HIGHEST: u64 = i64::MAX as u64 / 2;

/// The rollback alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// When it was raised.
    pub at: Timestamp,
    /// The sequence that the store had once reached.
    pub seen: u64,
    /// What showed it.
    pub why: String,
}

pub(crate) fn sequence(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT sequence FROM meta")?
        .query_row([], |row| row.get(0))
}

pub(crate) fn set_sequence(transaction: &Transaction<'_>, to: u64) -> rusqlite::Result<()> {
    transaction
        .execute("UPDATE meta SET sequence = ?1", [to])
        .map(drop)
}

pub(crate) fn alarm(connection: &Connection) -> rusqlite::Result<Option<Alarm>> {
    connection
        .prepare_cached("SELECT alarm_at, alarm_seen, alarm_why FROM meta")?
        .query_row([], |row| {
            Ok(match row.get::<_, Option<i64>>("alarm_at")? {
                None => None,
                Some(at) => Some(Alarm {
                    at: second(at)?,
                    seen: row.get("alarm_seen")?,
                    why: row.get("alarm_why")?,
                }),
            })
        })
}

/// Raises the alarm, or raises what a standing one has seen: [`HIGHEST`] at most.
pub(crate) fn raise_alarm(
    transaction: &Transaction<'_>,
    now: Timestamp,
    seen: u64,
    why: &str,
) -> rusqlite::Result<()> {
    let standing = alarm(transaction)?;
    transaction.execute(
        "UPDATE meta SET alarm_at = coalesce(alarm_at, ?1), alarm_why = coalesce(alarm_why, ?3),
             alarm_seen = max(coalesce(alarm_seen, 0), ?2)",
        params![now.as_second(), seen.min(HIGHEST), why],
    )?;
    if standing.is_none() {
        event(transaction, now, "alarm", None, why)?;
    }
    Ok(())
}

pub(crate) fn clear_alarm(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE meta SET alarm_at = NULL, alarm_seen = NULL, alarm_why = NULL",
            [],
        )
        .map(drop)
}

pub(crate) fn guard_address(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT guard_address FROM meta", [], |row| row.get(0))
}

pub(crate) fn set_guard_address(
    transaction: &Transaction<'_>,
    address: &str,
) -> rusqlite::Result<()> {
    transaction
        .execute("UPDATE meta SET guard_address = ?1", [address])
        .map(drop)
}

pub(crate) fn event(
    transaction: &Transaction<'_>,
    at: Timestamp,
    kind: &str,
    identity: Option<&Identity>,
    text: &str,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO events (at, kind, identity, text) VALUES (?1, ?2, ?3, ?4)",
            params![
                at.as_second(),
                kind,
                identity.map(ToString::to_string),
                text
            ],
        )
        .map(drop)
}

pub(crate) fn revocations(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached("SELECT * FROM revocations ORDER BY sequence, rowid")?
        .query_map([], |row| {
            let kind: String = row.get("kind")?;
            Ok(Entry {
                id: row.get("id")?,
                sequence: row.get("sequence")?,
                at: second(row.get("at")?)?,
                kind: EntryKind::from_text(&kind)
                    .ok_or_else(|| conversion("kind", format!("unknown kind {kind:?}")))?,
                subject: row.get("subject")?,
                device: device_key(row)?,
                why: row.get("why")?,
            })
        })?
        .collect()
}

fn device_key(row: &Row<'_>) -> rusqlite::Result<Option<DeviceKey>> {
    Ok(match row.get("key")? {
        None => None,
        Some(key) => Some(DeviceKey {
            identity: parsed(row, "identity")?,
            key,
        }),
    })
}

/// Carries out a revocation on every row it concerns and records it.
pub(crate) fn revoke(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let at = entry.at.as_second();
    let set = "SET revoked_at = ?2, revoked_why = ?3";
    let on = |sql: String| transaction.execute(&sql, params![entry.subject, at, entry.why]);
    match entry.kind {
        EntryKind::Identity => {
            transaction.execute(
                "UPDATE grants SET revoked_at = ?2, revoked_why = ?3, generation = ?4
                 WHERE identity = ?1",
                params![entry.subject, at, entry.why, entry.sequence],
            )?;
            on(format!(
                "UPDATE certificates {set} WHERE identity = ?1 AND revoked_at IS NULL"
            ))?;
            // Used ones as well: nobody may fetch what was issued for them once more.
            on(format!(
                "UPDATE invites {set} WHERE identity = ?1 AND revoked_at IS NULL"
            ))?;
        }
        EntryKind::Certificate => {
            on(format!(
                "UPDATE certificates {set} WHERE serial = ?1 AND revoked_at IS NULL"
            ))?;
            // What it was renewed from, and what was renewed from it.
            if let Some(device) = &entry.device {
                transaction.execute(
                    &format!(
                        "UPDATE certificates {set}
                         WHERE identity = ?1 AND lower(hex(key_digest)) = ?4 AND revoked_at IS NULL"
                    ),
                    params![device.identity.to_string(), at, entry.why, device.key],
                )?;
            }
        }
        EntryKind::Invite => {
            on(format!(
                "UPDATE invites {set} WHERE id = ?1 AND revoked_at IS NULL"
            ))?;
        }
        // A token has no mark of its own; the record below is looked up.
        EntryKind::Token => {}
    }
    record(transaction, entry)
}

fn record(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let device = entry.device.as_ref();
    transaction
        .execute(
            "INSERT INTO revocations (id, sequence, at, kind, subject, identity, key, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                entry.id,
                entry.sequence,
                entry.at.as_second(),
                entry.kind.as_str(),
                entry.subject,
                device.map(|device| device.identity.to_string()),
                device.map(|device| &device.key),
                entry.why
            ],
        )
        .map(drop)
}

/// Revokes again what the store has forgotten, and raises the alarm.
///
/// An identity's revocation is recorded under its old number and carried out under a new
/// one, so that it covers all that the older store brought back.
pub(crate) fn merge(
    transaction: &Transaction<'_>,
    lost: &[Entry],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let known: Vec<String> = revocations(transaction)?
        .into_iter()
        .map(|entry| entry.id)
        .collect();
    let lost: Vec<Entry> = lost
        .iter()
        .filter(|entry| !known.contains(&entry.id))
        .map(|entry| Entry {
            sequence: entry.sequence.min(HIGHEST),
            ..entry.clone()
        })
        .collect();
    let Some(seen) = lost.iter().map(|entry| entry.sequence).max() else {
        return Ok(());
    };
    let sequence = advance(transaction)?;
    for entry in &lost {
        revoke(transaction, entry)?;
        if entry.kind == EntryKind::Identity {
            transaction.execute(
                "UPDATE grants SET generation = max(?2, ?3) WHERE identity = ?1",
                params![entry.subject, sequence, entry.sequence],
            )?;
        }
    }
    raise_alarm(
        transaction,
        now,
        seen,
        "the journal holds revocations that the store did not know",
    )
}

fn revoked(row: &Row<'_>) -> rusqlite::Result<Option<Revocation>> {
    Ok(match row.get::<_, Option<i64>>("revoked_at")? {
        None => None,
        Some(at) => Some(Revocation {
            at: second(at)?,
            why: row.get("revoked_why")?,
        }),
    })
}

fn parsed<T>(row: &Row<'_>, column: &'static str) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    row.get::<_, String>(column)?
        .parse()
        .map_err(|e: T::Err| conversion(column, e.to_string()))
}

fn second(at: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_second(at).map_err(|e| conversion("a time", e.to_string()))
}

fn conversion(column: &str, why: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("{column}: {why}").into())
}

fn json<T: serde::Serialize>(value: &[T]) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}
