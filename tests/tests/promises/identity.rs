//! The certificate after the handshake: one name, one purpose, in time, known, not revoked.
//!
//! The forged certificates are signed by the real authority and, unless a test says
//! otherwise, recorded in its store: only the defect is left to refuse.

use std::time::Duration;

use e2e::forge::certificate::{Authority, Credentials, Form, dns, fresh_key, uri};
use e2e::forge::client::{Came, Client, hello};
use e2e::forge::enrol::{Member, redeem_bytes, request};
use e2e::forge::impostor::stolen_from;
use e2e::forge::site::Site;
use e2e::forge::store;
use e2e::forge::token::{Forged, TokenKey};
use jiff::Timestamp;
use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
use rustls::HandshakeKind;
use wire::Code;
use wire::tls::{ALPN_ENROL, ALPN_SESSION};
use wire::token::Confirmation;

/// A site with an honest alice, and what it takes to forge her.
struct Forge {
    site: Site,
    alice: Member,
    authority: Authority,
    tokens: TokenKey,
    before: usize,
}

impl Forge {
    /// Shows first that a certificate forged without a defect gets in.
    async fn start() -> Self {
        let site = Site::start();
        let alice = site.member("alice").await;
        site.open(&alice).await;
        let state = site.trial.state_dir();
        let mut forge = Self {
            authority: Authority::read(&state),
            tokens: TokenKey::read(&state),
            before: 0,
            site,
            alice,
        };
        let (flawless, token) = forge.issue(&Form::client(&forge.name()));
        forge.site.open_with(&flawless, &token).await;
        forge.before = forge.site.upstream.accepted();
        forge
    }

    fn name(&self) -> String {
        self.alice.identity.to_string()
    }

    /// A recorded certificate of this form with a token bound to it.
    fn issue(&self, form: &Form) -> (Credentials, String) {
        let forged = self.authority.issue(form);
        store::record(
            &self.site.trial.state_dir(),
            &self.alice.credentials,
            &forged,
        );
        let token = self.token_for(&forged);
        (forged, token)
    }

    fn token_for(&self, credentials: &Credentials) -> String {
        let confirmation = Confirmation::of(&credentials.fingerprint());
        Forged::from(&self.alice.token)
            .with("cnf/x5t#S256", confirmation.x5t_s256)
            .signed(&self.tokens)
    }

