//! Those who are connected, or connecting, when the guard is killed. Each says what it was
//! told in the time before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e::forge::client::{Attempt, Came, Client, hello};
use e2e::forge::enrol::{self, Member};
use e2e::programs::Failure;
use rcgen::KeyPair;
use wire::enrolment::Issued;
use wire::invite::Invite;

use super::scene;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(1);

/// One session, and when each of its calls was answered.
pub(super) struct Talk {
    pub(super) session: String,
    pub(super) answered: Vec<Instant>,
}

/// Calls and calls, until there is no guard. `None` when there was none to begin with.
pub(super) async fn talk(guard: SocketAddr, member: Member) -> Option<Talk> {
    let client = Client::new(guard, Some(&member.credentials));
    let mut session = match client.open(&hello(&member.token)).await {
        Ok(session) => session,
        Err(attempt) => return lost(&attempt),
    };
    let mut answered = Vec::new();
    if scene::begin(&mut session).await.is_ok() {
        while scene::call(&mut session, answered.len() as u64)
            .await
            .is_ok()
        {
            answered.push(Instant::now());
            tokio::time::sleep(PAUSE).await;
        }
    }
    Some(Talk {
        session: session.accepted.session,
        answered,
    })
}

/// Comes and goes; gives the sessions that began.
pub(super) async fn come_and_go(guard: SocketAddr, member: Member) -> Vec<String> {
    let client = Client::new(guard, Some(&member.credentials));
    let mut sessions = Vec::new();
    loop {
        match client.open(&hello(&member.token)).await {
            Ok(session) => sessions.push(session.accepted.session.clone()),
            Err(attempt) => return lost(&attempt).unwrap_or(sessions),
        }
        tokio::time::sleep(5 * PAUSE).await;
    }
}

/// Renews again and again, now and then only the token, as often as a device may in a minute;
/// gives all that was issued.
pub(super) async fn renew(guard: SocketAddr, mut member: Member, pause: Duration) -> Vec<Issued> {
    let key = member.credentials.key_pair();
    let request = enrol::request(&key);
    let mut all = Vec::new();
    for round in 0..20 {
        let request = (round % 4 != 3).then_some(&request[..]);
        let attempt = enrol::renew(guard, &member.credentials, request).await;
        let Came::Issued(issued) = attempt.came else {
            return lost(&attempt).unwrap_or(all);
        };
        if request.is_some() {
            member = Member::new(&issued, &key);
        }
        all.push(*issued);
        tokio::time::sleep(pause).await;
    }
    all
}

/// Redeems an invite. `None` when the answer was lost.
pub(super) async fn join(guard: SocketAddr, invite: &Invite, key: &KeyPair) -> Option<Issued> {
    let attempt = enrol::redeem(guard, invite, &enrol::request(key)).await;
    match attempt.came {
        Came::Issued(issued) => Some(*issued),
        _ => lost(&attempt),
    }
}

/// There is no guard any more. Nobody was told "no" by one.
///
/// # Panics
/// When somebody was.
fn lost<T>(attempt: &Attempt) -> Option<T> {
    match &attempt.came {
        Came::Nothing | Came::Failed(..) => None,
        Came::Bytes(part) if b"HRG".starts_with(&part[..part.len().min(3)]) => None,
        other => panic!(
            "{}",
            Failure::new(format!("an honest client was told {other:?}"))
        ),
    }
}
