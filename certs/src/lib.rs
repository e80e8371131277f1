//! The authority of a studio, and the trust store that its guards read.
//!
//! A state directory is opened with [`open`]. It is either an [`Authority`], which holds
//! the keys and the store and issues certificates and tokens, or a [`Member`]: a guard
//! that joined another guard's authority and holds only its own key. What the guard asks
//! before and during a session is behind [`TrustStore`].

pub mod arguments;
mod audit_key;
mod authority;
mod backup;
mod bundle;
mod certificates;
mod error;
mod files;
mod journal;
mod member;
mod random;
mod records;
mod snapshot;
mod state;
mod store;
mod trust;
pub mod when;

pub use audit_key::{AuditKey, AuditPublicKey};
pub use authority::{
    Accepted, AccessEnd, Authority, Bundle, Changes, Device, Effect, Entry, EntryState,
    GuardCredentials, InviteEntry, InviteMade, InviteOrder, InviteState, ListedToken, Listing,
    Redemption, Revoked, Target,
};
pub use backup::{Backup, BackupError, Restored};
pub use bundle::SHORTEST_PASSPHRASE;
pub use error::{IssueError, StateError, StoreError};
pub use member::Member;
pub use records::Alarm;
pub use snapshot::Snapshot;
pub use state::{JOINING_KEY, State, default_state_dir, is_vacant, open};
pub use trust::{
    CertificateStatus, Grant, Revocation, Standing, TokenRef, TokenStatus, TrustStore,
};
