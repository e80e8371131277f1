//! stunnel: a thread for each connection.

use std::net::SocketAddr;
use std::path::Path;

use e2e::programs::{Result, Running, free_address};

use super::{Contender, Place, settings, wait_for};
use crate::debian::{Installed, STUNNEL};
use crate::material::{SERVER, client_config};
use crate::session::Entry;

/// Both ends.
pub(super) fn start(place: &Place<'_>) -> Result<Contender> {
    let stunnel = STUNNEL.install()?;
    let material = place.material;
    let server = format!(
        "cert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\nrequireCert = yes\n",
        material.server.display(),
        material.server_key.display(),
        material.authority.display()
    );
    let client = format!(
        "client = yes\ncert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\ncheckHost = {SERVER}\n",
        material.client.display(),
        material.client_key.display(),
        material.authority.display()
    );
    let (far_address, near_address) = (free_address()?, free_address()?);
    let file = |name: &str| place.folder.join(name);
    let far = end(
        &stunnel,
        &file("far.conf"),
        &server,
        far_address,
        place.houdini,
    )?;
    let near = end(
        &stunnel,
        &file("near.conf"),
        &client,
        near_address,
        far_address,
    )?;
    let (chain, key) = material.client()?;
    Ok(Contender {
        name: "stunnel",
        version: stunnel.version("-version"),
        one: Some(Entry::tls(far_address, client_config(chain, key, None))),
        two: Some(Entry::plain(near_address)),
        far: vec![far],
        near: vec![near],
        _keeps: Vec::new(),
    })
}

fn end(
    stunnel: &Installed,
    file: &Path,
    own: &str,
    accept: SocketAddr,
    connect: SocketAddr,
) -> Result<Running> {
    let text = format!(
        "foreground = yes\npid =\nsyslog = no\ndebug = err\n\
         socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
         [houdini]\naccept = {accept}\nconnect = {connect}\n\
         sslVersionMin = TLSv1.3\nciphersuites = TLS_AES_128_GCM_SHA256\ncurves = X25519\n{own}"
    );
    settings(file, &text)?;
    let mut process = Running::start(stunnel.command().arg(file))?;
    wait_for(&mut process, accept)?;
    Ok(process)
}
