//! Keys and certificates of the programs that are compared with the guard: one authority, a
//! server, a client, all ECDSA P-256. And what the load generator speaks TLS with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use e2e::forge::anyone::Anyone;
use e2e::programs::{Failure, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, NamedGroup};

/// The name in the server's certificate.
pub(crate) const SERVER: &str = "localhost";

/// Files in PEM.
#[derive(Debug)]
pub(crate) struct Material {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    /// The server's certificate.
    pub(crate) server: PathBuf,
    /// Its key.
    pub(crate) server_key: PathBuf,
    /// Certificate and key of the server in one file, as HAProxy wants it.
    pub(crate) server_both: PathBuf,
    /// The client's certificate.
    pub(crate) client: PathBuf,
    /// Its key.
    pub(crate) client_key: PathBuf,
    /// Certificate and key of the client in one file.
    pub(crate) client_both: PathBuf,
}

impl Material {
    /// Makes it anew in this folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    ///
    /// # Panics
    /// When a certificate cannot be made.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let authority = authority();
        let (server, server_key) = leaf(&authority, SERVER, ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = leaf(&authority, "artist", ExtendedKeyUsagePurpose::ClientAuth);
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| Failure::io(path.display(), &e))?;
            Ok(path)
        };
        Ok(Self {
            authority: put("authority.pem", &authority.pem())?,
            server_both: put("server-both.pem", &format!("{server}{server_key}"))?,
            client_both: put("client-both.pem", &format!("{client}{client_key}"))?,
            server: put("server.pem", &server)?,
            server_key: put("server-key.pem", &server_key)?,
            client: put("client.pem", &client)?,
            client_key: put("client-key.pem", &client_key)?,
        })
    }

    /// The client's certificate and key.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(crate) fn client(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let read = |path: &Path| fs::read(path).map_err(|e| Failure::io(path.display(), &e));
        let chain = CertificateDer::pem_slice_iter(&read(&self.client)?).collect();
        let chain: Result<Vec<_>, _> = chain;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.client_key)?);
        Ok((chain.expect("PEM"), key.expect("PEM")))
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = "authority of the comparison";
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, new_key()).expect("an authority")
}

/// A certificate and its key.
fn leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = new_key();
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// TLS 1.3 with AES-128-GCM and X25519 and nothing else.
fn pinned() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.retain(|one| one.suite() == suite);
    provider
        .kx_groups
        .retain(|one| one.name() == NamedGroup::X25519);
    Arc::new(provider)
}

/// What the load generator speaks. It takes any certificate for the right one: what its own
/// checks would cost is the same on all ways, and would only hide the differences.
///
/// # Panics
/// When key and certificate do not fit.
pub(crate) fn client_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: Option<&[u8]>,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(pinned())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_auth_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
    config.resumption = Resumption::disabled();
    config
}

/// The same, with tickets of its own.
pub(crate) fn resuming(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
    Arc::new(config)
}
