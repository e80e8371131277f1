//! Errors that say what to do next.

use rpyc::ExceptionClass;
use wire::{Code, Refusal};

/// An error for people: `Display` says what happened and why, the hint what to do.
pub trait Explain: std::error::Error {
    /// What to do next, when there is something.
    fn hint(&self) -> Option<String>;

    /// The text as it is printed and as a Python script gets it: the sentence and, on a
    /// line of its own, the hint.
    fn explained(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}\nhint: {hint}"),
            None => self.to_string(),
        }
    }
}

/// A refusal without its hint: `SENTENCE (code)`.
pub(crate) fn sentence(refusal: &Refusal) -> String {
    format!("{} ({})", refusal.sentence, refusal.code)
}

/// What to do about a refusal, if the guard said.
pub(crate) fn hint(refusal: &Refusal) -> Option<String> {
    (!refusal.hint.is_empty()).then(|| refusal.hint.clone())
}

/// The Python exception that a guard's refusal becomes: `PermissionError` where somebody
/// decided about this artist, `ConnectionError` where something is away, busy or broken. A
/// code that is not known here is no decision: a script may try again.
pub fn exception_class(refusal: &Refusal) -> ExceptionClass {
    if is_decision(refusal) {
        ExceptionClass::PermissionError
    } else {
        ExceptionClass::ConnectionError
    }
}

/// Did somebody decide so, or is what this artist presents not good for it?
pub(crate) fn is_decision(refusal: &Refusal) -> bool {
    Code::ALL
        .iter()
        .any(|code| code.as_str() == refusal.code && decides(*code))
}

fn decides(code: Code) -> bool {
    matches!(
        code,
        Code::CertificateMissing
            | Code::CertificateInvalid
            | Code::CertificateExpired
            | Code::CertificateNotYetValid
            | Code::CertificateUsage
            | Code::CertificateName
            | Code::CertificateRevoked
            | Code::CertificateUnknown
            | Code::AuthorityUnknown
            | Code::TrustDomainForeign
            | Code::TokenMissing
            | Code::TokenMalformed
            | Code::TokenAlgorithm
            | Code::TokenSignature
            | Code::TokenExpired
            | Code::TokenNotYetValid
            | Code::TokenAudience
            | Code::TokenIssuer
            | Code::TokenSubject
            | Code::TokenBinding
            | Code::TokenRevoked
            | Code::GrantMissing
            | Code::GrantRevoked
            | Code::AccessEnded
            | Code::RoleUnknown
            | Code::AddressNotAllowed
            | Code::UpstreamUnknown
            | Code::UpstreamNotGranted
            | Code::InviteUnknown
            | Code::InviteUsed
            | Code::InviteExpired
            | Code::InviteRevoked
            | Code::SessionRevoked
            | Code::SessionEnded
            | Code::SessionChanged
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str) -> ExceptionClass {
        exception_class(&Refusal {
            code: code.into(),
            sentence: String::new(),
            hint: String::new(),
        })
    }

    #[test]
    fn a_decision_about_the_artist_is_a_permission_error() {
        let families = ["certificate-", "token-", "grant-", "invite-"];
        let single = [
            "access-ended",
            "role-unknown",
            "address-not-allowed",
            "upstream-unknown",
            "upstream-not-granted",
            "trust-domain-foreign",
            "authority-unknown",
            "session-revoked",
            "session-access-ended",
            "session-grant-changed",
        ];
        for code in Code::ALL.iter().map(|code| code.as_str()) {
            let decision =
                single.contains(&code) || families.iter().any(|family| code.starts_with(family));
            let permission = matches!(class(code), ExceptionClass::PermissionError);
            assert_eq!(permission, decision, "{code}");
        }
    }

    #[test]
    fn what_passes_and_what_is_not_known_is_a_connection_error() {
        for code in [
            "store-unavailable",
            "audit-unavailable",
            "internal",
            "too-many-sessions-identity",
            "too-many-renewals",
            "issuing-stopped",
            "session-idle",
            "hello-timeout",
            "token-of-the-future",
        ] {
            assert!(
                matches!(class(code), ExceptionClass::ConnectionError),
                "{code}"
            );
        }
    }
}
