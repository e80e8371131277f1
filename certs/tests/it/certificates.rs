//! What is signed, whatever was asked for.

use hrpyc_certs::{Changes, IssueError};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use wire::Secret;
use x509_parser::prelude::*;

use crate::studio::{Machine, Studio, der, forge, full, leaf, revoke};

/// A request that asks for everything that it must not get.
fn greedy(pair: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["evil.example".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.subject_alt_names.push(rcgen::SanType::URI(
        "spiffe://studio.example/artist/root".try_into().unwrap(),
    ));
    params.serialize_request(pair).unwrap().der().to_vec()
}

fn issue(studio: &Studio, request: &[u8]) -> Result<wire::enrolment::Issued, IssueError> {
    studio.authority.issue_for_request(
        &studio.who("alice"),
        request,
        "laptop",
        &full(),
        Timestamp::now(),
    )
}

#[test]
fn only_the_key_of_a_request_counts() {
    let studio = Studio::new();
    let pair = KeyPair::generate().unwrap();
    let issued = issue(&studio, &greedy(&pair)).unwrap();
    let der = der(&issued);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=alice");
    assert!(!certificate.is_ca());
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && !constraints.value.ca);
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert_eq!(usage.flags, 1, "digitalSignature alone");
    let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    assert_eq!(leaf(&issued).identity, studio.who("alice"));
    assert_eq!(certificate.raw_serial().len(), 20);
    assert_eq!(
        certificate.public_key().subject_public_key.as_ref(),
        pair.public_key_raw()
    );
    let start = certificate.validity().not_before.timestamp();
    assert!(start <= Timestamp::now().as_second() - 590);
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let studio = Studio::new();
    let refused = |request: &[u8]| match issue(&studio, request) {
        Err(IssueError::Request(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut changed = Machine::new().request;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert!(refused(&changed).contains("signature"));
    // A request with another's key under its own signature.
    let mut foreign = Machine::new().request;
    let other = KeyPair::generate().unwrap();
    let at = foreign.windows(2).position(|w| w == [0, 4]).unwrap() + 1;
    foreign[at..at + 65].copy_from_slice(other.public_key_raw());
    assert!(refused(&foreign).contains("signature"));

    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert!(refused(&greedy(&p384)).contains("P-256"));
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert!(refused(&greedy(&ed25519)).contains("P-256"));
    let mut long = Machine::new().request;
    long.push(0);
    assert!(refused(&long).contains("follow"));
    long.resize(5000, 0);
    assert!(refused(&long).contains("4096"));
    for garbage in [&b""[..], b"hello", &[0x30, 0x82, 0xff, 0xff]] {
        assert!(refused(garbage).contains("PKCS #10"));
    }
    assert!(
        studio
            .authority
            .list(Timestamp::now())
            .unwrap()
            .entries
            .is_empty()
    );
}

#[test]
fn a_certificate_is_good_for_one_end_only() {
    let studio = Studio::new();
    let authority = studio.authority.certificate();
    let anchor = anchor_from_trusted_cert(&authority).unwrap();
    let valid = |der: &CertificateDer<'_>, usage| {
        EndEntityCert::try_from(der)
            .unwrap()
            .verify_for_usage(
                rustls::crypto::aws_lc_rs::default_provider()
                    .signature_verification_algorithms
                    .all,
                std::slice::from_ref(&anchor),
                &[],
                UnixTime::now(),
                usage,
                None,
                None,
            )
            .is_ok()
    };
    let client = der(&studio.join("alice").1);
    assert!(valid(&client, KeyUsage::client_auth()));
    assert!(!valid(&client, KeyUsage::server_auth()));
    let guard = der(&studio.join("guard/ws13").1);
    assert!(valid(&guard, KeyUsage::server_auth()));
    assert!(!valid(&guard, KeyUsage::client_auth()));
    let own = studio
        .authority
        .guard_credentials(Timestamp::now())
        .unwrap();
    assert!(valid(&own.chain[0], KeyUsage::server_auth()));
}

#[test]
fn a_guard_that_cannot_renew_keeps_its_certificate_to_the_end() {
    let studio = Studio::new();
    let authority = &studio.authority;
    let first = authority.guard_credentials(Timestamp::now()).unwrap();
    let days = |days: i64| first.not_before + SignedDuration::from_hours(24 * days);
    // As a full disk would.
    forge(
        &studio,
        "CREATE TRIGGER no BEFORE INSERT ON certificates BEGIN SELECT raise(abort, 'no'); END",
    );
    let kept = authority.guard_credentials(days(80)).unwrap();
    assert_eq!(kept.chain, first.chain);
    assert!(kept.not_renewed.is_some() && kept.is_due(days(80)));
    assert!(authority.guard_credentials(days(91)).is_err());
    forge(&studio, "DROP TRIGGER no");
    let renewed = authority.guard_credentials(days(80)).unwrap();
    assert_ne!(renewed.chain, first.chain);
    assert!(renewed.not_renewed.is_none());
    // A revoked one is not gone on with.
    forge(
        &studio,
        "UPDATE certificates SET revoked_at = 1, revoked_why = 'stolen';
         CREATE TRIGGER no BEFORE INSERT ON certificates BEGIN SELECT raise(abort, 'no'); END",
    );
    assert!(authority.guard_credentials(days(80)).is_err());
}

#[test]
fn the_authority_can_sign_leaves_and_lists_and_nothing_below() {
    let studio = Studio::new();
    let der = studio.authority.certificate();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert!(
        matches!(names.value.general_names.as_slice(), [GeneralName::URI(uri)] if *uri == "spiffe://studio.example")
    );
}

#[test]
fn the_revocation_list_names_what_was_revoked() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    studio.join("bob");
    revoke(&studio.authority, "alice", "left");
    let pem = studio.authority.revocation_list(Timestamp::now()).unwrap();
    let der =
        rustls::pki_types::CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
    let serials: Vec<_> = list
        .iter_revoked_certificates()
        .map(|revoked| wire::leaf::Serial::from_bytes(revoked.raw_serial()))
        .collect();
    assert_eq!(serials, [leaf(&alice).serial]);
}

#[test]
fn a_bundle_opens_with_its_passphrase_only() {
    use pkcs8::EncryptedPrivateKeyInfoRef;

    let studio = Studio::new();
    let bundle = studio
        .authority
        .issue_bundle(&studio.who("alice"), "offline", &full(), Timestamp::now())
        .unwrap();
    let pem = bundle.to_pem(&Secret::new("correct horse".into())).unwrap();
    let end = "-----END ENCRYPTED PRIVATE KEY-----\n";
    let (key, rest) = pem.expose().split_once(end).unwrap();
    assert!(rest.ends_with(studio.authority.certificate_pem()));
    assert_eq!(CertificateDer::pem_slice_iter(rest.as_bytes()).count(), 2);
    let (_, document) = pkcs8::SecretDocument::from_pem(&format!("{key}{end}")).unwrap();
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).unwrap();
    // Decrypting in plain Rust takes long; that the parameters are as promised is quick.
    let parameters = encrypted.encryption_algorithm.pbes2().unwrap();
    assert_eq!(parameters.kdf.pbkdf2().unwrap().iteration_count, 600_000);
    assert!(!pem.expose().contains("BEGIN PRIVATE KEY"));
}

