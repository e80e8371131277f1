//! The whole way over IPv6.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};

use e2e::forge::client::{Client, hello};
use e2e::forge::enrol::join;
use e2e::forge::upstream::Upstream;
use e2e::programs::{DEADLINE, Guard, Trial};

/// `GETROOT` of rpyc 4.1.0 to 5.3.1.
const GETROOT: &[u8] = b"\0\0\0\x08\0\x12\x51\x50\x11\x53\x11\x51\x02\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_and_an_upstream_on_ipv6_serve_an_agent_on_ipv4() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        crate::not_run(
            "a_guard_and_an_upstream_on_ipv6_serve_an_agent_on_ipv4",
            "IPv6",
        );
        return;
    };
    let upstream = Upstream::echo_on(listener);
    let trial = Trial::opaque().unwrap();
    let mut command = trial
        .guard_command("[::1]:0", &upstream.address().to_string(), &[])
        .unwrap();
    let guard = Guard::start(&mut command).unwrap_or_else(|e| panic!("{e}"));
    assert!(guard.address.is_ipv6(), "{}", guard.address);

    let code = trial.invite(guard.address, "bob", &[]).unwrap();
    let bob = join(guard.address, &code.parse().unwrap()).await;
    let client = Client::new(guard.address, Some(&bob.credentials));
    let mut session = client.open(&hello(&bob.token)).await.unwrap();
    session.ping().await.unwrap();
    let id = session.accepted.session.as_str();
    let opened = trial
        .wait_for_record(|record| record["event"] == "opened" && record["session"] == id)
        .unwrap();
    assert_eq!(opened["peer"], session.local.to_string(), "{opened}");

    let agent = trial
        .bring_in(&guard, "alice")
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(agent.address.is_ipv4(), "{}", agent.address);
    let mut script = TcpStream::connect(agent.address).unwrap();
    script.set_read_timeout(Some(DEADLINE)).unwrap();
    script.write_all(GETROOT).unwrap();
    let mut back = vec![0; GETROOT.len()];
    script.read_exact(&mut back).unwrap();
    assert_eq!(back, GETROOT);
}
