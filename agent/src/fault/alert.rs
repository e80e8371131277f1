//! TLS alerts (RFC 8446, section 6) in words.
//!
//! In TLS 1.3 a client believes that it is connected before the guard has looked at its
//! certificate, so that these show where an answer was expected.

use rustls::AlertDescription as Alert;

/// Does it say that our certificate will not do?
pub(super) fn about_certificate(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    )
}

/// What the guard did, to follow its name and address.
pub(super) fn sentence(alert: Alert) -> String {
    let known = match alert {
        Alert::CertificateRequired | Alert::NoCertificate => {
            "asks for a certificate, and none was presented"
        }
        Alert::UnknownCA => {
            "does not trust the authority of this profile's certificate (it may have been set up anew)"
        }
        Alert::CertificateExpired => "says that this profile's certificate has expired",
        Alert::CertificateRevoked => "says that this profile's certificate was revoked",
        Alert::BadCertificate | Alert::CertificateUnknown => {
            "does not accept this profile's certificate"
        }
        Alert::UnsupportedCertificate => "says that this profile's certificate is for another use",
        Alert::DecryptError => "could not verify this profile's certificate and key",
        Alert::AccessDenied => "does not let this profile in",
        Alert::InternalError => "had a problem of its own",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "shares no TLS settings with this agent"
        }
        other => return format!("broke off with the TLS alert {other:?}"),
    };
    known.into()
}

pub(super) fn hint(alert: Alert) -> &'static str {
    match alert {
        Alert::CertificateExpired => {
            "`hrpyc-agent doctor` tries a renewal; if your access has ended, ask IT for a new invite"
        }
        Alert::DecryptError => {
            "the profile may have been copied in part, or the guard set up anew: leave the profile \
             and join again with a new invite"
        }
        Alert::InternalError => "try again; if it stays so, ask IT to look at the guard's log",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "guard and agent may be of versions that do not fit: tell IT both versions"
        }
        alert if about_certificate(alert) => {
            "ask IT what became of your access; a new invite brings you back"
        }
        _ => "try again; if it stays so, ask IT to look at the guard's log",
    }
}
