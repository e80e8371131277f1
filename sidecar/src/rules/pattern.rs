//! Patterns over dotted names and over texts.

use super::floor;

/// A pattern over a dotted name, such as `hou.*Node.name`. `*` stands for any run of
/// characters inside one part, and never for a name that begins with an underscore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    parts: Vec<String>,
}

impl Pattern {
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        if parts.len() < 2 {
            return Err(format!(
                "{text:?} names no member: write MODULE.FUNCTION or MODULE.CLASS.METHOD, such as hou.Parm.set"
            ));
        }
        for part in &parts {
            if !floor::is_identifier(&part.replace('*', "x")) || part.contains("**") {
                return Err(format!(
                    "{text:?} is no dotted name: its parts are letters, digits, _ and single *"
                ));
            }
        }
        if parts[0].contains('*') {
            return Err(format!("{text:?} begins with a *: name the module"));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    pub(super) fn is_literal(&self) -> bool {
        !self.text.contains('*')
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn member(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    pub(super) fn module(&self) -> &str {
        &self.parts[0]
    }

    /// Does it match `owner.member`, or `owner` alone where there is no member?
    pub(super) fn matches(&self, owner: &str, member: Option<&str>) -> bool {
        self.each(owner, member, fits)
    }

    /// As [`matches`](Self::matches), where a `*` stands for private names as well.
    pub(super) fn denies(&self, owner: &str, member: Option<&str>) -> bool {
        self.each(owner, member, matches_text)
    }

    fn each(&self, owner: &str, member: Option<&str>, fits: fn(&str, &str) -> bool) -> bool {
        let mut parts = self.parts.iter();
        let matched = owner
            .split('.')
            .chain(member)
            .all(|name| parts.next().is_some_and(|part| fits(part, name)));
        matched && parts.next().is_none()
    }

    /// Does it match some member of `owner`?
    pub(super) fn is_inside(&self, owner: &str) -> bool {
        let parts = &self.parts[..self.parts.len() - 1];
        parts.len() == owner.split('.').count()
            && parts
                .iter()
                .zip(owner.split('.'))
                .all(|(part, name)| fits(part, name))
    }
}

fn fits(part: &str, name: &str) -> bool {
    if part.starts_with('*') && name.starts_with('_') {
        return false;
    }
    glob(part.as_bytes(), name.as_bytes(), &|_| true)
}

/// `*` in `pattern` stands for any run of bytes that `inside` holds for. Linear but for a
/// step back to the last star.
fn glob(pattern: &[u8], text: &[u8], inside: &dyn Fn(u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) if inside(text[taken]) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// A pattern over a whole text: `*` stands for any run of characters.
pub(super) fn matches_text(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes(), &|_| true)
}

/// A pattern over a path of nodes: `*` stands for a run inside one part; a `**` part at the
/// end for all that is below.
pub(super) fn matches_path(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    for part in pattern.split('/') {
        if part == "**" {
            return names.next().is_some_and(|name| !name.is_empty());
        }
        match names.next() {
            Some(name) if glob(part.as_bytes(), name.as_bytes(), &|byte| byte != b'/') => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_inside_its_part_and_off_private_names() {
        let pattern = Pattern::parse("hou.*Node.name").unwrap();
        assert!(pattern.matches("hou.ObjNode", Some("name")));
        assert!(pattern.matches("hou.Node", Some("name")));
        assert!(!pattern.matches("hou.ObjNode.x", Some("name")));
        assert!(!pattern.matches("hou._Node", Some("name")));
        let all = Pattern::parse("hou.Parm.*").unwrap();
        assert!(all.matches("hou.Parm", Some("set")));
        assert!(!all.matches("hou.Parm", Some("_set")));
        assert!(!all.matches("hou.Parm", Some("__class__")));
        assert!(all.is_inside("hou.Parm") && !all.is_inside("hou.ParmTuple"));
    }

    #[test]
    fn what_is_no_dotted_name_is_refused() {
        for bad in [
            "hou", "", "hou.", ".x", "hou.a b", "hou.**", "*.x", "hou.é", "hou.1x",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_match_by_their_parts() {
        assert!(matches_path(
            "/obj/lights/*/intensity",
            "/obj/lights/key/intensity"
        ));
        assert!(!matches_path("/obj/lights/*", "/obj/lights/key/intensity"));
        assert!(matches_path("/obj/lights/**", "/obj/lights/key/intensity"));
        assert!(!matches_path("/obj/lights/**", "/obj/lights"));
        assert!(!matches_path("/obj/lights/**", "/obj/lights2/key"));
        assert!(matches_text("a*c*", "abbbcxx") && !matches_text("a*c", "abd"));
    }
}
