//! Joining and renewing, where this guard holds the authority.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{Authority, IssueError, Redemption};
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use wire::Code;
use wire::enrolment::{Issued, Redeem, Renew, Reply};
use wire::leaf::Fingerprint;
use wire::message::{self, Message, ReadError};
use wire::peer::PeerStream;

use crate::denial::Denial;
use crate::identity::{RenewingPeer, day_and_time};
use crate::tls::{self, EnrolmentSession, RenewalSession};
use crate::trust::Trust;

/// How long a client may take to receive its reply.
const REPLY_TIME: Duration = Duration::from_secs(5);
/// The longest device name that is kept, in characters.
const DEVICE_NAME: usize = 100;

/// Serves one joining.
///
/// # Errors
/// A denial of the stage `enrolment`; the client has been told.
pub async fn serve_join(
    session: &mut EnrolmentSession,
    trust: &Trust,
    limit: Duration,
) -> Result<Issued, Denial> {
    let result = join(session.stream(), trust, limit).await;
    reply(session.stream(), result).await
}

/// Serves one renewal.
///
/// # Errors
/// As [`serve_join`].
pub async fn serve_renewal(
    session: &mut RenewalSession,
    peer: &RenewingPeer,
    trust: &Trust,
    limit: Duration,
) -> Result<Issued, Denial> {
    let result = renew(session.stream(), peer, trust, limit).await;
    reply(session.stream(), result).await
}

/// Tells a client that wants to renew why it may not.
pub async fn refuse_renewal(session: &mut RenewalSession, denial: &Denial) {
    let _ = reply(session.stream(), Err(denial.clone())).await;
}

async fn join(
    stream: &mut TlsStream<PeerStream>,
    trust: &Trust,
    limit: Duration,
) -> Result<Issued, Denial> {
    let request: Redeem = read(stream, limit).await?;
    let authority = issuer(trust)?;
    let secret = URL_SAFE_NO_PAD
        .decode(request.secret.expose())
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .ok_or_else(malformed)?;
    let device: String = request
        .device
        .chars()
        .filter(|c| !c.is_control())
        .take(DEVICE_NAME)
        .collect();
    let address = request.address;
    let csr = request.request;
    let audit = trust.audit.clone();
    blocking(move || {
        let issued = redeem(&authority, &secret, &csr, &device, address.as_deref());
        if let Err(IssueError::InviteUsed { identity, at }) = &issued {
            audit.alarm(
                "invite-used",
                &wire::hex(&Fingerprint::of(&secret).0),
                &format!("the invite of {identity} was used at {at} and came again, with another key or much later: somebody else may have read it"),
            );
        }
        issued
    })
    .await
}

fn redeem(
    authority: &Authority,
    secret: &[u8; 16],
    csr: &str,
    device: &str,
    address: Option<&str>,
) -> Result<Issued, IssueError> {
    let now = Timestamp::now();
    // The secret first: nobody without one gets a certificate request parsed.
    authority.check_invite(secret, now)?;
    let request_der = URL_SAFE_NO_PAD
        .decode(csr)
        .map_err(|_| IssueError::Request("it is not base64url".into()))?;
    authority.redeem(&Redemption {
        secret,
        request_der: &request_der,
        device,
        address,
        now,
    })
}

async fn renew(
    stream: &mut TlsStream<PeerStream>,
    peer: &RenewingPeer,
    trust: &Trust,
    limit: Duration,
) -> Result<Issued, Denial> {
    let request: Renew = read(stream, limit).await?;
    let authority = issuer(trust)?;
    let leaf = peer.leaf().clone();
    blocking(move || {
        let request_der = request
            .request
            .map(|text| URL_SAFE_NO_PAD.decode(text))
            .transpose()
            .map_err(|_| IssueError::Request("it is not base64url".into()))?;
        authority.renew(&leaf, request_der.as_deref(), Timestamp::now())
    })
    .await
}

