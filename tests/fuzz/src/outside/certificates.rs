//! Certificates that are presented, and requests for them.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use certs::{Authority, Changes};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use wire::Identity;
use wire::leaf::{Leaf, Usage, serial_of};

use super::SENTENCE_MAX;

/// An authority in a folder that goes away.
struct Studio {
    authority: Authority,
    _folder: TempDir,
}

static STUDIO: LazyLock<Studio> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a folder");
    let domain = "studio.example".parse().expect("a trust domain");
    let guard = "ws12".parse().expect("a name");
    let authority = Authority::init(&folder.path().join("state"), Some(domain), &guard);
    Studio {
        authority: authority.expect("an authority"),
        _folder: folder,
    }
});

/// The public half of the private key of 32 sevens.
const POINT: [u8; 65] = [
    0x04, 0x1e, 0x18, 0x53, 0x2f, 0xd4, 0x75, 0x4c, 0x02, 0xf3, 0x04, 0x1d, 0x9c, 0x75, 0xce, 0xb3,
    0x3b, 0x83, 0xff, 0xd8, 0x1a, 0xc7, 0xce, 0x4f, 0xe8, 0x82, 0xcc, 0xb1, 0xc9, 0x8b, 0xc5, 0x89,
    0x6e, 0xa4, 0x6c, 0x31, 0x1c, 0x4e, 0x2f, 0xf4, 0x0d, 0xd9, 0x6a, 0x36, 0x53, 0xe6, 0xe4, 0x54,
    0x45, 0xd3, 0x2d, 0xfe, 0x48, 0x6e, 0xce, 0xd7, 0x5c, 0x7a, 0x90, 0xc6, 0xa1, 0x88, 0x81, 0xc0,
    0xa3,
];

/// The key that asks in [`request_made`].
static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &[7; 32], &POINT).expect("a key")
});

/// A certificate that a peer presents names one identity for one use, or none.
pub fn certificate(input: &[u8]) -> bool {
    let der = CertificateDer::from(input);
    for usage in [Usage::Client, Usage::Server] {
        match Leaf::read(&der, usage) {
            Ok(leaf) => {
                assert_eq!(serial_of(input).as_ref(), Some(&leaf.serial));
                let name = leaf.identity.to_string();
                let again: Identity = name.parse().expect("an identity");
                assert_eq!(again, leaf.identity);
            }
            Err(error) => assert!(error.to_string().len() < SENTENCE_MAX),
        }
    }
    let both = [Usage::Client, Usage::Server].map(|usage| Leaf::read(&der, usage).is_ok());
    assert_ne!(both, [true, true], "it is for a client and for a guard");
    both != [false, false]
}

/// A request by anybody.
pub fn request(input: &[u8]) -> bool {
    issue(input)
}

/// A request with a genuine signature: a subject, and behind a byte that says how long that
/// is, attributes.
pub fn request_made(input: &[u8]) -> bool {
    let (length, rest) = input.split_first().unwrap_or((&0, &[]));
    let (subject, attributes) = rest.split_at(usize::from(*length).min(rest.len()));
    let info = der(
        0x30,
        &[
            &[2, 1, 0][..],
            &der(0x30, &[subject]),
            &key_info(),
            &der(0xa0, &[attributes]),
        ],
    );
    let signature = KEY.sign(&SystemRandom::new(), &info).expect("a signature");
    let signature = der(3, &[&[0], signature.as_ref()]);
    // ecdsa-with-SHA256
    let algorithm = der(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    issue(&der(0x30, &[&info, &algorithm, &signature]))
}

/// Whatever is asked for, a certificate names whom the operator said, for a client alone.
fn issue(request: &[u8]) -> bool {
    let alice: Identity = "spiffe://studio.example/artist/alice".parse().expect("one");
    let changes = Changes {
        role: Some("full".into()),
        ..Changes::default()
    };
    let now = Timestamp::now();
    let authority = &STUDIO.authority;
    let issued = authority.issue_for_request(&alice, request, "a machine", &changes, now);
    match &issued {
        Ok(issued) => {
            let pem = issued.certificate.as_ref().expect("a certificate");
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("in PEM");
            let leaf = Leaf::read(&der, Usage::Client).expect("an artist's");
            assert_eq!(leaf.identity, alice);
            assert!(Leaf::read(&der, Usage::Server).is_err());
        }
        Err(error) => assert!(error.to_string().len() < SENTENCE_MAX),
    }
    issued.is_ok()
}

/// SubjectPublicKeyInfo of the key: id-ecPublicKey on prime256v1.
fn key_info() -> Vec<u8> {
    let curve = [
        6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
    ];
    let point = der(3, &[&[0], KEY.public_key().as_ref()]);
    der(0x30, &[&der(0x30, &[&curve]), &point])
}

/// A tag, a length, and what it holds.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits = length.iter().position(|byte| *byte != 0).unwrap_or(7);
    let digits = &length[digits..];
    let mut out = vec![tag];
    if content.len() < 128 {
        out.push(content.len() as u8);
    } else {
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    out.extend(content);
    out
}
