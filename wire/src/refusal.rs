//! Why somebody was turned away: a stable code, a sentence and a hint.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $stage:ident;)*) => {
        /// A stable name for the cause of a refusal. `docs/errors.md` explains each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes, in the order of the life of a connection.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable text of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The stage of the connection that gives this code.
            pub fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)* }
            }
        }
    };
}

/// A stage in the life of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Limits looked at before anything is read.
    Accept,
    /// The TLS handshake, and what came instead of one.
    Tls,
    /// The certificate after the handshake.
    Identity,
    /// The client's first message.
    Hello,
    /// The token in the hello.
    Token,
    /// What the grant allows.
    Policy,
    /// Dialling Houdini.
    Upstream,
    /// Joining and renewing.
    Enrolment,
    /// A session that ran.
    Session,
}

impl Stage {
    /// The stable text of the stage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Tls => "tls",
            Self::Identity => "identity",
            Self::Hello => "hello",
            Self::Token => "token",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Enrolment => "enrolment",
            Self::Session => "session",
        }
    }
}

codes! {
    /// The guard serves as many sessions as it may.
    TooManySessions = "too-many-sessions", Accept;
    /// Too many handshakes from this address are under way.
    TooManyHandshakes = "too-many-handshakes", Accept;
    /// The guard is shutting down.
    Draining = "draining", Accept;
    /// The audit log cannot be written, so nothing may happen.
    AuditUnavailable = "audit-unavailable", Accept;

    /// An rpyc client without TLS.
    PlainRpyc = "plain-rpyc", Tls;
    /// An HTTP client.
    PlainHttp = "plain-http", Tls;
    /// Neither TLS nor anything known.
    NotTls = "not-tls", Tls;
    /// The handshake took too long.
    HandshakeTimeout = "handshake-timeout", Tls;
    /// The handshake failed: malformed, no common version or cipher.
    HandshakeFailed = "handshake-failed", Tls;
    /// The peer hung up in the handshake.
    HandshakeAborted = "handshake-aborted", Tls;
    /// No certificate was presented.
    CertificateMissing = "certificate-missing", Tls;
    /// The certificate is of an authority that this guard does not trust.
    AuthorityUnknown = "authority-unknown", Tls;
    /// The certificate is damaged or its owner could not prove to hold its key.
    CertificateInvalid = "certificate-invalid", Tls;
    /// No protocol of ours was offered (ALPN).
    ProtocolMissing = "protocol-missing", Tls;

    /// The certificate has expired.
    CertificateExpired = "certificate-expired", Identity;
    /// The certificate is not valid yet.
    CertificateNotYetValid = "certificate-not-yet-valid", Identity;
    /// The certificate is for something else: a guard's, or for no stated use.
    CertificateUsage = "certificate-usage", Identity;
    /// The certificate does not carry exactly one name of the known form.
    CertificateName = "certificate-name", Identity;
    /// The certificate names another trust domain.
    TrustDomainForeign = "trust-domain-foreign", Identity;
    /// The certificate was revoked.
    CertificateRevoked = "certificate-revoked", Identity;
    /// The certificate is ours and the store has no record of it.
    CertificateUnknown = "certificate-unknown", Identity;
    /// The trust store cannot be read.
    StoreUnavailable = "store-unavailable", Identity;

    /// The connection ended before a whole hello had come.
    HelloMissing = "hello-missing", Hello;
    /// The hello did not come in time.
    HelloTimeout = "hello-timeout", Hello;
    /// The hello is longer than allowed.
    HelloTooLarge = "hello-too-large", Hello;
    /// The hello cannot be read.
    HelloMalformed = "hello-malformed", Hello;
    /// The hello is of a version that this guard does not know.
    HelloVersion = "hello-version", Hello;

    /// The hello carries no token.
    TokenMissing = "token-missing", Token;
    /// The token cannot be read, or lacks a claim.
    TokenMalformed = "token-malformed", Token;
    /// The token is signed in another way than the authority signs.
    TokenAlgorithm = "token-algorithm", Token;
    /// The token's signature is not the authority's.
    TokenSignature = "token-signature", Token;
    /// The token has expired.
    TokenExpired = "token-expired", Token;
    /// The token is not valid yet.
    TokenNotYetValid = "token-not-yet-valid", Token;
    /// The token is for somebody else's guards.
    TokenAudience = "token-audience", Token;
    /// The token is of another authority.
    TokenIssuer = "token-issuer", Token;
    /// The token names somebody else than the certificate does.
    TokenSubject = "token-subject", Token;
    /// The token is bound to another certificate.
    TokenBinding = "token-binding", Token;
    /// The token was revoked.
    TokenRevoked = "token-revoked", Token;

    /// There is no grant for this identity.
    GrantMissing = "grant-missing", Policy;
    /// Access was revoked.
    GrantRevoked = "grant-revoked", Policy;
    /// Access has ended as agreed.
    AccessEnded = "access-ended", Policy;
    /// The role is not one that this guard can hold anybody to.
    RoleUnknown = "role-unknown", Policy;
    /// The address is outside those the grant names.
    AddressNotAllowed = "address-not-allowed", Policy;
    /// The wanted upstream is not configured.
    UpstreamUnknown = "upstream-unknown", Policy;
    /// The wanted upstream is not in the grant.
    UpstreamNotGranted = "upstream-not-granted", Policy;
    /// This identity has as many sessions as it may.
    TooManyForIdentity = "too-many-sessions-identity", Policy;
    /// This address has as many sessions as it may.
    TooManyForAddress = "too-many-sessions-address", Policy;

    /// Houdini's RPC server is not listening.
    UpstreamDown = "upstream-down", Upstream;
    /// Houdini's RPC server did not accept in time.
    UpstreamTimeout = "upstream-timeout", Upstream;
    /// The upstream's port belongs to another user than configured.
    UpstreamOwner = "upstream-owner", Upstream;

    /// The enrolment message cannot be read or is too long.
    EnrolmentMalformed = "enrolment-malformed", Enrolment;
    /// The enrolment message did not come in time.
    EnrolmentTimeout = "enrolment-timeout", Enrolment;
    /// No such invite.
    InviteUnknown = "invite-unknown", Enrolment;
    /// The invite was used by another key.
    InviteUsed = "invite-used", Enrolment;
    /// The invite has expired.
    InviteExpired = "invite-expired", Enrolment;
    /// The invite was revoked.
    InviteRevoked = "invite-revoked", Enrolment;
    /// This device renews too often.
    TooManyRenewals = "too-many-renewals", Enrolment;
    /// The certificate request cannot be used.
    RequestInvalid = "request-invalid", Enrolment;
    /// This guard does not hold the authority.
    NotTheAuthority = "not-the-authority", Enrolment;
    /// The store was rolled back, so nothing is issued until somebody has looked.
    IssuingStopped = "issuing-stopped", Enrolment;

    /// Access was revoked during the session.
    SessionRevoked = "session-revoked", Session;
    /// Access ended during the session.
    SessionEnded = "session-access-ended", Session;
    /// What the session may do was changed to something it no longer fits.
    SessionChanged = "session-grant-changed", Session;
    /// Nothing was sent for longer than the configured idle time.
    SessionIdle = "session-idle", Session;
    /// The guard was stopped.
    SessionDrained = "session-drained", Session;
    /// One end sent what is not rpyc, or not as its peers send it.
    SessionProtocol = "session-protocol", Session;
    /// Something inside the guard went wrong.
    Internal = "internal", Session;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A refusal as it travels to the artist.
///
/// The code is text here, because a newer guard may send one that this version does
/// not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A stable name of the cause, one of [`Code::ALL`] or newer.
    pub code: String,
    /// What happened and why, for the artist.
    pub sentence: String,
    /// What to do next.
    pub hint: String,
}

impl Refusal {
    /// A refusal from its parts.
    pub fn new(code: Code, sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: code.as_str().into(),
            sentence: sentence.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Refusal {
    /// `SENTENCE (code)` and, on a line of its own, `hint: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sentence, self.code)?;
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_text_of_its_own() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
