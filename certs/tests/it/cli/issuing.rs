//! Certificates and tokens by hand.

use super::*;

#[test]
fn issuing_by_hand_names_each_file_and_its_end() {
    let cli = Cli::new();
    cli.write("alice.csr", Machine::new().request);
    cli.write("short", "hunter2\n");
    cli.write("passphrase", "correct horse\n");
    assert_snapshot!(cli.run("issue alice --csr alice.csr --out alice.crt"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice has no access yet, so a role must be given
    hint: add --role full
    ");
    assert_snapshot!(cli.run("issue alice --role full --csr alice.csr --out alice.crt --token-out alice.jwt"), @r"
    exit 0
    --- stdout
    --- stderr
    The certificate is in alice.crt, valid until [DATE].
    The token is in alice.jwt, valid until [DATE].
    ");
    assert_snapshot!(cli.run("issue alice --csr alice.csr --out alice.crt"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice.crt exists already
    hint: give another name, or move it away; nothing is overwritten
    ");
    assert_snapshot!(cli.run("issue alice --csr passphrase"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the certificate request cannot be used: it is not a certificate request in DER (PKCS #10)
    hint: make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout NAME.key -subj / -out NAME.csr
    ");
    assert_snapshot!(cli.run("issue alice --bundle alice.pem --passphrase-file short"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the passphrase is shorter than 8 characters
    hint: choose a longer one: whoever gets the file can try as many as they like
    ");
    assert_snapshot!(cli.run("issue alice --bundle alice.pem"), @r"
    exit 2
    --- stdout
    --- stderr
    error: a passphrase is needed, and there is no terminal to ask at
    hint: give it with --passphrase-file FILE, or --passphrase-file - on standard input
    ");
    assert_snapshot!(cli.run("issue alice --bundle alice.pem --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    --- stderr
    The key with its certificates is in alice.pem, valid until [DATE].
    ");
    assert_snapshot!(cli.run("issue alice"), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <--csr <FILE>|--bundle <FILE>>

    Usage: hrpyc-certs issue <--csr <FILE>|--bundle <FILE>> <NAME>

    For more information, try '--help'.
    ");
    #[cfg(unix)]
    for name in ["alice.crt", "alice.jwt", "alice.pem"] {
        assert_eq!(mode(&cli.path(name)), 0o600);
    }
    let certificate = cli.ok("issue alice --csr alice.csr");
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn nothing_is_issued_that_cannot_be_written_down() {
    let cli = Cli::new();
    cli.write("alice.csr", Machine::new().request);
    cli.write("passphrase", "correct horse\n");
    for line in [
        "--csr alice.csr --out nodir/alice.crt",
        "--csr alice.csr --out alice.crt --token-out nodir/alice.jwt",
        "--csr alice.csr --out alice.crt --token-out alice.crt",
        "--bundle nodir/alice.pem --passphrase-file passphrase",
        "--bundle alice.pem --token-out nodir/alice.jwt --passphrase-file passphrase",
    ] {
        let output = cli.output(&format!("issue alice --role full {line}"));
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(cli.json("list")["entries"], serde_json::json!([]), "{line}");
    }
    // Nor is an empty file left when nothing is issued.
    let output = cli.output("issue alice --csr alice.csr --out alice.crt");
    assert_eq!(output.status.code(), Some(1));
    for name in ["alice.crt", "alice.pem"] {
        assert!(!cli.path(name).exists(), "{name}");
    }
}

#[test]
fn tokens_and_lists_go_to_standard_output() {
    let cli = Cli::new();
    assert_snapshot!(cli.run("token alice"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice has no access
    hint: let them in with: hrpyc-certs invite alice --role full
    ");
    cli.with_alice();
    assert_snapshot!(cli.run("token alice"), @r"
    exit 0
    --- stdout
    [TOKEN]
    --- stderr
    A token for alice, which admits until [DATE], together with its certificate.
    ");
    assert_snapshot!(cli.run("token guard/ws12"), @r"
    exit 2
    --- stdout
    --- stderr
    error: guard/ws12 is a guard, and guards have no token
    hint: give the name of an artist or a service
    ");
    assert_snapshot!(cli.run("token alice --serial 00ff"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the certificate is not known here
    hint: the device must join anew: hrpyc-certs invite NAME
    ");
    assert!(cli.ok("crl").starts_with("-----BEGIN X509 CRL-----"));
    assert!(cli.json("crl")["crl"].is_string());
}
