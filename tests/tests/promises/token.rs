//! The token: signed by the authority in its one way, whole, in time, for this trust
//! domain, this person and this certificate, and not revoked.

use e2e::forge::certificate::fresh_key;
use e2e::forge::client::{Came, hello};
use e2e::forge::enrol::{Member, redeem, renew, request};
use e2e::forge::site::Site;
use e2e::forge::token::{Forged, TokenKey};
use jiff::Timestamp;
use wire::Code;

struct Desk {
    site: Site,
    alice: Member,
    key: TokenKey,
    before: usize,
}

impl Desk {
    /// Shows first that an honest token that was taken apart and signed again is as good.
    async fn start() -> Self {
        let site = Site::start();
        let alice = site.member("alice").await;
        let key = TokenKey::read(&site.trial.state_dir());
        let again = Forged::from(&alice.token).signed(&key);
        site.open_with(&alice.credentials, &again).await;
        let before = site.upstream.accepted();
        Self {
            site,
            alice,
            key,
            before,
        }
    }

    fn token(&self) -> Forged {
        Forged::from(&self.alice.token)
    }

    async fn assert_refused(&self, token: &str, code: Code) {
        self.assert_refused_with_one_of(token, &[code]).await;
    }

    async fn assert_refused_with_one_of(&self, token: &str, codes: &[Code]) {
        let client = self.site.client(&self.alice.credentials);
        let attempt = client.try_hello(&hello(token)).await;
        let Came::Refused(refusal, _) = &attempt.came else {
            panic!("{codes:?} was expected, and {:?} came", attempt.came);
        };
        let code = codes.iter().find(|code| code.as_str() == refusal.code);
        let code = code.unwrap_or_else(|| panic!("{codes:?} was expected: {refusal:?}"));
        let record = self.site.assert_refused(&attempt, *code, self.before);
        let who = self.alice.identity.to_string();
        assert_eq!(record["identity"], who, "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_refused() {
    let desk = Desk::start().await;
    desk.assert_refused("", Code::TokenMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused() {
    let desk = Desk::start().await;
    let token = desk
        .token()
        .with("exp", Timestamp::now().as_second() - 90)
        .shifted("iat", -7200)
        .shifted("nbf", -7200)
        .signed(&desk.key);
    desk.assert_refused(&token, Code::TokenExpired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_valid_yet_is_refused() {
    let desk = Desk::start().await;
    let token = desk
        .token()
        .with("nbf", Timestamp::now().as_second() + 1800)
        .signed(&desk.key);
    desk.assert_refused(&token, Code::TokenNotYetValid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lacks_any_claim_is_refused() {
    let desk = Desk::start().await;
    for claim in [
        "iss", "aud", "sub", "iat", "nbf", "exp", "jti", "role", "gen", "cnf",
    ] {
        let token = desk.token().without(claim).signed(&desk.key);
        desk.assert_refused(&token, Code::TokenMalformed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_audience_is_refused() {
    let desk = Desk::start().await;
    let token = desk
        .token()
        .with("aud", "spiffe://elsewhere.example/guards")
        .signed(&desk.key);
    desk.assert_refused(&token, Code::TokenAudience).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_issuer_is_refused() {
    let desk = Desk::start().await;
    let token = desk
        .token()
        .with("iss", "spiffe://elsewhere.example")
        .signed(&desk.key);
    desk.assert_refused(&token, Code::TokenIssuer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_names_somebody_else_is_refused() {
    let desk = Desk::start().await;
    let bob = desk.alice.identity.to_string().replace("alice", "bob");
    let token = desk.token().with("sub", bob).signed(&desk.key);
    desk.assert_refused(&token, Code::TokenSubject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_to_another_certificate_is_refused() {
    let desk = Desk::start().await;
    // A second device of the same person: only the binding differs.
    let laptop = desk.site.member("alice").await;
    desk.assert_refused(&laptop.token, Code::TokenBinding).await;
    let bob = desk.site.member("bob").await;
    let codes = [Code::TokenBinding, Code::TokenSubject];
    desk.assert_refused_with_one_of(&bob.token, &codes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signed_with_another_key_is_refused() {
    let desk = Desk::start().await;
    let other = TokenKey::another();
    desk.assert_refused(&desk.token().signed(&other), Code::TokenSignature)
        .await;
    // A header that brings its own key along changes nothing.
    let with_key = desk
        .token()
        .header(
            "jwk",
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        )
        .header("kid", "../../dev/null");
    desk.assert_refused_with_one_of(
        &with_key.signed(&other),
        &[Code::TokenSignature, Code::TokenMalformed],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_changed_after_it_was_signed_is_refused() {
    let desk = Desk::start().await;
    let parts: Vec<&str> = desk.alice.token.split('.').collect();
    let changed = desk.token().with("role", "admin").signed(&desk.key);
    let body = changed.split('.').nth(1).unwrap();
    let token = format!("{}.{body}.{}", parts[0], parts[2]);
    desk.assert_refused(&token, Code::TokenSignature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_token_is_refused() {
    let desk = Desk::start().await;
    desk.assert_refused(&desk.token().unsigned(), Code::TokenAlgorithm)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_key_is_not_taken_for_a_shared_secret() {
    let desk = Desk::start().await;
    let public = desk.key.public();
    let pem = desk.key.public_pem();
    for secret in [&public[..], pem.as_bytes(), pem.trim_end().as_bytes()] {
        let token = desk.token().hmac(secret);
        desk.assert_refused(&token, Code::TokenAlgorithm).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_claims_another_algorithm_is_refused() {
    let desk = Desk::start().await;
    for algorithm in ["ES256", "RS256", "HS256", "none", "None"] {
        let token = desk.token().header("alg", algorithm).signed(&desk.key);
        let codes = [Code::TokenAlgorithm, Code::TokenMalformed];
        desk.assert_refused_with_one_of(&token, &codes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_type_is_refused() {
    let desk = Desk::start().await;
    for kind in ["JWT", "at+jwt"] {
        let token = desk.token().header("typ", kind).signed(&desk.key);
        let codes = [Code::TokenAlgorithm, Code::TokenMalformed];
        desk.assert_refused_with_one_of(&token, &codes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_for_a_token_is_refused() {
    let desk = Desk::start().await;
    let long = "A".repeat(3 * 1024 + 1);
    let dots = ".".repeat(200);
    for garbage in [
        "x",
        "..",
        "a.b.c",
        "ünï",
        &long,
        &dots,
        "null",
        "e30.e30.e30",
    ] {
        let codes = [Code::TokenMalformed, Code::TokenAlgorithm];
        desk.assert_refused_with_one_of(garbage, &codes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_and_the_next_one_is_not() {
    let desk = Desk::start().await;
    let id = desk.token().claims["jti"].as_str().unwrap().to_owned();
    desk.site.certs(&["revoke", &id, "--why", "seen in a log"]);
    desk.assert_refused(&desk.alice.token, Code::TokenRevoked)
        .await;

    let attempt = renew(desk.site.address(), &desk.alice.credentials, None).await;
    let Came::Issued(issued) = attempt.came else {
        panic!("{attempt:?}");
    };
    let fresh = issued.token.unwrap().jwt.expose().clone();
    desk.site.open_with(&desk.alice.credentials, &fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_newer_than_the_store_raises_the_alarm_and_stops_issuing() {
    let desk = Desk::start().await;
    let invite = desk.site.invite("bob", &[]);
    let now = desk.token().claims["gen"].as_u64().unwrap();
    let token = desk.token().with("gen", now + 1_000_000).signed(&desk.key);
    let client = desk.site.client(&desk.alice.credentials);
    // It is genuine, so whether it admits is not the question here.
    client.try_hello(&hello(&token)).await;
    let before = desk.site.upstream.accepted();
    let alarm = desk
        .site
        .trial
        .wait_for_record(|record| record["event"] == "alarm")
        .unwrap();
    assert!(alarm["time"].is_string(), "{alarm}");

    let key = fresh_key();
    let request = request(&key);
    let joining = redeem(desk.site.address(), &invite, &request).await;
    desk.site
        .assert_refused(&joining, Code::IssuingStopped, before);
    let renewing = renew(desk.site.address(), &desk.alice.credentials, None).await;
    desk.site
        .assert_refused(&renewing, Code::IssuingStopped, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_does_not_end_a_session() {
    let desk = Desk::start().await;
    let client = desk.site.client(&desk.alice.credentials);
    // The oldest token that still admits, so that its end, with the allowance for slow
    // clocks, is a moment away.
    let now = Timestamp::now().as_second();
    let mut oldest = None;
    for age in (-2..=120).rev() {
        let token = desk.token().with("exp", now - age).signed(&desk.key);
        if let Ok(session) = client.open(&hello(&token)).await {
            oldest = Some((age, token, session));
            break;
        }
    }
    let (age, token, mut session) = oldest.expect("a token in its time admits");
    assert!(
        age <= 60,
        "a token that ended {age} seconds ago still admits"
    );

    let end = std::time::Instant::now() + e2e::programs::DEADLINE;
    loop {
        let before = desk.site.upstream.accepted();
        match client.open(&hello(&token)).await {
            Ok(_) => assert!(std::time::Instant::now() < end, "the token does not end"),
            Err(attempt) => {
                desk.site
                    .assert_refused(&attempt, Code::TokenExpired, before);
                break;
            }
        }
        session.ping().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Long enough for anything that looks at sessions every second to have looked.
    for _ in 0..40 {
        session.ping().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
