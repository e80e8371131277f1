//! What IT writes: the configuration and the policy.

use std::cell::LazyCell;
use std::net::IpAddr;
use std::path::PathBuf;

use guard::config::check;
use guard::rules::Policy;
use tempfile::TempDir;

/// Beyond what of an input a message repeats.
const MESSAGE_MAX: usize = 4000;

thread_local! {
    static FILE: LazyCell<(TempDir, PathBuf)> = LazyCell::new(|| {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("guard.toml");
        (folder, path)
    });
}

/// A configuration is right, or it is told what is wrong; one that is right sends nothing past
/// this machine that it does not name.
pub fn configuration(input: &[u8]) -> bool {
    let checked = FILE.with(|file| {
        std::fs::write(&file.1, input).expect("a file");
        check(&file.1)
    });
    match &checked {
        Ok(config) => {
            assert!(!config.upstreams.is_empty());
            let text = String::from_utf8_lossy(input);
            for upstream in &config.upstreams {
                let shown = upstream.to_string();
                let (host, _) = shown.rsplit_once(':').unwrap_or_default();
                let host = host.rsplit(" at ").next().unwrap_or_default();
                let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
                let is_here = host == "localhost"
                    || address.is_ok_and(|address| address.is_loopback())
                    || shown.contains("unix:");
                assert!(is_here || text.contains("allow_remote_upstream"), "{shown}");
            }
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.len() < MESSAGE_MAX + 4 * input.len(), "{shown}");
            assert!(!error.hint().is_empty());
        }
    }
    checked.is_ok()
}

/// A policy is right, or it is told what is wrong; one that is right has the built-in roles.
pub fn policy(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let parsed = Policy::parse(text);
    match &parsed {
        Ok(policy) => {
            for role in ["full", "read-only", "read-numeric"] {
                assert!(policy.role(role).is_some(), "{role}");
            }
        }
        Err(problem) => {
            assert!(!problem.is_empty());
            assert!(problem.len() < MESSAGE_MAX + 4 * input.len(), "{problem}");
        }
    }
    parsed.is_ok()
}
