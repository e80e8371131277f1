use super::*;
use crate::audit::Pattern;

fn from(text: &str) -> Result<Config, ConfigError> {
    let raw = toml::from_str(text).map_err(|error| ConfigError::File {
        path: "guard.toml".into(),
        problem: error.to_string().trim_end().to_owned(),
    })?;
    merge(
        raw,
        &RunArgs {
            state_dir: Some("/state".into()),
            ..RunArgs::default()
        },
    )
}

fn refusal(text: &str) -> String {
    from(text).unwrap_err().to_string()
}

#[test]
fn without_a_word_it_guards_the_default_port() {
    let config = from("").unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:18812");
    assert_eq!(config.upstreams[0].to_string(), "127.0.0.1:18811");
    assert_eq!(config.limits.idle_timeout, None);
}

#[test]
fn the_command_line_wins() {
    let raw =
        toml::from_str("listen = '127.0.0.1:1'\nupstream = '127.0.0.1:2'\ndrain_timeout = '5s'")
            .unwrap();
    let args = RunArgs {
        listen: Some("127.0.0.1:3".into()),
        upstream: vec!["unix:/run/h.sock".into()],
        drain_timeout: Some("7s".into()),
        ..RunArgs::default()
    };
    let config = merge(raw, &args).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.upstreams[0].to_string(), "unix:/run/h.sock");
    assert_eq!(config.drain_timeout, Duration::from_secs(7));
}

#[test]
fn the_command_line_can_refuse_the_guards_own_user_and_cannot_allow_it() {
    let refuses = |file: &str, flag| {
        let args = RunArgs {
            refuse_own_user: flag,
            ..RunArgs::default()
        };
        let config = merge(toml::from_str(file).unwrap(), &args).unwrap();
        config.upstream_owner.refuse_own
    };
    assert!(!refuses("", false));
    assert!(refuses("", true));
    assert!(refuses("refuse_own_user = true", false));
    assert!(refuses("refuse_own_user = false", true));
}

#[test]
fn upstreams_come_as_text_list_or_tables() {
    let config = from(
        "upstream = ['127.0.0.1:18811-18820', { name = 'farm', address = '127.0.0.1:19000' }]",
    )
    .unwrap();
    let shown: Vec<String> = config.upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["127.0.0.1:18811-18820", "farm at 127.0.0.1:19000"]);
}

#[test]
fn what_is_wrong_is_told_by_line() {
    insta::assert_snapshot!(refusal("listen = '127.0.0.1:1'\nupstrem = '127.0.0.1:2'"));
    insta::assert_snapshot!(refusal("[limits]\nsessions = 'many'"));
    insta::assert_snapshot!(refusal("[limits]\nhello_timeout = '5 parsecs'"));
    insta::assert_snapshot!(refusal("listen = "));
}

#[test]
fn what_would_shut_everybody_out_or_let_anybody_in_is_refused() {
    for bad in [
        "listen = 'nowhere'",
        "upstream = '10.0.0.1:18811'",
        "upstream = []",
        "upstream = '127.0.0.1:18812'",
        "upstream = ['127.0.0.1:1-5', '127.0.0.1:5']",
        "advertise = 'ws12'",
        "name = 'WS 12'",
        "[limits]\nsessions = 0",
        "[limits]\nhello_timeout = '0s'",
        "[limits]\nidle_timeout = '-5s'",
        "[limits]\nhandshake_timeout = '2562047788015215h'",
        "[limits]\nclock_skew = '100000h'",
        "[limits]\npeer_timeout = '1s'",
        "[limits]\nheld_bytes = 1048576",
        "[limits]\nheld_bytes = 4294967296",
        "[limits]\nheld_bytes = '256 MiB'",
        "[audit]\nmax_age = '0s'",
        "[audit]\nmax_bytes = 1",
        "[audit]\nkeep = 0",
        "[audit]\ncheckpoint_records = 0",
        "[audit]\ncheckpoint_every = '0s'",
        "[audit]\nwait_timeout = '0s'",
        "[audit]\nwhen_full = 'drop'",
        "[audit]\nheads = 'syslog'",
        "[audit]\nheads = 'unix:log'",
        "[audit]\nredact = [{}]",
        "[audit]\nredact = [{ argument = 0 }]",
        "[audit]\nredact = [{ kwyword = 'x' }]",
    ] {
        assert!(from(bad).is_err(), "{bad:?} must be refused");
    }
    assert!(from("upstream = '10.0.0.1:18811'\nallow_remote_upstream = ['10.0.0.1']").is_ok());
}

#[test]
fn the_audit_is_told_what_to_do() {
    let config = from(
        "[audit]\nheads = 'none'\nwhen_full = 'refuse'\nredact = [{ method = 'login', argument = 2 }]",
    )
    .unwrap();
    assert_eq!(config.audit.heads, HeadsTo::Nowhere);
    assert_eq!(config.audit.when_full, WhenFull::Refuse);
    let rule = &config.audit.redact[0];
    assert_eq!(rule.method, Some(Pattern::new("login")));
    assert_eq!(rule.argument, Some(2));
    let usual = from("").unwrap().audit;
    assert_eq!(usual.heads, HeadsTo::Log);
    assert_eq!(usual.when_full, WhenFull::Wait);
}
