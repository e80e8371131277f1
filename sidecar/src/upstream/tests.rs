use super::*;

fn parse(text: &str) -> Result<Upstream, UpstreamError> {
    Upstream::parse(None, text, &[])
}

#[test]
fn an_upstream_is_on_this_machine_unless_allowed_by_name() {
    for good in [
        "127.0.0.1:18811",
        "localhost:18811-18899",
        "[::1]:18811",
        "unix:/run/houdini.sock",
    ] {
        assert_eq!(parse(good).unwrap().to_string(), good);
    }
    for remote in [
        "10.0.0.5:18811",
        "houdini.studio.example:18811",
        "0.0.0.0:18811",
        "[2001:db8::1]:1",
    ] {
        assert!(
            matches!(parse(remote), Err(UpstreamError::Remote { .. })),
            "{remote}"
        );
    }
    let allowed = ["10.0.0.5".to_owned()];
    assert!(Upstream::parse(None, "10.0.0.5:18811", &allowed).is_ok());
    assert!(Upstream::parse(None, "10.0.0.6:18811", &allowed).is_err());
}

#[test]
fn what_is_no_upstream_is_refused() {
    for bad in [
        "",
        "18811",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:9-8",
        ":18811",
        "unix:",
        "::1:5",
        "127.0.0.1:70000",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    for name in ["", "18812", "a b"] {
        assert!(
            Upstream::parse(Some(name.into()), "127.0.0.1:1", &[]).is_err(),
            "{name:?}"
        );
    }
}

#[test]
fn a_client_reaches_only_ports_and_names_that_are_configured() {
    let range = Upstream::parse(Some("main".into()), "127.0.0.1:18811-18813", &[]).unwrap();
    let port = |wanted: Option<Wanted>| range.choose(wanted.as_ref()).map(|h| h.to_string());
    assert_eq!(port(None).unwrap(), "127.0.0.1:18811");
    assert_eq!(port(Some(Wanted::Port(18813))).unwrap(), "127.0.0.1:18813");
    assert_eq!(
        port(Some(Wanted::Name("main".into()))).unwrap(),
        "127.0.0.1:18811"
    );
    assert_eq!(port(Some(Wanted::Port(18814))), None);
    assert_eq!(port(Some(Wanted::Port(22))), None);
    assert_eq!(port(Some(Wanted::Name("other".into()))), None);
    assert_eq!(port(Some(Wanted::Name("127.0.0.1:22".into()))), None);
    assert_eq!(range.all().len(), 3);
}

#[test]
fn a_grant_for_some_upstreams_does_not_open_others() {
    let range = Upstream::parse(Some("main".into()), "127.0.0.1:18811-18813", &[]).unwrap();
    let houdini = range.choose(Some(&Wanted::Port(18812))).unwrap();
    assert!(houdini.is_in(&[]));
    assert!(houdini.is_in(&["18812".into()]));
    assert!(houdini.is_in(&["main".into()]));
    assert!(!houdini.is_in(&["18811".into()]));
    assert!(!houdini.is_in(&["other".into()]));
}

#[test]
fn the_port_of_the_guard_is_no_houdini() {
    let listen = |address: &str| address.parse().unwrap();
    let ports = |address: &str, own: &str| -> Result<Vec<_>, UpstreamError> {
        let mut upstream = parse(address)?;
        upstream.leave_out(listen(own))?;
        assert_eq!(upstream.choose(None), upstream.all().first().cloned());
        Ok(upstream.all().iter().filter_map(Houdini::port).collect())
    };
    for (address, own) in [
        ("127.0.0.1:18811-18813", "0.0.0.0:18812"),
        ("localhost:18811-18813", "127.0.0.1:18812"),
        ("[::1]:18811-18813", "[::]:18812"),
    ] {
        assert_eq!(ports(address, own).unwrap(), [18811, 18813], "{address}");
    }
    assert_eq!(
        ports("127.0.0.1:18812-18813", "0.0.0.0:18812").unwrap(),
        [18813]
    );
    // Somebody else's port, though the number is the same.
    assert_eq!(ports("127.0.0.1:18812", "10.0.0.3:18812").unwrap(), [18812]);
    let wanted = Wanted::Port(18812);
    let mut range = parse("127.0.0.1:18811-18813").unwrap();
    assert!(range.choose(Some(&wanted)).is_some());
    range.leave_out(listen("0.0.0.0:18812")).unwrap();
    assert!(range.choose(Some(&wanted)).is_none());
    let alone = ports("127.0.0.1:18812", "0.0.0.0:18812");
    assert!(matches!(alone, Err(UpstreamError::Own(_))), "{alone:?}");
}
