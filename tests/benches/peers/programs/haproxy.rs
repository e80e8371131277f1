//! HAProxy in TCP mode.

use std::net::SocketAddr;
use std::path::Path;

use e2e::programs::{Result, Running, free_address};

use super::{Contender, Place, cores, settings, wait_for};
use crate::debian::{HAPROXY, Installed};
use crate::material::{SERVER, client_config};
use crate::session::Entry;

/// Both ends.
pub(super) fn start(place: &Place<'_>) -> Result<Contender> {
    let haproxy = HAPROXY.install()?;
    let material = place.material;
    let (far_address, near_address) = (free_address()?, free_address()?);
    let tls = "ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 curves X25519";
    let bind = format!(
        "bind {far_address} ssl crt {} ca-file {} verify required {tls}",
        material.server_both.display(),
        material.authority.display()
    );
    let server = format!("server houdini {}", place.houdini);
    let far = end(
        &haproxy,
        &place.folder.join("far.cfg"),
        &bind,
        &server,
        place.sessions,
        far_address,
    )?;
    let bind = format!("bind {near_address}");
    // `server` knows no `curves`: the other end allows one only.
    let server = format!(
        "server guard {far_address} ssl crt {} ca-file {} verify required verifyhost {SERVER} \
         ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256",
        material.client_both.display(),
        material.authority.display()
    );
    let near = end(
        &haproxy,
        &place.folder.join("near.cfg"),
        &bind,
        &server,
        place.sessions,
        near_address,
    )?;
    let (chain, key) = material.client()?;
    Ok(Contender {
        name: "HAProxy",
        version: haproxy.version("-v"),
        one: Some(Entry::tls(far_address, client_config(chain, key, None))),
        two: Some(Entry::plain(near_address)),
        far: vec![far],
        near: vec![near],
        _keeps: Vec::new(),
    })
}

fn end(
    haproxy: &Installed,
    file: &Path,
    bind: &str,
    server: &str,
    sessions: usize,
    address: SocketAddr,
) -> Result<Running> {
    let text = format!(
        "global\n  maxconn {sessions}\n  nbthread {threads}\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen houdini\n  maxconn {sessions}\n  {bind}\n  {server}\n",
        threads = cores(),
    );
    settings(file, &text)?;
    let mut process = Running::start(haproxy.command().arg("-db").arg("-f").arg(file))?;
    wait_for(&mut process, address)?;
    Ok(process)
}
