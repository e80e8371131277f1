//! Certificates, tokens and revocation lists, by hand.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hrpyc_certs::Authority;
use hrpyc_certs::when;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde_json::json;
use wire::enrolment::Issued;
use wire::leaf::{Leaf, Usage};
use wire::{Identity, Kind};

use super::outcome::{Done, Failure, NewFile, check_free};
use super::passphrase;
use hrpyc_certs::arguments::{IssueArguments, TokenArguments};

/// More than any certificate request is long.
const MAX_INPUT: u64 = 64 * 1024;

pub(crate) fn issue<'a>(
    authority: &Authority,
    arguments: &'a IssueArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let identity = Identity::from_shorthand(&arguments.name, authority.domain())?;
    // Before anybody is asked for a passphrase.
    for path in [&arguments.out, &arguments.token_out, &arguments.what.bundle]
        .into_iter()
        .flatten()
    {
        check_free(path)?;
    }
    if arguments.token_out.is_some() && identity.kind == Kind::Guard {
        return Err(Failure::usage(
            "a guard has no token",
            "leave --token-out out",
        ));
    }
    let request = match &arguments.what.csr {
        Some(csr) => request_der(&read_input(csr)?),
        None => Vec::new(),
    };
    let bundle = match &arguments.what.bundle {
        Some(path) => Some((
            passphrase::new(arguments.passphrase_file.as_deref())?,
            NewFile::create(path)?,
        )),
        None => None,
    };
    let new_file = |path: &'a Option<PathBuf>| path.as_deref().map(NewFile::create).transpose();
    let out = new_file(&arguments.out)?;
    let token_out = new_file(&arguments.token_out)?;
    let changes = arguments.terms.to_changes();
    let mut notes = String::new();
    let mut files = Vec::new();
    let mut text = String::new();

    let issued = if let Some((passphrase, bundle)) = bundle {
        let made = authority.issue_bundle(&identity, &arguments.device, &changes, now)?;
        let (line, file) =
            bundle.described("The key with its certificates", not_after(&made.issued)?);
        bundle.fill(made.to_pem(&passphrase)?.expose())?;
        notes.push_str(&line);
        files.push(file);
        made.issued
    } else {
        let issued =
            authority.issue_for_request(&identity, &request, &arguments.device, &changes, now)?;
        let certificate = issued.certificate.clone().unwrap_or_default();
        match out {
            Some(out) => {
                let (line, file) = out.described("The certificate", not_after(&issued)?);
                out.fill(&certificate)?;
                notes.push_str(&line);
                files.push(file);
            }
            None => {
                notes.push_str(&format!(
                    "The certificate is valid until {}.\n",
                    when::local(not_after(&issued)?)
                ));
                text = certificate;
            }
        }
        issued
    };
    if let (Some(out), Some(token)) = (token_out, &issued.token) {
        let (line, file) = out.described("The token", token.expires);
        out.fill(&format!("{}\n", token.jwt.expose()))?;
        notes.push_str(&line);
        files.push(file);
    }
    let json = json!({
        "identity": issued.identity,
        "role": issued.role,
        "access_until": issued.access_until,
        "certificate": issued.certificate,
        "expires": not_after(&issued)?,
        "authority": issued.authority,
        "token": issued.token.as_ref().map(|token| token.jwt.expose()),
        "token_expires": issued.token.as_ref().map(|token| token.expires),
        "files": files,
    });
    Ok(Done::new(text, json).with_notes(notes))
}

pub(crate) fn token(
    authority: &Authority,
    arguments: &TokenArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let identity = Identity::from_shorthand(&arguments.name, authority.domain())?;
    if identity.kind == Kind::Guard {
        return Err(Failure::usage(
            format!(
                "{} is a guard, and guards have no token",
                identity.shorthand()
            ),
            "give the name of an artist or a service",
        ));
    }
    let issued = authority.fresh_token(&identity, arguments.serial.as_ref(), now)?;
    let token = issued
        .token
        .ok_or_else(|| Failure::new("no token was issued", "try again"))?;
    Ok(Done::new(
        format!("{}\n", token.jwt.expose()),
        json!({
            "identity": issued.identity,
            "role": issued.role,
            "access_until": issued.access_until,
            "token": token.jwt.expose(),
            "expires": token.expires,
        }),
    )
    .with_notes(format!(
        "A token for {}, which admits until {}, together with its certificate.\n",
        identity.shorthand(),
        when::local(token.expires)
    )))
}

pub(crate) fn crl(authority: &Authority, now: Timestamp) -> Result<Done, Failure> {
    let list = authority.revocation_list(now)?;
    let json = json!({ "crl": list });
    Ok(Done::new(list, json))
}

fn not_after(issued: &Issued) -> Result<Timestamp, Failure> {
    let unreadable = || Failure::new("the certificate just issued cannot be read", "try again");
    let pem = issued.certificate.as_deref().ok_or_else(unreadable)?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
    let usage = match issued.identity.kind {
        Kind::Guard => Usage::Server,
        Kind::Artist | Kind::Service => Usage::Client,
    };
    Leaf::read(&der, usage)
        .map(|leaf| leaf.not_after)
        .map_err(|_| unreadable())
}

fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_INPUT).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_end(&mut bytes))
    };
    read.map_err(|e| Failure::io("read", path, e))?;
    Ok(bytes)
}

/// A request in DER, whether it came in PEM or not. Older programs write `NEW CERTIFICATE
/// REQUEST`.
fn request_der(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
        .map_or_else(|_| bytes.to_vec(), |request| request.to_vec())
}
