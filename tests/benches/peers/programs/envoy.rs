//! Envoy as a TCP proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::programs::{Result, Running, free_address, run};
use e2e::venv::Venv;
use serde_json::{Value, json};

use super::{Contender, Place, cores, settings, wait_for};
use crate::material::{SERVER, client_config};
use crate::session::Entry;

/// Both ends.
pub(super) fn start(place: &Place<'_>) -> Result<Contender> {
    let python = Venv::ENVOY.python(&mut |sentence| println!("{sentence}"))?;
    let envoy = python.with_file_name("envoy");
    let material = place.material;
    let (far_address, near_address) = (free_address()?, free_address()?);
    let common = |certificate: &Path, key: &Path, names: Value| {
        json!({
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"],
            },
            "tls_certificates": [{
                "certificate_chain": { "filename": certificate },
                "private_key": { "filename": key },
            }],
            "validation_context": {
                "trusted_ca": { "filename": material.authority },
                "match_typed_subject_alt_names": names,
            },
        })
    };
    let server = socket(
        "Downstream",
        json!({
            "require_client_certificate": true,
            "common_tls_context": common(&material.server, &material.server_key, json!([])),
        }),
    );
    let name = json!([{ "san_type": "DNS", "matcher": { "exact": SERVER } }]);
    let client = socket(
        "Upstream",
        json!({
            "sni": SERVER,
            "common_tls_context": common(&material.client, &material.client_key, name),
        }),
    );
    let end = |name: &str, listen, server, to, client| {
        let file = place.folder.join(name);
        end(
            &envoy,
            &file,
            bootstrap(place.sessions, (listen, server), (to, client)),
            listen,
        )
    };
    let far = end("far.json", far_address, Some(server), place.houdini, None)?;
    let near = end("near.json", near_address, None, far_address, Some(client))?;
    let (chain, key) = material.client()?;
    Ok(Contender {
        name: "Envoy",
        version: version(&envoy),
        one: Some(Entry::tls(far_address, client_config(chain, key, None))),
        two: Some(Entry::plain(near_address)),
        far: vec![far],
        near: vec![near],
        _keeps: Vec::new(),
    })
}

/// A transport socket that does TLS, for connections that come (`Downstream`) or are made.
fn socket(side: &str, mut settings: Value) -> Value {
    let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
    settings["@type"] = json!(format!("{tls}.{side}TlsContext"));
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": settings })
}

fn address(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({ "socket_address": { "address": ip, "port_value": port } })
}

fn bootstrap(
    sessions: usize,
    (listen, server): (SocketAddr, Option<Value>),
    (to, client): (SocketAddr, Option<Value>),
) -> Value {
    let proxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let mut chain = json!({
        "filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": { "@type": proxy, "stat_prefix": "houdini", "cluster": "houdini" },
        }],
    });
    let endpoint = json!({ "endpoint": { "address": address(to) } });
    let mut cluster = json!({
        "name": "houdini",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": { "thresholds": [{
            "max_connections": sessions,
            "max_pending_requests": sessions,
        }] },
        "load_assignment": {
            "cluster_name": "houdini",
            "endpoints": [{ "lb_endpoints": [endpoint] }],
        },
    });
    for (at, socket) in [(&mut chain, server), (&mut cluster, client)] {
        if let Some(socket) = socket {
            at["transport_socket"] = socket;
        }
    }
    json!({
        "static_resources": {
            "listeners": [{
                "name": "houdini",
                "address": address(listen),
                "filter_chains": [chain],
            }],
            "clusters": [cluster],
        },
    })
}

fn end(envoy: &PathBuf, file: &Path, bootstrap: Value, listen: SocketAddr) -> Result<Running> {
    settings(file, &bootstrap.to_string())?;
    let mut command = Command::new(envoy);
    command
        .args(["--concurrency", &cores().to_string()])
        .args([
            "--log-level",
            "error",
            "--disable-hot-restart",
            "--config-path",
        ])
        .arg(file);
    let mut process = Running::start(&mut command)?;
    wait_for(&mut process, listen)?;
    Ok(process)
}

fn version(envoy: &PathBuf) -> String {
    let said = run(Command::new(envoy).arg("--version"));
    let said = said.map_or_else(|_| String::new(), |ran| ran.stdout);
    // PATH, version: COMMIT/VERSION/...
    let version = said
        .split_once("version: ")
        .map(|(_, version)| version.trim());
    format!("Envoy {}", version.unwrap_or("unknown"))
}
