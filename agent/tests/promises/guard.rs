//! A guard that does as it is told: real TLS and real messages, no policy.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use wire::enrolment::{GuardAddress, Issued, Redeem, Renew, Reply, Token};
use wire::hello::{Accepted, Hello, Verdict};
use wire::leaf::{Leaf, Usage};
use wire::tls::{ALPN_ENROL, ALPN_RENEW, ALPN_SESSION, provider};
use wire::{Code, Identity, Kind, Refusal, Secret, message};

use crate::realm::{Life, Realm, at};

/// What the guard does with a session.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    Accept,
    Refuse(Refusal),
    /// Answers with this instead of a verdict.
    Say(&'static [u8]),
    /// Takes the hello and closes.
    HangUp,
}

/// What a guard knows and does; shared with the test.
pub(crate) struct State {
    pub(crate) realm: Arc<Realm>,
    pub(crate) identity: Identity,
    /// The authority whose clients get in.
    trusted: Mutex<CertificateDer<'static>>,
    pub(crate) mood: Mutex<Mood>,
    pub(crate) upstream: Mutex<Option<SocketAddr>>,
    /// Who is enrolled, and whether as a guard.
    pub(crate) enrols: Mutex<Identity>,
    pub(crate) certificate_life: Mutex<Life>,
    pub(crate) token_seconds: Mutex<i64>,
    pub(crate) refuse_enrolment: Mutex<Option<Refusal>>,
    pub(crate) refuse_renewal: Mutex<Option<Refusal>>,
    /// Answers to enrolments that get lost.
    pub(crate) lose_answers: AtomicUsize,
    /// Sign for this key instead of the one that was asked for.
    pub(crate) sign_other_key: Mutex<bool>,
    /// The authority that answers name, when it is not the real one.
    pub(crate) other_authority: Mutex<Option<Arc<Realm>>>,
    pub(crate) others: Mutex<Vec<GuardAddress>>,
    certificates: Mutex<HashMap<Vec<u8>, String>>,
    tokens: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    pub(crate) hellos: Mutex<Vec<Hello>>,
    pub(crate) requests: Mutex<Vec<Vec<u8>>>,
    pub(crate) renewals: AtomicUsize,
    /// Sessions that the agent ended with a goodbye, and without.
    pub(crate) goodbyes: Mutex<Vec<bool>>,
    cut: broadcast::Sender<bool>,
}

pub(crate) struct Guard {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
}

impl Guard {
    /// A guard of `realm` called `name`.
    pub(crate) async fn start(realm: &Arc<Realm>, name: &str) -> Self {
        let identity = realm.identity(Kind::Guard, name);
        Self::posing(
            realm,
            identity.clone(),
            identity,
            &[ALPN_SESSION, ALPN_ENROL, ALPN_RENEW],
        )
        .await
    }

