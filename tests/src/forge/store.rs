//! Changes to the store that no command would make, as somebody with the disk could.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, params};
use wire::Identity;
use wire::leaf::{Fingerprint, Serial};

use super::certificate::Credentials;

fn open(state: &Path) -> Connection {
    let store = Connection::open(state.join("store.db")).expect("the store");
    store.busy_timeout(Duration::from_secs(10)).expect("a wait");
    store
}

/// Makes a change that the guard notices.
fn change(state: &Path, sql: &str, values: &[&dyn rusqlite::ToSql]) {
    let mut store = open(state);
    let change = store.transaction().expect("a transaction");
    let rows = change.execute(sql, values).expect("the schema is known");
    assert_eq!(rows, 1, "nothing was changed by {sql}");
    change
        .execute("UPDATE meta SET sequence = sequence + 1", [])
        .expect("the schema is known");
    change.commit().expect("the change is written");
}

/// Records a forged certificate as if the authority had issued it like `honest`.
pub fn record(state: &Path, honest: &Credentials, forged: &Credentials) {
    let (_, leaf) = x509_parser::parse_x509_certificate(forged.leaf()).expect("a certificate");
    let key = Fingerprint::of(leaf.public_key().raw).0;
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(forged.leaf())
    );
    change(
        state,
        "INSERT INTO certificates
         SELECT ?1, identity, generation, device, ?2, ?3, not_before, not_after, issued_at, ?4,
                revoked_at, revoked_why
         FROM certificates WHERE serial = ?5",
        params![
            forged.serial().as_str(),
            key,
            forged.fingerprint().0,
            pem,
            honest.serial().as_str()
        ],
    );
}

/// Writes any text for a grant's role.
pub fn set_role(state: &Path, identity: &Identity, role: &str) {
    change(
        state,
        "UPDATE grants SET role = ?1 WHERE identity = ?2",
        params![role, identity.to_string()],
    );
}

/// Removes a grant and leaves the certificates.
pub fn drop_grant(state: &Path, identity: &Identity) {
    change(
        state,
        "DELETE FROM grants WHERE identity = ?1",
        params![identity.to_string()],
    );
}

/// The serial numbers of all certificates ever recorded for an artist.
pub fn certificates(state: &Path, name: &str) -> Vec<Serial> {
    let store = open(state);
    let mut query = store
        .prepare("SELECT serial FROM certificates WHERE identity LIKE '%/artist/' || ?1")
        .expect("the schema is known");
    query
        .query_map([name], |row| row.get::<_, String>(0))
        .expect("rows")
        .map(|serial| serial.expect("text").parse().expect("a serial"))
        .collect()
}
