//! The names of roles, on which authority, guard and policy file must agree.
//!
//! What a role allows is said by the guard's policy. The authority knows names only: a
//! guard whose policy has no role of a name lets nobody in with it.

/// The roles that every guard has.
pub const BUILT_IN: &[&str] = &["full", "read-only", "read-numeric"];
const MAX_NAME: usize = 32;

/// Checks the name of a role: a lower-case letter, then lower-case letters, digits and `-`,
/// 32 bytes at most. Nothing that reads like another name gets through, such as `Full`.
///
/// # Errors
/// A sentence that says what a name is.
pub fn check(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() <= MAX_NAME
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
    {
        Ok(())
    } else {
        let shown: String = name.chars().take(MAX_NAME).collect();
        Err(format!(
            "{shown:?} is no name of a role: it is a lower-case letter, then lower-case letters, digits and -, {MAX_NAME} in all"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in BUILT_IN.iter().chain(&["lookdev", "a", "td-2"]) {
            assert_eq!(check(good), Ok(()));
        }
        let long = "a".repeat(33);
        for bad in [
            "",
            "Full",
            "full ",
            "-a",
            "2d",
            "a_b",
            "a/b",
            "fu\u{131}l",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
