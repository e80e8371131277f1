//! Grants: what each identity may do.

use ipnet::IpNet;
use jiff::{Timestamp, Zoned};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, named_params, params};
use wire::Identity;

use super::{conversion, json, parsed, revoked, second};
use crate::trust::Grant;

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

pub(super) fn terms(row: &Row<'_>) -> rusqlite::Result<Terms> {
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
                wire::moment::parse(&text)
                    .map_err(|e| conversion("access_until", e.to_string()))?,
            ),
        },
    })
}
