//! The rows of the store, read and written inside a transaction.

use ipnet::IpNet;
use jiff::{Timestamp, Zoned};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, named_params, params};
use wire::Identity;
use wire::leaf::Serial;

use crate::journal::{Entry, EntryKind};
use crate::store::advance;
use crate::trust::{Grant, Revocation};

/// What an identity may do, apart from whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    pub(crate) role: String,
    pub(crate) upstreams: Vec<String>,
    pub(crate) from: Vec<IpNet>,
    pub(crate) access_until: Option<Zoned>,
}

/// A grant with what only the store needs to know.
pub(crate) struct GrantRow {
    pub(crate) grant: Grant,
    /// The sequence of the command that stated its terms.
    pub(crate) stated: u64,
    /// `HOST:PORT` of a guard that joined.
    pub(crate) address: Option<String>,
    pub(crate) created_at: Timestamp,
}

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

pub(crate) struct TokenRow {
    pub(crate) id: String,
    pub(crate) identity: Identity,
    pub(crate) serial: Serial,
    pub(crate) generation: u64,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires: Timestamp,
}

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

/// Raises the alarm, or raises what a standing one has seen.
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
        params![now.as_second(), seen, why],
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

pub(crate) fn grant(
    connection: &Connection,
    identity: &Identity,
) -> rusqlite::Result<Option<GrantRow>> {
    connection
        .prepare_cached("SELECT * FROM grants WHERE identity = ?1")?
        .query_row([identity.to_string()], grant_row)
        .optional()
}

pub(crate) fn grants(connection: &Connection) -> rusqlite::Result<Vec<GrantRow>> {
    connection
        .prepare_cached("SELECT * FROM grants ORDER BY identity")?
        .query_map([], grant_row)?
        .collect()
}

fn grant_row(row: &Row<'_>) -> rusqlite::Result<GrantRow> {
    let terms = terms(row)?;
    Ok(GrantRow {
        grant: Grant {
            identity: parsed(row, "identity")?,
            role: terms.role,
            upstreams: terms.upstreams,
            from: terms.from,
            access_until: terms.access_until,
            generation: row.get("generation")?,
            revoked: revoked(row)?,
        },
        stated: row.get("stated")?,
        address: row.get("address")?,
        created_at: second(row.get("created_at")?)?,
    })
}

/// Writes a grant in the place of any that the identity had.
pub(crate) fn put_grant(
    transaction: &Transaction<'_>,
    identity: &Identity,
    terms: &Terms,
    generation: u64,
    stated: u64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO grants (identity, role, upstreams, sources, access_until, generation, stated, created_at)
             VALUES (:identity, :role, :upstreams, :sources, :access_until, :generation, :stated, :now)
             ON CONFLICT (identity) DO UPDATE SET role = :role, upstreams = :upstreams,
                 sources = :sources, access_until = :access_until, generation = :generation,
                 stated = :stated, revoked_at = NULL, revoked_why = NULL",
            named_params! {
                ":identity": identity.to_string(),
                ":role": terms.role,
                ":upstreams": json(&terms.upstreams)?,
                ":sources": json(&terms.from)?,
                ":access_until": terms.access_until.as_ref().map(ToString::to_string),
                ":generation": generation,
                ":stated": stated,
                ":now": now.as_second(),
            },
        )
        .map(drop)
}

pub(crate) fn set_grant_address(
    transaction: &Transaction<'_>,
    identity: &Identity,
    address: &str,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE grants SET address = ?2 WHERE identity = ?1",
            params![identity.to_string(), address],
        )
        .map(drop)
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
        .query_row([id], |row| {
            Ok(Revocation {
                at: second(row.get("at")?)?,
                why: row.get("why")?,
            })
        })
        .optional()
}

/// The tokens that were revoked alone, by their ids.
pub(crate) fn revoked_tokens(
    connection: &Connection,
) -> rusqlite::Result<Vec<(String, Revocation)>> {
    connection
        .prepare_cached("SELECT subject, at, why FROM revocations WHERE kind = 'token'")?
        .query_map([], |row| {
            let revocation = Revocation {
                at: second(row.get("at")?)?,
                why: row.get("why")?,
            };
            Ok((row.get("subject")?, revocation))
        })?
        .collect()
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
                why: row.get("why")?,
            })
        })?
        .collect()
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
    transaction
        .execute(
            "INSERT INTO revocations (id, sequence, at, kind, subject, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                entry.id,
                entry.sequence,
                entry.at.as_second(),
                entry.kind.as_str(),
                entry.subject,
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
    let lost: Vec<&Entry> = lost
        .iter()
        .filter(|entry| !known.contains(&entry.id))
        .collect();
    let Some(seen) = lost.iter().map(|entry| entry.sequence).max() else {
        return Ok(());
    };
    let sequence = advance(transaction)?;
    for entry in lost {
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

fn terms(row: &Row<'_>) -> rusqlite::Result<Terms> {
    let list = |column: &str| -> rusqlite::Result<String> { row.get(column) };
    Ok(Terms {
        role: row.get("role")?,
        upstreams: serde_json::from_str(&list("upstreams")?)
            .map_err(|e| conversion("upstreams", e.to_string()))?,
        from: serde_json::from_str(&list("sources")?)
            .map_err(|e| conversion("sources", e.to_string()))?,
        access_until: match row.get::<_, Option<String>>("access_until")? {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|e: jiff::Error| conversion("access_until", e.to_string()))?,
            ),
        },
    })
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
