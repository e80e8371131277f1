use std::net::SocketAddr;

use wire::hello::Wanted;

use super::*;
use args::ConnectOptions;
use target::{Placed, place};

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn placed(arguments: &[&str]) -> Result<Vec<Placed>, String> {
    let all = ["hrpyc-agent", "connect"].iter().chain(arguments);
    let Command::Connect(options) = Args::try_parse_from(all).unwrap().command else {
        panic!("connect was expected");
    };
    let options: ConnectOptions = options;
    place(&options)
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[test]
fn a_target_says_name_upstream_and_port() {
    let plain = target("ws12");
    assert_eq!(
        (plain.name.as_deref(), plain.upstream, plain.listen),
        (Some("ws12"), None, None)
    );
    assert_eq!(target("ws12/18812").upstream, Some(Wanted::Port(18812)));
    assert_eq!(
        target("ws12/main").upstream,
        Some(Wanted::Name("main".into()))
    );
    assert_eq!(target("ws12=18821").listen, Some(local(18821)));
    assert_eq!(target("ws12=localhost:18821").listen, Some(local(18821)));
    assert_eq!(
        target("ws12=127.0.0.2:1").listen,
        Some(([127, 0, 0, 2], 1).into())
    );
    let all = target("studio:ws12/main=[::1]:18821");
    assert_eq!(all.name.as_deref(), Some("studio:ws12"));
    assert_eq!(all.listen, Some("[::1]:18821".parse().unwrap()));
}

#[test]
fn a_single_target_listens_on_the_port_of_houdini() {
    assert_eq!(placed(&[]).unwrap()[0].1, local(18811));
    assert_eq!(placed(&["ws12"]).unwrap()[0].1, local(18811));
    assert_eq!(placed(&["ws12", "--listen", "0"]).unwrap()[0].1, local(0));
    let upstream = &placed(&["--upstream", "main"]).unwrap()[0].0.upstream;
    assert_eq!(*upstream, Some(Wanted::Name("main".into())));
}

#[test]
fn several_targets_each_need_a_port() {
    let both = placed(&["ws12=1", "ws13/x=2"]).unwrap();
    assert_eq!((both[0].1, both[1].1), (local(1), local(2)));
    let error = placed(&["ws12=1", "ws13"]).unwrap_err();
    assert!(error.contains("ws13=PORT"), "{error}");
    assert!(placed(&["ws12=1", "ws13=2", "--upstream", "x"]).is_err());
}
