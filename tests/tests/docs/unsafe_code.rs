//! `docs/dependencies.md` says that no code of this project is `unsafe`. The compiler sees to
//! it, wherever it is told to.

use crate::dependencies::{manifest, packages};

/// Whether the compiler is told to refuse `unsafe` code in a package. `forbid` cannot be
/// taken back by the code itself, as `deny` can.
fn is_forbidden(package: &toml::Table, workspace: &toml::Table) -> bool {
    let Some(lints) = package.get("lints") else {
        return false;
    };
    let shared = lints.get("workspace").and_then(|w| w.as_bool()) == Some(true);
    let lints = if shared {
        &workspace["workspace"]["lints"]
    } else {
        lints
    };
    let level = lints.get("rust").and_then(|rust| rust.get("unsafe_code"));
    level.and_then(|level| level.as_str()) == Some("forbid")
}

#[test]
fn no_package_may_have_unsafe_code() {
    let workspace = manifest("Cargo.toml");
    for package in packages() {
        let manifest = manifest(&format!("{package}/Cargo.toml"));
        assert!(is_forbidden(&manifest, &workspace), "{package}");
    }
}

#[test]
fn a_package_that_may_would_be_found() {
    let workspace = manifest("Cargo.toml");
    let is_forbidden = |text: &str| is_forbidden(&text.parse().unwrap(), &workspace);
    assert!(is_forbidden("lints.workspace = true"));
    assert!(is_forbidden("lints.rust.unsafe_code = 'forbid'"));
    for open in [
        "",
        "lints.workspace = false",
        "lints.rust.unsafe_code = 'deny'",
        "lints.rust.missing_docs = 'warn'",
    ] {
        assert!(!is_forbidden(open), "{open}");
    }
}
