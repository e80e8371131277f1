//! Reading the audit of a guard that runs.

use std::collections::BTreeSet;
use std::path::Path;

use e2e::forge::client::Client;
use e2e::forge::site::Site;
use e2e::programs::{Running, Stream, poll, run};
use serde_json::Value;

use crate::audit::come_and_go;

fn lines(site: &Site, state: &Path, args: &[&str]) -> Vec<String> {
    let finished = run(&mut site.trial.audit_command(state, args).unwrap()).unwrap();
    let finished = finished.success().unwrap_or_else(|e| panic!("{e}"));
    finished.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_shown_and_found_while_the_guard_runs() {
    let site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let session = site.open(&alice).await;
    let id = session.accepted.session.to_string();
    drop(session);
    site.open(&bob).await;
    Client::new(site.address(), None).try_hello(b"").await;
    for event in ["closed", "refused"] {
        site.trial
            .wait_for_record(|record| record["event"] == event)
            .unwrap();
    }
    site.trial
        .wait_for_record(|record| record["event"] == "closed" && record["session"] == id.as_str())
        .unwrap();

    let state = site.trial.state_dir();
    let shown = |args: &[&str]| lines(&site, &state, args);
    let all = shown(&["show"]);
    assert!(all[0].contains("started"), "{all:?}");
    assert!(
        all.iter().all(|line| !line.contains("checkpoint")),
        "{all:?}"
    );
    let of_alice = shown(&["show", "--session", &id]);
    assert_eq!(of_alice.len(), 2, "{of_alice:?}");
    assert!(
        of_alice
            .iter()
            .all(|line| line.contains("artist/alice (full)"))
    );
    assert_eq!(shown(&["show", "-n", "1", "--session", &id]), of_alice[1..]);
    let opened = shown(&["show", "--event", "opened", "--identity", "bob", "--json"]);
    assert_eq!(opened.len(), 1);
    let record: Value = serde_json::from_str(&opened[0]).unwrap();
    assert_eq!(record["identity"], bob.identity.to_string());
    assert!(shown(&["show", "--until", "1h"]).is_empty());
    assert_eq!(shown(&["show", "--since", "1h"]), all);
    let found = shown(&["search", "ARTIST/al*full"]);
    assert_eq!(found, of_alice);
    assert!(shown(&["search", "nobody at all"]).is_empty());
    let stats: Value = serde_json::from_str(&shown(&["stats", "--json"])[0]).unwrap();
    assert_eq!(stats["sessions"], 2);
    assert!(stats["refused"].as_u64().unwrap() >= 1);
    assert_eq!(stats["all"]["calls"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_over_the_turning_of_files() {
    let site = Site::configured("[audit]\nmax_bytes = 65536\n");
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let state = site.trial.state_dir();
    let args = ["follow", "-n", "1", "--event", "opened", "--json"];
    let following = Running::start(&mut site.trial.audit_command(&state, &args).unwrap()).unwrap();
    following.wait_for_line(Stream::Out, "opened").unwrap();
    let ids = come_and_go(&site, &alice, 300).await;
    let seen = || -> Vec<String> {
        let lines = following.lines(Stream::Out);
        let records = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        records
            .skip(1)
            .map(|record: Value| record["session"].as_str().unwrap().to_owned())
            .collect()
    };
    poll("all sessions to be shown", || {
        (seen().len() >= ids.len()).then_some(())
    })
    .unwrap();
    let seen = seen();
    assert_eq!(seen.len(), ids.len(), "one was shown twice");
    assert_eq!(
        seen.into_iter().collect::<BTreeSet<_>>(),
        ids.into_iter().collect()
    );
}
