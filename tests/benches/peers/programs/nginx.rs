//! nginx with its stream module.

use std::net::SocketAddr;
use std::path::Path;

use e2e::programs::{Result, Running, free_address};

use super::{Contender, Place, cores, settings, wait_for};
use crate::debian::{Installed, NGINX};
use crate::material::{SERVER, client_config};
use crate::session::Entry;

/// Both ends.
pub(super) fn start(place: &Place<'_>) -> Result<Contender> {
    let nginx = NGINX.install()?;
    let material = place.material;
    let (far_address, near_address) = (free_address()?, free_address()?);
    let server = format!(
        "listen {far_address} ssl;\n    proxy_pass {houdini};\n    \
         ssl_certificate {};\n    ssl_certificate_key {};\n    \
         ssl_client_certificate {};\n    ssl_verify_client on;\n    \
         ssl_protocols TLSv1.3;\n    ssl_ecdh_curve X25519;\n    \
         ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n    \
         ssl_session_cache shared:tls:10m;",
        material.server.display(),
        material.server_key.display(),
        material.authority.display(),
        houdini = place.houdini,
    );
    let client = format!(
        "listen {near_address};\n    proxy_pass {far_address};\n    proxy_ssl on;\n    \
         proxy_ssl_certificate {};\n    proxy_ssl_certificate_key {};\n    \
         proxy_ssl_trusted_certificate {};\n    proxy_ssl_verify on;\n    \
         proxy_ssl_name {SERVER};\n    proxy_ssl_protocols TLSv1.3;\n    \
         proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;",
        material.client.display(),
        material.client_key.display(),
        material.authority.display(),
    );
    let far = end(
        &nginx,
        &place.folder.join("far"),
        &server,
        place.sessions,
        far_address,
    )?;
    let near = end(
        &nginx,
        &place.folder.join("near"),
        &client,
        place.sessions,
        near_address,
    )?;
    let (chain, key) = material.client()?;
    Ok(Contender {
        name: "nginx",
        version: nginx.version("-v"),
        one: Some(Entry::tls(far_address, client_config(chain, key, None))),
        two: Some(Entry::plain(near_address)),
        far: vec![far],
        near: vec![near],
        _keeps: Vec::new(),
    })
}

fn end(
    nginx: &Installed,
    folder: &Path,
    server: &str,
    sessions: usize,
    address: SocketAddr,
) -> Result<Running> {
    std::fs::create_dir_all(folder)
        .map_err(|e| e2e::programs::Failure::io(folder.display(), &e))?;
    let file = folder.join("nginx.conf");
    let text = format!(
        "load_module {module};\ndaemon off;\nworker_processes {workers};\n\
         pid {folder}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections {connections}; }}\n\
         stream {{\n  access_log off;\n  proxy_timeout 1h;\n  proxy_buffer_size 64k;\n  \
         server {{\n    {server}\n  }}\n}}\n",
        module = nginx
            .root
            .join("usr/lib/nginx/modules/ngx_stream_module.so")
            .display(),
        workers = cores(),
        folder = folder.display(),
        // Two for each session, and all may come to one worker.
        connections = 2 * sessions + 64,
    );
    settings(&file, &text)?;
    let mut command = nginx.command();
    command
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(&file);
    let mut process = Running::start(&mut command)?;
    wait_for(&mut process, address)?;
    Ok(process)
}