    /// A guard that presents a certificate for `presented`, and speaks `protocols`.
    pub(crate) async fn posing(
        realm: &Arc<Realm>,
        identity: Identity,
        presented: Identity,
        protocols: &'static [&'static [u8]],
    ) -> Self {
        Self::presenting(realm, identity, presented, protocols, crate::realm::GOOD).await
    }

    /// A guard of `realm` that lets in whom another authority vouches for.
    pub(crate) async fn trusting(
        realm: &Arc<Realm>,
        identity: Identity,
        trusted: CertificateDer<'static>,
    ) -> Self {
        let guard = Self::posing(realm, identity.clone(), identity, &[ALPN_SESSION]).await;
        *guard.state.trusted.lock().unwrap() = trusted;
        guard
    }

    pub(crate) async fn presenting(
        realm: &Arc<Realm>,
        identity: Identity,
        presented: Identity,
        protocols: &'static [&'static [u8]],
        life: Life,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            enrols: Mutex::new(realm.identity(Kind::Artist, "alice")),
            trusted: Mutex::new(realm.certificate.clone()),
            realm: realm.clone(),
            identity,
            mood: Mutex::new(Mood::Accept),
            upstream: Mutex::new(None),
            certificate_life: Mutex::new(crate::realm::GOOD),
            token_seconds: Mutex::new(3600),
            refuse_enrolment: Mutex::new(None),
            refuse_renewal: Mutex::new(None),
            lose_answers: AtomicUsize::new(0),
            sign_other_key: Mutex::new(false),
            other_authority: Mutex::new(None),
            others: Mutex::new(Vec::new()),
            certificates: Mutex::default(),
            tokens: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            hellos: Mutex::default(),
            requests: Mutex::default(),
            renewals: AtomicUsize::new(0),
            goodbyes: Mutex::default(),
            cut: broadcast::channel(4).0,
        });
        let credentials = realm.credentials(&presented, Usage::Server, life);
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (state, key) = (shared.clone(), credentials.1.clone_key());
                state.connections.fetch_add(1, Ordering::SeqCst);
                let chain = credentials.0.clone();
                tokio::spawn(async move {
                    let _ = serve(tcp, &state, chain, key, protocols).await;
                });
            }
        });
        Self { address, state }
    }

    /// Ends all sessions; with a goodbye in TLS or without.
    pub(crate) fn cut(&self, goodbye: bool) {
        self.state.cut.send(goodbye).unwrap();
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    pub(crate) fn refuse(&self, code: Code, sentence: &str, hint: &str) {
        self.set_mood(Mood::Refuse(Refusal::new(code, sentence, hint)));
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    tcp: TcpStream,
    state: &State,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<()> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let asked: Vec<Vec<u8>> = start
        .client_hello()
        .alpn()
        .map(|names| names.map(<[u8]>::to_vec).collect())
        .unwrap_or_default();
    let enrol = asked.iter().any(|name| name == ALPN_ENROL);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let builder = if enrol {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        roots.add(state.trusted.lock().unwrap().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        builder.with_client_cert_verifier(verifier.build().unwrap())
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let mut tls = start.into_stream(Arc::new(config)).await?;
    match tls.get_ref().1.alpn_protocol() {
        Some(ALPN_ENROL) => enrolment(&mut tls, state).await,
        Some(ALPN_RENEW) => renewal(&mut tls, state).await,
        _ => session(tls, state).await,
    }
}

async fn enrolment(tls: &mut TlsStream<TcpStream>, state: &State) -> std::io::Result<()> {
    let redeem: Redeem = message::read(tls).await.map_err(std::io::Error::other)?;
    let request = URL_SAFE_NO_PAD.decode(&redeem.request).unwrap();
    state.requests.lock().unwrap().push(request.clone());
    let refusal = state.refuse_enrolment.lock().unwrap().clone();
    let reply = match refusal {
        Some(refusal) => Reply::Refused(refusal),
        None => Reply::Issued(Box::new(issue(state, Some(&request)))),
    };
    if state.lose_answers.load(Ordering::SeqCst) > 0 {
        state.lose_answers.fetch_sub(1, Ordering::SeqCst);
        return Ok(());
    }
    message::write(tls, &reply).await?;
    tls.shutdown().await
}

async fn renewal(tls: &mut TlsStream<TcpStream>, state: &State) -> std::io::Result<()> {
    let renew: Renew = message::read(tls).await.map_err(std::io::Error::other)?;
    state.renewals.fetch_add(1, Ordering::SeqCst);
    let refusal = state.refuse_renewal.lock().unwrap().clone();
    let reply = match refusal {
        Some(refusal) => Reply::Refused(refusal),
        None => {
            let request = renew
                .request
                .map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
            state.certificates.lock().unwrap().clear();
            Reply::Issued(Box::new(issue(state, request.as_deref())))
        }
    };
    message::write(tls, &reply).await?;
    tls.shutdown().await
}

/// The same key gets the same certificate.
fn issue(state: &State, request: Option<&[u8]>) -> Issued {
    let identity = state.enrols.lock().unwrap().clone();
    let usage = match identity.kind {
        Kind::Guard => Usage::Server,
        _ => Usage::Client,
    };
    let life = *state.certificate_life.lock().unwrap();
    let certificate = request.map(|request| {
        let other = wire::keypair::request(&wire::keypair::generate().unwrap().pem).unwrap();
        let signed = if *state.sign_other_key.lock().unwrap() {
            &other
        } else {
            request
        };
        state
            .certificates
            .lock()
            .unwrap()
            .entry(key_of(request))
            .or_insert_with(|| state.realm.sign(signed, &identity, usage, life))
            .clone()
    });
    let other = state.other_authority.lock().unwrap().clone();
    let mut guards = vec![GuardAddress {
        identity: state.identity.clone(),
        address: "ws12.studio.example:18812".into(),
    }];
    guards.extend(state.others.lock().unwrap().iter().cloned());
    let number = state.tokens.fetch_add(1, Ordering::SeqCst);
    Issued {
        certificate,
        authority: other.unwrap_or_else(|| state.realm.clone()).pem.clone(),
        token: (identity.kind != Kind::Guard).then(|| Token {
            jwt: Secret::new(format!("token.{number}.of-{}", identity.name)),
            expires: at(*state.token_seconds.lock().unwrap()),
        }),
        identity,
        role: "full".into(),
        access_until: None,
        guards,
        token_key: None,
    }
}

fn key_of(request: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::*;
    let (_, request) = X509CertificationRequest::from_der(request).unwrap();
    request.certification_request_info.subject_pki.raw.to_vec()
}

async fn session(mut tls: TlsStream<TcpStream>, state: &State) -> std::io::Result<()> {
    let leaf = tls.get_ref().1.peer_certificates().unwrap()[0].clone();
    let leaf = Leaf::read(&leaf, Usage::Client).map_err(std::io::Error::other)?;
    let hello: Hello = message::read(&mut tls)
        .await
        .map_err(std::io::Error::other)?;
    assert_eq!(leaf.identity.name.as_str(), "alice");
    state.hellos.lock().unwrap().push(hello);
    let mood = state.mood.lock().unwrap().clone();
    match mood {
        Mood::Refuse(refusal) => {
            message::write(&mut tls, &Verdict::Refused(refusal)).await?;
            tls.shutdown().await?;
            let _ = tls.read_to_end(&mut Vec::new()).await;
            Ok(())
        }
        Mood::Say(bytes) => {
            tls.write_all(bytes).await?;
            tls.shutdown().await
        }
        Mood::HangUp => Ok(()),
        Mood::Accept => relay(tls, state).await,
    }
}

async fn relay(mut tls: TlsStream<TcpStream>, state: &State) -> std::io::Result<()> {
    let mut cut = state.cut.subscribe();
    let upstream = state.upstream.lock().unwrap().expect("a Houdini");
    let mut upstream = TcpStream::connect(upstream).await?;
    let accepted = Verdict::Accepted(Accepted {
        session: "s1".into(),
        role: "full".into(),
        upstream: "houdini".into(),
        access_until: None,
    });
    message::write(&mut tls, &accepted).await?;
    tokio::select! {
        result = copy_bidirectional(&mut tls, &mut upstream) => {
            let goodbye = !result.is_err_and(|e| e.kind() == ErrorKind::UnexpectedEof);
            state.goodbyes.lock().unwrap().push(goodbye);
            Ok(())
        }
        goodbye = cut.recv() => {
            if goodbye.unwrap() { tls.shutdown().await?; }
            Ok(())
        }
    }
}