    async fn assert_refused(&self, form: Form, code: Code) {
        let (forged, token) = self.issue(&form);
        let attempt = self.site.client(&forged).try_hello(&hello(&token)).await;
        let record = self.site.assert_refused(&attempt, code, self.before);
        // A certificate that cannot be read whole has no serial number either.
        if !record["serial"].is_null() {
            assert_eq!(record["serial"], forged.serial().as_str(), "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() {
    let forge = Forge::start().await;
    let mut form = Form::client(&forge.name());
    form.not_before = Timestamp::now() - Duration::from_secs(7200);
    form.not_after = Timestamp::now() - Duration::from_secs(2);
    forge.assert_refused(form, Code::CertificateExpired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_valid_yet_is_refused() {
    let forge = Forge::start().await;
    let mut form = Form::client(&forge.name());
    form.not_before = Timestamp::now() + Duration::from_secs(3600);
    forge
        .assert_refused(form, Code::CertificateNotYetValid)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guards_own_certificate_is_refused_as_a_clients() {
    let forge = Forge::start().await;
    let stolen = stolen_from(&forge.site.trial.state_dir());
    let token = forge.token_for(&stolen);
    let attempt = forge.site.client(&stolen).try_hello(&hello(&token)).await;
    forge
        .site
        .assert_refused(&attempt, Code::CertificateUsage, forge.before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_servers_with_an_artists_name_is_refused() {
    let forge = Forge::start().await;
    let mut form = Form::client(&forge.name());
    form.usages = vec![ServerAuth];
    forge.assert_refused(form, Code::CertificateUsage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_a_purpose_is_refused() {
    let forge = Forge::start().await;
    let mut form = Form::client(&forge.name());
    form.usages = vec![];
    forge.assert_refused(form, Code::CertificateUsage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_clients_and_servers_at_once_is_refused() {
    let forge = Forge::start().await;
    for usages in [vec![ClientAuth, ServerAuth], vec![ClientAuth, Any]] {
        let mut form = Form::client(&forge.name());
        form.usages = usages;
        forge.assert_refused(form, Code::CertificateUsage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_two_names_is_refused() {
    let forge = Forge::start().await;
    let bob = forge.name().replace("alice", "bob");
    for second in [uri(&bob), uri("https://studio.example/"), dns("ws99")] {
        let mut form = Form::client(&forge.name());
        form.names.push(second.clone());
        forge.assert_refused(form, Code::CertificateName).await;
        let mut form = Form::client(&forge.name());
        form.names.insert(0, second);
        forge.assert_refused(form, Code::CertificateName).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_a_spiffe_name_is_refused() {
    let forge = Forge::start().await;
    let domain = forge.alice.identity.domain.to_string();
    for names in [
        vec![],
        vec![dns("alice")],
        vec![uri("https://studio.example/artist/alice")],
        vec![uri(&format!("spiffe://{domain}/root/alice"))],
        vec![uri(&format!("spiffe://{domain}/artist/alice/x"))],
        vec![uri(&format!("spiffe://{domain}/artist/Alice"))],
    ] {
        let mut form = Form::client(&forge.name());
        form.names = names;
        forge.assert_refused(form, Code::CertificateName).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_foreign_trust_domain_is_refused() {
    let forge = Forge::start().await;
    let form = Form::client("spiffe://elsewhere.example/artist/alice");
    forge.assert_refused(form, Code::TrustDomainForeign).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_may_sign_others_is_refused() {
    let forge = Forge::start().await;
    let mut form = Form::client(&forge.name());
    form.authority = true;
    let (forged, token) = forge.issue(&form);
    let attempt = forge.site.client(&forged).try_hello(&hello(&token)).await;
    let record = forge.site.refusal_record(attempt.local);
    let codes = [Code::CertificateUsage, Code::CertificateInvalid];
    assert!(
        codes.iter().any(|code| record["code"] == code.as_str()),
        "{record}"
    );
    assert_eq!(forge.site.upstream.accepted(), forge.before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_signed_by_an_artists_certificate_is_refused() {
    let forge = Forge::start().await;
    // Alice signs for bob with her own key and sends her certificate along.
    let own = &forge.alice.credentials;
    let key = rcgen::KeyPair::from_pem(&own.key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(own.leaf(), key).unwrap();
    let bob = fresh_key();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![uri(&forge.name().replace("alice", "bob"))];
    params.extended_key_usages = vec![ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&bob, &issuer).unwrap();
    let mut forged = own.clone();
    forged.chain.insert(0, leaf.der().clone());
    forged.key = bob.serialize_pem();

    let token = forge.token_for(&forged);
    let attempt = forge.site.client(&forged).try_hello(&hello(&token)).await;
    let record = forge.site.refusal_record(attempt.local);
    let codes = [Code::AuthorityUnknown, Code::CertificateInvalid];
    assert!(
        codes.iter().any(|code| record["code"] == code.as_str()),
        "{record}"
    );
    assert_eq!(forge.site.upstream.accepted(), forge.before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_authority_never_recorded_is_refused() {
    let forge = Forge::start().await;
    let forged = forge.authority.issue(&Form::client(&forge.name()));
    let token = forge.token_for(&forged);
    let attempt = forge.site.client(&forged).try_hello(&hello(&token)).await;
    let record = forge
        .site
        .assert_refused(&attempt, Code::CertificateUnknown, forge.before);
    assert_eq!(record["serial"], forged.serial().as_str(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guards_name_in_a_clients_certificate_does_not_get_in() {
    let forge = Forge::start().await;
    let name = forge.name().replace("artist/alice", "guard/ws12");
    let (forged, _) = forge.issue(&Form::client(&name));
    let token = Forged::from(&forge.token_for(&forged))
        .with("sub", name)
        .signed(&forge.tokens);
    let attempt = forge.site.client(&forged).try_hello(&hello(&token)).await;
    forge.site.refusal_record(attempt.local);
    assert_eq!(forge.site.upstream.accepted(), forge.before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let forge = Forge::start().await;
    let mut forged = forge.alice.credentials.clone();
    forged.key = fresh_key().serialize_pem();
    // rustls would notice that they do not fit; this client does not look.
    let client = Client::mismatched(forge.site.address(), &forged);
    let attempt = client.try_hello(&hello(&forge.alice.token)).await;
    forge
        .site
        .assert_recorded(&attempt, Code::CertificateInvalid, forge.before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused() {
    let forge = Forge::start().await;
    let serial = forge.alice.credentials.serial();
    forge
        .site
        .certs(&["revoke", serial.as_str(), "--why", "lost laptop"]);
    let attempt = forge
        .site
        .client(&forge.alice.credentials)
        .try_hello(&hello(&forge.alice.token))
        .await;
    let record = forge
        .site
        .assert_refused(&attempt, Code::CertificateRevoked, forge.before);
    assert_eq!(record["identity"], forge.name(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_when_its_session_is_resumed() {
    let forge = Forge::start().await;
    let client = forge.site.client(&forge.alice.credentials).resuming();
    let words = hello(&forge.alice.token);
    // Two sessions, so that a ticket of the first would be used already.
    for _ in 0..2 {
        let mut session = client.open(&words).await.unwrap();
        session.ping().await.unwrap();
    }
    let before = forge.site.upstream.accepted();
    let serial = forge.alice.credentials.serial();
    forge
        .site
        .certs(&["revoke", serial.as_str(), "--why", "lost laptop"]);
    let attempt = client.try_hello(&words).await;
    // Else the guard gave no ticket, and this showed nothing.
    assert_eq!(attempt.handshake, Some(HandshakeKind::Resumed));
    forge
        .site
        .assert_refused(&attempt, Code::CertificateRevoked, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused_when_its_session_is_resumed() {
    let forge = Forge::start().await;
    let mut form = Form::client(&forge.name());
    // Certificates know whole seconds only.
    form.not_after = Timestamp::now() + Duration::from_secs(4);
    let (short, token) = forge.issue(&form);
    let client = forge.site.client(&short).resuming();
    let words = hello(&token);
    for _ in 0..2 {
        let mut session = client.open(&words).await.unwrap();
        session.ping().await.unwrap();
    }
    let before = forge.site.upstream.accepted();
    let end = form.not_after + Duration::from_secs(2);
    e2e::programs::poll("the end of the certificate", || {
        (Timestamp::now() > end).then_some(())
    })
    .unwrap();
    let attempt = client.try_hello(&words).await;
    // Else the guard gave no ticket, and this showed nothing.
    assert_eq!(attempt.handshake, Some(HandshakeKind::Resumed));
    forge
        .site
        .assert_refused(&attempt, Code::CertificateExpired, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_resumed_as_a_session_is_refused() {
    let forge = Forge::start().await;
    let invite = forge.site.invite("bob", &[]);
    let key = fresh_key();
    let words = redeem_bytes(&invite, &request(&key));
    let enrolling = Client::new(forge.site.address(), None)
        .offering(&[ALPN_ENROL])
        .resuming();
    let joined = enrolling.try_hello(&words).await;
    let Came::Issued(issued) = joined.came else {
        panic!("{joined:?}");
    };
    let bob = Member::new(&issued, &key);

    let client = enrolling.offering(&[ALPN_SESSION]);
    let attempt = client.try_hello(&hello(&bob.token)).await;
    // Enrolment gives no tickets, so there is nothing to resume.
    assert_eq!(attempt.handshake, Some(HandshakeKind::Full));
    forge
        .site
        .assert_recorded(&attempt, Code::CertificateMissing, forge.before);
    // The same words behind bob's certificate are welcome.
    forge.site.open(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_a_session_opens_no_other_protocol() {
    let forge = Forge::start().await;
    let client = forge.site.client(&forge.alice.credentials).resuming();
    let words = hello(&forge.alice.token);
    client.open(&words).await.unwrap().ping().await.unwrap();
    let before = forge.site.upstream.accepted();
    for protocol in [ALPN_ENROL, wire::tls::ALPN_FOLLOW] {
        let other = client.clone().offering(&[protocol]);
        let attempt = other.try_hello(&words).await;
        let record = forge.site.refusal_record(attempt.local);
        assert_eq!(record["event"], "refused", "{record}");
        assert_eq!(forge.site.upstream.accepted(), before);
    }
}
