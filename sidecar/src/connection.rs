//! The life of a connection, from top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::Code;

use crate::audit::{Attempt, Event, OpenSession};
use crate::denial::Denial;
use crate::guard::Guard;
use crate::identity::{self, Unverified, VerifiedPeer};
use crate::inspect::{self, Inspector, Who};
use crate::limits::Turn;
use crate::policy::Permit;
use crate::relay;
use crate::rules::Inspect;
use crate::tls::{self, Accepted, EnrolmentSession, FollowerSession, RenewalSession, TlsSession};
use crate::upstream::{self, Connection};
use crate::{enrolment, follow, hello, policy, token};

/// Serves one connection to its end. Whatever happens leaves an audit record.
///
/// What is over when bytes begin to flow has a box of its own, which goes with it: sessions are
/// idle for hours, and what a future could hold at some time it has room for all the while.
pub async fn serve(tcp: TcpStream, address: SocketAddr, guard: Arc<Guard>) {
    let Some(mut running) = Box::pin(begin(tcp, address, &guard)).await else {
        return;
    };
    let end = relay(&mut running, &guard).await;
    Box::pin(running.end(end)).await;
}

/// Up to a session that runs. `None` when it was something else, or nothing came of it.
async fn begin(tcp: TcpStream, address: SocketAddr, guard: &Arc<Guard>) -> Option<Box<Running>> {
    let attempt = guard.audit.attempt(address);
    let config = guard.config();
    let (turns, patience) = (
        config.limits.handshakes_per_address,
        config.limits.handshake_timeout,
    );
    let turn = match guard.gate.enter(address.ip(), turns, patience).await {
        Ok(turn) => turn,
        Err(denial) => {
            refused(guard, attempt, &denial);
            return None;
        }
    };
    let deadline = Instant::now() + config.limits.handshake_timeout;
    let vanished_after = config.limits.peer_timeout;
    let accepted = match tls::accept(tcp, &guard.tls(), deadline, vanished_after).await {
        Ok(accepted) => accepted,
        Err(denial) => {
            refused(guard, attempt, &denial);
            return None;
        }
    };
    match accepted {
        Accepted::Session(session) => return open_session(session, attempt, turn, guard).await,
        Accepted::Enrolment(session) => serve_join(session, attempt, guard).await,
        Accepted::Renewal(session) => serve_renewal(session, attempt, guard).await,
        Accepted::Follower(session) => serve_follower(session, attempt, turn, guard).await,
    }
    None
}

/// A session that was let in, and whose client has been told. One that is dropped is written
/// down before anybody can see that it has ended: the order of the fields says so.
struct Running {
    record: OpenSession,
    up: Connection,
    permit: Permit,
    session: TlsSession,
}

impl Running {
    /// Writes down why it ended, and lets go of the client.
    async fn end(self: Box<Self>, end: relay::End) {
        let Self {
            mut session,
            up,
            permit,
            record,
        } = *self;
        drop((up, permit));
        record.closed(end);
        tls::close(session.stream()).await;
    }
}

/// A session: each step takes the proof that the step before it made.
async fn open_session(
    mut session: TlsSession,
    mut attempt: Attempt,
    turn: Turn,
    guard: &Arc<Guard>,
) -> Option<Box<Running>> {
    let (permit, up) = match admit(&mut session, &mut attempt, turn, guard).await {
        Ok(admitted) => admitted,
        Err(denial) => {
            refuse_session(guard, session, attempt, &denial).await;
            return None;
        }
    };
    let id = attempt.id();
    let shared_user = guard.shares_user(permit.houdini(), &up).await;
    let record = match attempt.open(shared_user).await {
        Ok(record) => record,
        Err((attempt, denial)) => {
            refuse_session(guard, session, attempt, &denial).await;
            return None;
        }
    };
    let told = hello::accept(&mut session, permit.accepted(&id)).await;
    if told.is_err() {
        record.closed(relay::End::ClientLost);
        return None;
    }
    Some(Box::new(Running {
        session,
        up,
        permit,
        record,
    }))
}

/// Carries the session's bytes to its end, inspected as its role wants it.
async fn relay(running: &mut Running, guard: &Arc<Guard>) -> relay::End {
    let Running {
        session,
        up,
        permit,
        record,
    } = running;
    let idle = permit.idle_timeout();
    session.stream().get_mut().0.read_ahead();
    if permit.role().inspect() == Inspect::Off {
        let ended = permit.registration().ended();
        return relay::run(session.stream(), up, &mut record.traffic, idle, ended).await;
    }
    let houdini = permit.houdini().clone();
    let listener = up.listener(&houdini).await;
    let asking = guard.families.of(&houdini, listener);
    let rules = permit.rules().clone();
    let who = Who {
        identity: permit.peer().identity().shorthand(),
        role: permit.role().as_str().into(),
        rules: rules.clone(),
    };
    let held = guard.config().limits.held_bytes;
    let mut inspector = Inspector::new(who, permit.role(), rules, record.calls(), held);
    let ended = permit.registration().ended();
    let client = session.stream();
    let traffic = &mut record.traffic;
    let inspecting = inspect::run(client, up, &mut inspector, asking, traffic, idle, ended);
    let (end, why) = Box::pin(inspecting).await;
    if let Some(family) = inspector.houdini_showed() {
        guard.families.learn(&houdini, listener, family);
    }
    if let Some(why) = why {
        record.note(why);
    }
    end
}