async fn read<M: Message>(
    stream: &mut TlsStream<PeerStream>,
    limit: Duration,
) -> Result<M, Denial> {
    match timeout(limit, message::read(stream)).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error @ (ReadError::Ended(_) | ReadError::Io(_)))) => Err(Denial::new(
            Code::EnrolmentMalformed,
            format!("The request did not arrive whole: {error}."),
            "Run hrpyc-agent join again.",
        )),
        Ok(Err(error)) => Err(Denial::new(
            Code::EnrolmentMalformed,
            format!("The request cannot be read: {error}."),
            "Use hrpyc-agent of the same version as the guard or newer.",
        )),
        Err(_) => Err(Denial::new(
            Code::EnrolmentTimeout,
            "The request did not come in time.",
            "Run hrpyc-agent join again.",
        )),
    }
}

fn issuer(trust: &Trust) -> Result<Arc<Authority>, Denial> {
    trust.issuer.clone().ok_or_else(|| {
        Denial::new(
            Code::NotTheAuthority,
            "This guard does not hold the authority, so it can issue nothing.",
            "Join and renew at the guard that the invite names.",
        )
    })
}

/// Issuing writes to disk and waits for it; that must not hold up other connections.
async fn blocking(
    issue: impl FnOnce() -> Result<Issued, IssueError> + Send + 'static,
) -> Result<Issued, Denial> {
    match tokio::task::spawn_blocking(issue).await {
        Ok(Ok(issued)) => Ok(issued),
        Ok(Err(error)) => Err(explain(&error)),
        Err(error) => Err(Denial::new(
            Code::Internal,
            format!("Issuing failed inside the guard: {error}."),
            "Tell your IT team; the guard's log has more.",
        )),
    }
}

async fn reply(
    stream: &mut TlsStream<PeerStream>,
    result: Result<Issued, Denial>,
) -> Result<Issued, Denial> {
    let reply = match &result {
        Ok(issued) => Reply::Issued(Box::new(issued.clone())),
        Err(denial) => Reply::Refused(denial.refusal()),
    };
    if let Ok(Ok(())) = timeout(REPLY_TIME, message::write(stream, &reply)).await {
        tls::close(stream).await;
    }
    result
}

fn malformed() -> Denial {
    Denial::new(
        Code::EnrolmentMalformed,
        "The request holds no secret of an invite.",
        "Run hrpyc-agent join again.",
    )
}

const NEW_INVITE: &str = "Ask your IT team for a new invite.";

