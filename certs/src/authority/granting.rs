//! Grants, and the invites that lead to them.

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp, Zoned};
use rusqlite::Transaction;
use wire::invite::Invite;
use wire::{Identity, Kind, Secret};

use super::{Authority, MAX_SHOWN, is_address, redeeming};
use crate::error::IssueError;
use crate::records::{self, InviteRow, Terms};
use crate::store::{Abort, advance};
use crate::trust::Grant;

/// The longest time that an invite may wait to be redeemed.
const MAX_VALID: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the record of an invite that was never used is kept after its end.
const KEEP_INVITES: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What an operator states about a grant. What is `None` stays as it is, or has its
/// default in a new grant: any upstream, any network, no end.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The role; needed for a new artist or service, and refused for a guard.
    pub role: Option<String>,
    /// The names of the upstreams that may be reached; an empty list for any.
    pub upstreams: Option<Vec<String>>,
    /// The networks to come from; an empty list for any.
    pub from: Option<Vec<IpNet>>,
    /// When access ends.
    pub access_until: Option<AccessEnd>,
}

/// When access ends.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessEnd {
    /// Only when it is revoked.
    Never,
    /// At this moment.
    At(Box<Zoned>),
}

/// What an invite is to say.
#[derive(Debug)]
pub struct InviteOrder<'a> {
    /// Whom it lets in.
    pub identity: &'a Identity,
    /// What is stated about the grant.
    pub changes: &'a Changes,
    /// `HOST:PORT` at which this authority's guard is reached from outside; `None` for
    /// the remembered one.
    pub guard_address: Option<&'a str>,
    /// How long it waits to be redeemed.
    pub valid: SignedDuration,
    /// The present moment.
    pub now: Timestamp,
}

/// An invite just made.
#[derive(Debug)]
pub struct InviteMade {
    /// The code to hand over.
    pub code: Secret<String>,
    /// Its name in lists; not a secret.
    pub id: String,
    /// Until when it can be redeemed.
    pub expires: Timestamp,
    /// `HOST:PORT` that the code carries.
    pub address: String,
    /// The grant that its redemption begins, or that already lives.
    pub grant: Grant,
    /// What became of the grant.
    pub effect: Effect,
}

/// What a command did to a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// There was none, or a revoked one: it begins, or will begin when the invite is
    /// redeemed.
    New,
    /// It lives and stays as it was.
    Kept,
    /// It lives and was changed at once; each change in words.
    Changed(Vec<String>),
}

impl Authority {
    /// Makes a one-time invite.
    ///
    /// For an identity without access nothing is granted before the invite is redeemed.
    /// For one with access the invite adds a device, and what it states about the grant
    /// holds at once, as with [`Self::change_grant`].
    ///
    /// # Errors
    /// [`IssueError`] when the role, the address or a date will not do.
    pub fn invite(&self, order: &InviteOrder<'_>) -> Result<InviteMade, IssueError> {
        let now = order.now;
        if order.identity == &self.guard {
            return Err(IssueError::OwnGuard {
                identity: self.guard.shorthand(),
            });
        }
        if order.valid <= SignedDuration::ZERO || order.valid > MAX_VALID {
            return Err(IssueError::Validity);
        }
        let remembered = self.guard_address()?;
        let address = order
            .guard_address
            .map(ToOwned::to_owned)
            .or(remembered)
            .ok_or(IssueError::AddressUnknown)?;
        // What passes is shorter than the 255 bytes that the code has room for.
        if !is_address(&address) {
            let text = address.chars().take(MAX_SHOWN).collect();
            return Err(IssueError::Address { text });
        }
        let secret: [u8; 16] = crate::random::bytes();
        let id = format!("inv-{}", crate::random::hex(4));
        let expires = now.saturating_add(order.valid).unwrap_or(now);
        let (grant, effect) = self.issue(|transaction| {
            let (grant, effect) =
                state_terms(transaction, order.identity, order.changes, false, now)?;
            let sequence = advance(transaction)?;
            let terms = Terms::of(&grant);
            if effect != Effect::New {
                // This is now the latest word on the grant, later than any older invite.
                records::put_grant(
                    transaction,
                    order.identity,
                    &terms,
                    grant.generation,
                    sequence,
                    now,
                )?;
            }
            let keep = now.saturating_sub(KEEP_INVITES).unwrap_or(now);
            records::forget_invites(transaction, keep)?;
            records::add_invite(
                transaction,
                &InviteRow {
                    hash: redeeming::invite_hash(&secret).to_vec(),
                    id: id.clone(),
                    identity: order.identity.clone(),
                    terms,
                    sequence,
                    created_at: now,
                    expires,
                    used: None,
                    revoked: None,
                },
            )?;
            Ok((grant, effect))
        })?;
        let invite = Invite {
            address: address.clone(),
            guard: self.guard.clone(),
            authority: self.fingerprint(),
            secret: Secret::new(secret),
        };
        Ok(InviteMade {
            code: invite.to_code(),
            id,
            expires,
            address,
            grant,
            effect,
        })
    }

