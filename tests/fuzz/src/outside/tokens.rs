//! Tokens: of anybody's making, and of the authority's own with any content.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use guard::token::read;
use jsonwebtoken::DecodingKey;
use wire::TrustDomain;
use wire::token::{audience, issuer};

use super::SENTENCE_MAX;

const SKEW: Duration = Duration::from_secs(30);

/// The key that this test's authority signs with.
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"));

static DOMAIN: LazyLock<TrustDomain> =
    LazyLock::new(|| "studio.example".parse().expect("a trust domain"));

/// Nobody without the key gets anything accepted.
pub fn token(input: &[u8]) -> bool {
    std::str::from_utf8(input).is_ok_and(|text| check(text, false))
}

/// A header and claims, divided by a byte that is no text, with a genuine signature: what is
/// accepted is for this trust domain, in its dates.
pub fn token_made(input: &[u8]) -> bool {
    let mut parts = input.splitn(2, |byte| *byte == 0xff);
    let (header, claims) = (parts.next(), parts.next());
    let encoded = |part: Option<&[u8]>| URL_SAFE_NO_PAD.encode(part.unwrap_or_default());
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let signature = URL_SAFE_NO_PAD.encode(KEY.sign(signed.as_bytes()));
    check(&format!("{signed}.{signature}"), true)
}

fn check(text: &str, is_signed: bool) -> bool {
    let key = DecodingKey::from_ed_der(KEY.public_key().as_ref());
    let read = read(text, &DOMAIN, &key, SKEW);
    match &read {
        Ok(claims) => {
            assert!(is_signed, "it was accepted without the key: {text}");
            assert_eq!(claims.iss, issuer(&DOMAIN));
            assert_eq!(claims.aud, audience(&DOMAIN));
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now = i64::try_from(now.expect("after 1970").as_secs()).expect("before 2262");
            let skew = SKEW.as_secs() as i64;
            assert!(claims.exp >= now - skew - 1 && claims.nbf <= now + skew + 1);
            assert!(claims.iat <= now + skew + 1);
        }
        Err(denial) => {
            let refusal = denial.refusal();
            let said = refusal.sentence.len() + refusal.hint.len();
            assert!(said < SENTENCE_MAX, "{refusal:?}");
        }
    }
    read.is_ok()
}