/// From a handshake to an open connection to Houdini.
async fn admit(
    session: &mut TlsSession,
    attempt: &mut Attempt,
    turn: Turn,
    guard: &Arc<Guard>,
) -> Result<(Permit, Connection), Denial> {
    let (trust, config) = (&guard.trust, guard.config());
    let peer: VerifiedPeer = identity::verify(session, trust)
        .await
        .map_err(|unverified| note_claim(attempt, unverified))?;
    attempt.knows(peer.leaf());
    let hello = hello::read(session, config.limits.hello_timeout).await?;
    attempt.client(&hello.client);
    if guard.is_draining() {
        return Err(draining());
    }
    let token = token::verify(&hello, &peer, trust, config.limits.clock_skew)?;
    attempt.token(token.id());
    let address = attempt.peer().ip().to_canonical();
    let registration = guard
        .sessions
        .register(&peer, &token, address, &config.limits)?;
    // From here on the limits on sessions bound it.
    drop(turn);
    let wanted = hello.upstream.as_ref();
    let rules = &guard.rules;
    let permit =
        policy::authorize(peer, token, wanted, registration, trust, rules, &config).await?;
    attempt.permitted(&permit);
    attempt.check_writable()?;
    let up = upstream::connect(&permit).await?;
    Ok((permit, up))
}

async fn serve_join(mut session: EnrolmentSession, attempt: Attempt, guard: &Arc<Guard>) {
    let limit = guard.config().limits.enrolment_timeout;
    match enrolment::serve_join(&mut session, &guard.trust, limit).await {
        Ok(issued) => attempt.served(Event::Enrolled, &issued.identity),
        Err(denial) => refused(guard, attempt, &denial),
    }
}

async fn serve_renewal(mut session: RenewalSession, mut attempt: Attempt, guard: &Arc<Guard>) {
    let limit = guard.config().limits.enrolment_timeout;
    let peer = match identity::verify_renewal(&session, &guard.trust).await {
        Ok(peer) => peer,
        Err(unverified) => {
            let denial = note_claim(&mut attempt, unverified);
            enrolment::refuse_renewal(&mut session, &denial).await;
            return refused(guard, attempt, &denial);
        }
    };
    attempt.knows(peer.leaf());
    if let Err(denial) = guard.renewals.spend(peer.leaf()) {
        enrolment::refuse_renewal(&mut session, &denial).await;
        return refused(guard, attempt, &denial);
    }
    match enrolment::serve_renewal(&mut session, &peer, &guard.trust, limit).await {
        Ok(issued) => attempt.served(Event::Renewed, &issued.identity),
        Err(denial) => refused(guard, attempt, &denial),
    }
}

async fn serve_follower(
    mut session: FollowerSession,
    mut attempt: Attempt,
    turn: Turn,
    guard: &Arc<Guard>,
) {
    let member = match identity::verify_guard(&session, &guard.trust).await {
        Ok(member) => member,
        Err(unverified) => {
            let denial = note_claim(&mut attempt, unverified);
            tls::close(session.stream()).await;
            return refused(guard, attempt, &denial);
        }
    };
    attempt.knows(member.leaf());
    let Some(authority) = guard.trust.issuer.clone() else {
        let denial = Denial::new(
            Code::NotTheAuthority,
            "This guard does not hold the authority, so it cannot be followed.",
            "Follow the guard that the invite named.",
        );
        tls::close(session.stream()).await;
        return refused(guard, attempt, &denial);
    };
    drop(turn);
    attempt.served(Event::Followed, &member.leaf().identity);
    let limit = guard.config().limits.hello_timeout;
    follow::serve(&mut session, &member, authority, &guard.trust, limit).await;
}

fn note_claim(attempt: &mut Attempt, unverified: Unverified) -> Denial {
    attempt.claims(unverified.claim.identity, unverified.claim.serial);
    unverified.denial
}

async fn refuse_session(guard: &Guard, mut session: TlsSession, attempt: Attempt, denial: &Denial) {
    refused(guard, attempt, denial);
    hello::refuse(&mut session, denial).await;
}

fn refused(guard: &Guard, attempt: Attempt, denial: &Denial) {
    if !attempt.is_known() && denial.code != Code::TooManyHandshakes {
        let limits = &guard.config().limits;
        let (turns, allowed) = (limits.handshakes_per_address, limits.failures_per_address);
        guard.gate.failed(attempt.peer().ip(), turns, allowed);
    }
    attempt.refused(denial);
}

fn draining() -> Denial {
    Denial::new(
        Code::Draining,
        "The guard is being stopped and takes no new sessions.",
        "Try again in a minute.",
    )
}