    /// Changes a living grant; live sessions feel it.
    ///
    /// # Errors
    /// [`IssueError`] when there is no grant, or a stated term will not do.
    pub fn change_grant(
        &self,
        identity: &Identity,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<(Grant, Effect), IssueError> {
        // Narrowing somebody's access must be possible while the rollback alarm stands.
        self.store.write(|transaction| {
            match records::grant(transaction, identity)? {
                None => {
                    let pending = !records::open_invites_of(transaction, identity)?.is_empty();
                    let identity = identity.shorthand();
                    return Err(if pending {
                        IssueError::GrantPending { identity }
                    } else {
                        IssueError::GrantMissing { identity }
                    }
                    .into());
                }
                Some(row) => {
                    if let Some(revocation) = row.grant.revoked {
                        return Err(IssueError::GrantRevoked {
                            identity: identity.shorthand(),
                            revocation,
                        }
                        .into());
                    }
                }
            }
            state_terms(transaction, identity, changes, true, now)
        })
    }
}

/// Applies what is stated to a living grant. Where there is none, the new one is returned,
/// and written when `begin` says so.
pub(super) fn state_terms(
    transaction: &Transaction<'_>,
    identity: &Identity,
    changes: &Changes,
    begin: bool,
    now: Timestamp,
) -> Result<(Grant, Effect), Abort> {
    check(identity, changes, now)?;
    let existing = records::grant(transaction, identity)?
        .map(|row| row.grant)
        .filter(|grant| grant.revoked.is_none());
    let Some(old) = existing else {
        let terms = Terms {
            role: match (&changes.role, identity.kind) {
                (_, Kind::Guard) => String::new(),
                (Some(role), _) => role.clone(),
                (None, _) => {
                    return Err(IssueError::RoleMissing {
                        identity: identity.shorthand(),
                    }
                    .into());
                }
            },
            upstreams: changes.upstreams.clone().unwrap_or_default(),
            from: changes.from.clone().unwrap_or_default(),
            access_until: match &changes.access_until {
                Some(AccessEnd::At(until)) => Some((**until).clone()),
                Some(AccessEnd::Never) | None => None,
            },
        };
        let mut generation = 0;
        if begin {
            generation = advance(transaction)?;
            records::put_grant(transaction, identity, &terms, generation, generation, now)?;
        }
        return Ok((terms.into_grant(identity, generation), Effect::New));
    };
    let mut terms = Terms::of(&old);
    let said = apply(&mut terms, changes);
    if let Some(until) = terms.access_until.as_ref().filter(|u| u.timestamp() <= now) {
        return Err(IssueError::AccessEnded {
            identity: identity.shorthand(),
            until: Box::new(until.clone()),
        }
        .into());
    }
    if said.is_empty() {
        return Ok((old, Effect::Kept));
    }
    let stated = advance(transaction)?;
    records::put_grant(transaction, identity, &terms, old.generation, stated, now)?;
    let text = said.join("; ");
    records::event(transaction, now, "grant", Some(identity), &text)?;
    Ok((
        terms.into_grant(identity, old.generation),
        Effect::Changed(said),
    ))
}

fn check(identity: &Identity, changes: &Changes, now: Timestamp) -> Result<(), IssueError> {
    match (&changes.role, identity.kind) {
        (Some(_), Kind::Guard) => {
            return Err(IssueError::RoleOfGuard {
                identity: identity.shorthand(),
            });
        }
        (Some(role), _) if wire::role::check(role).is_err() => {
            return Err(IssueError::Role(role.chars().take(MAX_SHOWN).collect()));
        }
        _ => {}
    }
    match &changes.access_until {
        Some(AccessEnd::At(until)) if until.timestamp() <= now => Err(IssueError::EndIsPast {
            until: until.clone(),
        }),
        _ => Ok(()),
    }
}

/// Changes the terms and says in words what became different.
fn apply(terms: &mut Terms, changes: &Changes) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(role) = changes.role.as_ref().filter(|role| **role != terms.role) {
        said.push(format!("role {role} instead of {}", terms.role));
        terms.role.clone_from(role);
    }
    if let Some(end) = &changes.access_until {
        let until = match end {
            AccessEnd::Never => None,
            AccessEnd::At(until) => Some((**until).clone()),
        };
        if until != terms.access_until {
            said.push(format!(
                "access until {} instead of {}",
                end_in_words(until.as_ref()),
                end_in_words(terms.access_until.as_ref())
            ));
            terms.access_until = until;
        }
    }
    if let Some(upstreams) = &changes.upstreams
        && *upstreams != terms.upstreams
    {
        said.push(format!(
            "upstreams {} instead of {}",
            list_in_words(upstreams),
            list_in_words(&terms.upstreams)
        ));
        terms.upstreams.clone_from(upstreams);
    }
    if let Some(from) = &changes.from
        && *from != terms.from
    {
        said.push(format!(
            "from {} instead of {}",
            list_in_words(from),
            list_in_words(&terms.from)
        ));
        terms.from.clone_from(from);
    }
    said
}

fn end_in_words(until: Option<&Zoned>) -> String {
    until.map_or_else(|| "further notice".into(), crate::when::moment)
}

fn list_in_words<T: ToString>(list: &[T]) -> String {
    if list.is_empty() {
        return "any".into();
    }
    let texts: Vec<_> = list.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

impl Terms {
    fn of(grant: &Grant) -> Self {
        Self {
            role: grant.role.clone(),
            upstreams: grant.upstreams.clone(),
            from: grant.from.clone(),
            access_until: grant.access_until.clone(),
        }
    }

    fn into_grant(self, identity: &Identity, generation: u64) -> Grant {
        Grant {
            identity: identity.clone(),
            role: self.role,
            upstreams: self.upstreams,
            from: self.from,
            access_until: self.access_until,
            generation,
            revoked: None,
        }
    }
}
