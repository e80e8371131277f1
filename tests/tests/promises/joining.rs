//! Joining when something goes wrong on the way: the code is good until it has served.

use e2e::forge::loss::{Lossy, Then};
use e2e::forge::site::Site;
use e2e::programs::{Running, free_address, poll, run, run_with_input};
use serde_json::Value;

use crate::fleet::{Second, guard_invite, join_command, open, second_state};

/// How often an invite of somebody's was used.
fn enrolled(site: &Site, who: &str) -> usize {
    let records: Vec<Value> = site.events("enrolled");
    let named = |record: &&Value| record["identity"].as_str().unwrap().ends_with(who);
    records.iter().filter(named).count()
}

/// Waits for the record of an invite's use, which may come a moment after the answer.
fn was_used(site: &Site, who: &str) {
    poll("the use of the invite", || {
        (enrolled(site, who) > 0).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artists_code_tried_at_a_guard_still_works_for_the_artist() {
    let site = Site::start();
    let code = site.trial.invite(site.address(), "alice", &[]).unwrap();
    let mut command = join_command(&site, "-", free_address().unwrap());
    let refused = run_with_input(&mut command, &code).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert!(!second_state(&site).exists(), "something was left behind");
    site.trial
        .join("alice", &code)
        .unwrap_or_else(|e| panic!("{e}"));
    was_used(&site, "artist/alice");
    assert_eq!(enrolled(&site, "artist/alice"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guards_code_tried_at_an_agent_still_works_for_the_guard() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let code = guard_invite(&site, site.address());
    let mut command = site.trial.agent_command("alice").unwrap();
    let refused = run_with_input(command.args(["join", "-"]), &code).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    let address = free_address().unwrap();
    let joined = run_with_input(&mut join_command(&site, "-", address), &code).unwrap();
    joined.success().unwrap_or_else(|e| panic!("{e}"));
    let second = Second::start(&site, address);
    open(&second, &alice).await.ping().await.unwrap();
    was_used(&site, "guard/ws13");
    assert_eq!(enrolled(&site, "guard/ws13"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_whose_answer_was_lost_joins_with_the_same_command() {
    joins_although_an_answer_was_lost(&Site::start()).await;
}

/// As service managers and container volumes have it: the folder around it is not the guard's.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_joins_into_an_empty_directory_and_leaves_nothing_of_the_joining_there() {
    let site = Site::start();
    let state = second_state(&site);
    std::fs::create_dir(&state).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    joins_although_an_answer_was_lost(&site).await;
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with('.'))
            .collect()
    };
    assert_eq!(names(&state), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_does_not_join_into_a_directory_that_holds_something() {
    let site = Site::start();
    let state = second_state(&site);
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("notes.txt"), "mine").unwrap();
    let code = guard_invite(&site, site.address());
    let command = &mut join_command(&site, "-", free_address().unwrap());
    let refused = run_with_input(command, &code).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        refused.stderr.contains("exists already"),
        "{}",
        refused.stderr
    );
    assert_eq!(enrolled(&site, "guard/ws13"), 0);
}

async fn joins_although_an_answer_was_lost(site: &Site) {
    let alice = site.member("alice").await;
    let wire = Lossy::to(site.address(), Then::HangUp);
    let code = guard_invite(site, wire.address());
    let address = free_address().unwrap();
    let lost = run_with_input(&mut join_command(site, "-", address), &code).unwrap();
    let lost = lost.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(lost.stderr.contains("hint: "), "{}", lost.stderr);
    assert!(wire.swallowed() > 0, "no answer was lost");
    was_used(site, "guard/ws13");
    wire.mend();
    let joined = run_with_input(&mut join_command(site, "-", address), &code).unwrap();
    joined.success().unwrap_or_else(|e| panic!("{e}"));
    let second = Second::start(site, address);
    open(&second, &alice).await.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_killed_before_its_answer_came_joins_with_the_same_command() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let wire = Lossy::to(site.address(), Then::Hold);
    let code = guard_invite(&site, wire.address());
    let address = free_address().unwrap();
    let mut killed = Running::start(&mut join_command(&site, &code, address)).unwrap();
    was_used(&site, "guard/ws13");
    assert!(killed.is_running(), "it did not wait for its answer");
    killed.kill();
    wire.mend();
    let joined = run(&mut join_command(&site, &code, address)).unwrap();
    joined.success().unwrap_or_else(|e| panic!("{e}"));
    let second = Second::start(&site, address);
    open(&second, &alice).await.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artist_whose_answer_was_lost_joins_with_the_same_command() {
    let site = Site::start();
    let wire = Lossy::to(site.address(), Then::HangUp);
    let code = site.trial.invite(wire.address(), "alice", &[]).unwrap();
    let lost = site.trial.join("alice", &code).unwrap_err().to_string();
    assert!(lost.contains("hint: "), "{lost}");
    assert!(wire.swallowed() > 0, "no answer was lost");
    was_used(&site, "artist/alice");
    wire.mend();
    site.trial
        .join("alice", &code)
        .unwrap_or_else(|e| panic!("{e}"));
    site.trial
        .connect("alice", &[])
        .unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_cannot_keep_what_it_gets_does_not_use_its_invite() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let code = guard_invite(&site, site.address());
    let folder = site.trial.folder();
    std::fs::write(folder.join("file"), "").unwrap();
    std::fs::create_dir(folder.join("full")).unwrap();
    std::fs::write(folder.join("full/anything"), "").unwrap();
    let address = free_address().unwrap();
    // Root may write anywhere, but not into a file, nor into /proc.
    for state in ["file/ws13", "full", "/proc/ws13", "guard"] {
        let mut command = site.trial.command("hrpyc-guard").unwrap();
        command
            .args(["join", "-", "--advertise", &address.to_string()])
            .args(["--state-dir", state]);
        let refused = run_with_input(&mut command, &code).unwrap();
        let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
        assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
        assert_eq!(enrolled(&site, "guard/ws13"), 0, "{state}");
    }
    let joined = run_with_input(&mut join_command(&site, "-", address), &code).unwrap();
    joined.success().unwrap_or_else(|e| panic!("{e}"));
    let second = Second::start(&site, address);
    open(&second, &alice).await.ping().await.unwrap();
}