#[test]
fn changes_are_needed_for_who_has_no_access() {
    let studio = Studio::new();
    let error = studio.authority.issue_for_request(
        &studio.who("alice"),
        &Machine::new().request,
        "laptop",
        &Changes::default(),
        Timestamp::now(),
    );
    assert!(matches!(error, Err(IssueError::RoleMissing { .. })));
}

/// OpenSSL reads it as well, where it is installed.
mod openssl {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    fn openssl(directory: &Path, arguments: &[&str]) -> Option<Output> {
        Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .output()
            .ok()
    }

    #[test]
    fn openssl_verifies_certificates_lists_and_bundles() {
        let studio = Studio::new();
        let directory = studio.path();
        let bundle = studio
            .authority
            .issue_bundle(&studio.who("alice"), "offline", &full(), Timestamp::now())
            .unwrap();
        let pem = bundle.to_pem(&Secret::new("correct horse".into())).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("bundle.pem", pem.expose());
        write("alice.crt", bundle.issued.certificate.as_deref().unwrap());
        revoke(&studio.authority, "alice", "left");
        let list = studio.authority.revocation_list(Timestamp::now()).unwrap();
        write("list.pem", &list);

        let Some(key) = openssl(
            &directory,
            &["pkey", "-in", "bundle.pem", "-passin", "pass:correct horse"],
        ) else {
            return;
        };
        assert!(key.status.success());
        let public = |pem: &[u8]| {
            KeyPair::from_pem(std::str::from_utf8(pem).unwrap())
                .unwrap()
                .public_key_pem()
        };
        assert_eq!(
            public(&key.stdout),
            public(bundle.key_pem.expose().as_bytes())
        );
        let run = |arguments: &[&str]| openssl(&directory, arguments).unwrap();
        assert!(
            !run(&["pkey", "-in", "bundle.pem", "-passin", "pass:wrong horse"])
                .status
                .success()
        );

        let authority = ["-CAfile", "authority.crt", "-x509_strict"];
        let verify = |more: &[&str]| {
            run(&[&["verify"], &authority[..], more].concat())
                .status
                .success()
        };
        assert!(verify(&["-purpose", "sslclient", "alice.crt"]));
        assert!(!verify(&["-purpose", "sslserver", "alice.crt"]));
        assert!(verify(&["-purpose", "sslserver", "guard.crt"]));
        assert!(!verify(&[
            "-crl_check",
            "-CRLfile",
            "list.pem",
            "alice.crt"
        ]));
        assert!(verify(&["-crl_check", "-CRLfile", "list.pem", "guard.crt"]));

        let text = run(&["x509", "-in", "alice.crt", "-noout", "-text"]).stdout;
        let text = String::from_utf8(text).unwrap();
        for line in [
            "Subject: CN = alice",
            "URI:spiffe://studio.example/artist/alice",
            "TLS Web Client Authentication",
            "CA:FALSE",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