fn explain(error: &IssueError) -> Denial {
    let (code, sentence, hint) = match error {
        IssueError::InviteUnknown => (
            Code::InviteUnknown,
            "This invite is not known here.".into(),
            NEW_INVITE,
        ),
        IssueError::InviteUsed { at, .. } => {
            (
                Code::InviteUsed,
                format!(
                    "This invite was used on {}, by another device or by somebody else.",
                    day_and_time(*at)
                ),
                "If that was not you, tell your IT team at once; otherwise ask for a new invite.",
            )
        }
        IssueError::InviteExpired { at } => (
            Code::InviteExpired,
            format!("This invite expired on {}.", day_and_time(*at)),
            NEW_INVITE,
        ),
        IssueError::InviteRevoked(revocation) => (
            Code::InviteRevoked,
            format!(
                "This invite was revoked on {}: {}.",
                day_and_time(revocation.at),
                revocation.why
            ),
            NEW_INVITE,
        ),
        IssueError::Request(problem) => (
            Code::RequestInvalid,
            format!("The certificate request cannot be used: {problem}."),
            "Use hrpyc-agent join, which makes a fitting one.",
        ),
        IssueError::GrantMissing { identity } => (
            Code::GrantMissing,
            format!("{identity} has no access here."),
            NEW_INVITE,
        ),
        IssueError::GrantRevoked { identity, revocation } => (
            Code::GrantRevoked,
            format!(
                "The access of {identity} was revoked on {}: {}.",
                day_and_time(revocation.at),
                revocation.why
            ),
            "Ask your IT team; a new invite starts anew.",
        ),
        IssueError::AccessEnded { identity, until } => (
            Code::AccessEnded,
            format!(
                "The access of {identity} ended on {}.",
                until.strftime("%A %Y-%m-%d %H:%M %Z")
            ),
            "Ask your IT team for a longer one.",
        ),
        IssueError::CertificateRevoked(revocation) => (
            Code::CertificateRevoked,
            format!(
                "This certificate was revoked on {}: {}.",
                day_and_time(revocation.at),
                revocation.why
            ),
            "Ask your IT team; a new invite starts anew.",
        ),
        IssueError::KeyRevoked(revocation) => (
            Code::CertificateRevoked,
            format!(
                "This device's key was revoked on {}: {}.",
                day_and_time(revocation.at),
                revocation.why
            ),
            "Run hrpyc-agent leave NAME, so that a new key is made, and join with a new invite.",
        ),
        IssueError::CertificateUnknown => (
            Code::CertificateUnknown,
            "The authority has no record of this certificate.".into(),
            NEW_INVITE,
        ),
        IssueError::AddressMissing => (
            Code::RequestInvalid,
            "This invite is for a guard, and no guard used it; it can still be used.".into(),
            "Give the code to hrpyc-guard join on the workstation, with --advertise HOST:PORT.",
        ),
        IssueError::Address { text } => (
            Code::RequestInvalid,
            format!("{text:?} is not an address at which artists could reach a guard."),
            "Run hrpyc-guard join with --advertise HOST:PORT.",
        ),
        IssueError::NotAGuard { identity } => (
            Code::RequestInvalid,
            format!("This invite is for {identity}, and a guard used it; it can still be used."),
            "Give the code to hrpyc-agent join on that artist's machine.",
        ),
        IssueError::Role(role) => (
            Code::RoleUnknown,
            format!("The authority knows no role {role:?}."),
            NEW_INVITE,
        ),
        IssueError::Stopped => (
            Code::IssuingStopped,
            "The authority's store was rolled back to an older copy, so nothing is issued until somebody has looked.".into(),
            "Tell your IT team: hrpyc-certs restore --accept-rollback ends the alarm.",
        ),
        IssueError::CertificateExpired { at } => (
            Code::CertificateExpired,
            format!(
                "This certificate expired on {} and cannot be renewed any more.", day_and_time(*at)),
            "Ask your IT team for a new invite.",
        ),
        IssueError::State(_) | IssueError::Store(_) | IssueError::Journal(_) => {
            tracing::error!(%error, "issuing failed");
            (
                Code::StoreUnavailable,
                "The authority cannot use its store, so nothing was issued.".into(),
                "Try again in a minute; if it stays so, tell your IT team.",
            )
        }
        // What only an operator's command can meet.
        other => {
            tracing::error!(error = %other, "issuing failed");
            (
                Code::Internal,
                format!("The authority issued nothing: {other}."),
                "Tell your IT team; the guard's log has more.",
            )
        }
    };
    Denial::new(code, sentence, hint)
}

#[cfg(test)]
mod tests {
    use certs::Revocation;

    use super::*;

    #[test]
    fn every_refusal_says_what_happened_and_what_to_do() {
        let at: Timestamp = "2026-11-27T17:00:00Z".parse().unwrap();
        let until = "2026-11-27T18:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let revocation = Revocation {
            at,
            why: "laptop stolen".into(),
        };
        let identity = || "alice".to_owned();
        let errors = [
            IssueError::InviteUnknown,
            IssueError::InviteUsed {
                identity: identity(),
                at,
            },
            IssueError::InviteExpired { at },
            IssueError::InviteRevoked(revocation.clone()),
            IssueError::Request("its key is not P-256".into()),
            IssueError::GrantMissing {
                identity: identity(),
            },
            IssueError::GrantRevoked {
                identity: identity(),
                revocation: revocation.clone(),
            },
            IssueError::AccessEnded {
                identity: identity(),
                until: Box::new(until),
            },
            IssueError::CertificateRevoked(revocation.clone()),
            IssueError::KeyRevoked(revocation),
            IssueError::CertificateUnknown,
            IssueError::CertificateExpired { at },
            IssueError::AddressMissing,
            IssueError::Address {
                text: "ws 13".into(),
            },
            IssueError::NotAGuard {
                identity: identity(),
            },
            IssueError::Stopped,
        ];
        let shown: Vec<String> = errors
            .iter()
            .map(|error| explain(error).refusal().to_string())
            .collect();
        insta::assert_snapshot!(shown.join("\n\n"));
    }
}
