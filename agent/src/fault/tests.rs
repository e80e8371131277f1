use std::time::Duration;

use wire::leaf::LeafError;

use super::*;

fn fault(cause: Cause) -> Fault {
    Fault {
        guard: "ws12".parse().unwrap(),
        address: "ws12.studio.example:18812".into(),
        cause,
    }
}

#[test]
fn every_cause_has_a_sentence_and_a_hint() {
    let second = Duration::from_secs(5);
    let io = |kind: io::ErrorKind| io::Error::from(kind);
    let causes = [
        Cause::Resolve(io::Error::other("Name or service not known")),
        Cause::Connect(io(io::ErrorKind::ConnectionRefused)),
        Cause::Connect(io(io::ErrorKind::NetworkUnreachable)),
        Cause::ConnectTimeout(second),
        Cause::HandshakeTimeout(second),
        Cause::HandshakeEnded,
        Cause::NotTls,
        Cause::OldTls,
        Cause::NoProtocol,
        Cause::Untrusted(GuardError::Authority),
        Cause::Untrusted(GuardError::Leaf(LeafError::Names(2))),
        Cause::Credentials(rustls::Error::General("no key".into())),
        Cause::AnswerTimeout(second),
        Cause::AnswerEnded,
        Cause::Garbage(ReadError::Magic),
        Cause::Other(io(io::ErrorKind::TimedOut)),
    ];
    let texts: Vec<_> = causes
        .into_iter()
        .map(|cause| fault(cause).explained())
        .collect();
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn every_alert_has_a_sentence_and_a_hint() {
    let alerts = [
        AlertDescription::CertificateRequired,
        AlertDescription::UnknownCA,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateRevoked,
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::DecryptError,
        AlertDescription::AccessDenied,
        AlertDescription::HandshakeFailure,
        AlertDescription::InternalError,
        AlertDescription::DecodeError,
    ];
    let texts: Vec<_> = alerts
        .into_iter()
        .map(|alert| fault(Cause::Alert(alert)).explained())
        .collect();
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn what_our_certificate_did_is_a_permission_error() {
    let class = |cause| fault(cause).exception_class();
    let alert = Cause::Alert(AlertDescription::CertificateRevoked);
    assert_eq!(class(alert), ExceptionClass::PermissionError);
    let alert = Cause::Alert(AlertDescription::InternalError);
    assert_eq!(class(alert), ExceptionClass::ConnectionError);
    assert_eq!(class(Cause::NotTls), ExceptionClass::ConnectionError);
}

#[test]
fn an_alert_is_found_in_the_error_of_a_stream() {
    let wrapped = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let alert = rustls::Error::AlertReceived(AlertDescription::CertificateExpired);
    let cause = Cause::of_answer(ReadError::Io(wrapped(alert)));
    assert!(matches!(
        cause,
        Cause::Alert(AlertDescription::CertificateExpired)
    ));
    let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert!(matches!(
        Cause::of_handshake(wrapped(alert)),
        Cause::NoProtocol
    ));
    let ended = io::ErrorKind::UnexpectedEof.into();
    assert!(matches!(Cause::of_handshake(ended), Cause::HandshakeEnded));
}
