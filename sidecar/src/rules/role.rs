//! Roles.

use std::sync::Arc;

use rpyc::reverse::Reverse;

use super::catalogue::{Catalogue, EntryKind, explained};
use super::condition::Conditions;
use super::pattern::Pattern;

/// A role of the loaded policy. Only [`Policy::role`](super::Policy::role) gives one, by its
/// exact name: no other name ever becomes `full`.
#[derive(Debug, Clone)]
pub struct Role(pub(super) Arc<Body>);

#[derive(Debug)]
pub(super) struct Body {
    pub(super) name: Arc<str>,
    pub(super) contact: Option<Arc<str>>,
    pub(super) inspect: Inspect,
    pub(super) mode: Mode,
    /// As it is said; see [`Role::reverse_calls`].
    pub(super) reverse_calls: Reverse,
    pub(super) powers: Powers,
}

#[derive(Debug)]
pub(super) enum Powers {
    /// Any Python, as Houdini's user.
    Full,
    Narrow(Narrow),
}

/// What a narrow role may do, above the floor.
#[derive(Debug, Clone, Default)]
pub(super) struct Narrow {
    /// The modules that may be asked for.
    pub(super) modules: Vec<String>,
    /// May it use the curated lists?
    pub(super) lists: bool,
    /// Its own rules and those of the roles it extends.
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// `ROLE/NAME`.
    pub(super) name: Arc<str>,
    pub(super) allow: Vec<Pattern>,
    pub(super) deny: Vec<Pattern>,
    pub(super) when: Conditions,
    /// `when` in words, for denials.
    pub(super) only: String,
    /// Does it belong to a built-in role?
    pub(super) built_in: bool,
}

/// How closely the relay looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inspect {
    /// Each request is judged before it is forwarded.
    Enforce,
    /// Bytes stream through; each call is written down.
    Audit,
    /// Bytes stream through.
    Off,
}

impl Inspect {
    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
            Self::Off => "off",
        }
    }
}

/// Whether denials are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What is denied is not forwarded.
    Enforce,
    /// What would be denied is forwarded and reported: the role gives all that `full` does.
    Shadow,
}

impl Mode {
    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

impl Role {
    /// The name in grants, tokens and the audit.
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// Whom an artist who was denied something can ask.
    pub fn contact(&self) -> Option<&str> {
        self.0.contact.as_deref()
    }

    /// How closely the relay must look. Always [`Inspect::Enforce`] in a narrow role.
    pub fn inspect(&self) -> Inspect {
        self.0.inspect
    }

    /// What Houdini may ask of the script. Nothing is held back where nobody looks.
    pub fn reverse_calls(&self) -> Reverse {
        match self.0.inspect {
            Inspect::Off => Reverse::Open,
            Inspect::Enforce | Inspect::Audit => self.0.reverse_calls,
        }
    }

    /// Whether denials are carried out.
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Does it give any Python?
    pub fn is_full(&self) -> bool {
        matches!(self.0.powers, Powers::Full)
    }

    /// The modules that it may ask for.
    pub fn modules(&self) -> &[String] {
        match &self.0.powers {
            Powers::Full => &[],
            Powers::Narrow(narrow) => &narrow.modules,
        }
    }

    /// The names of its rules, those of the roles it extends included.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let rules: &[Rule] = match &self.0.powers {
            Powers::Full => &[],
            Powers::Narrow(narrow) => &narrow.rules,
        };
        rules.iter().map(|rule| &*rule.name)
    }

    /// Why this role is no sandbox, a sentence for each reason; empty when it gives nothing
    /// but what the built-in narrow roles give.
    pub fn cautions(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.0.mode == Mode::Shadow {
            said.push("it is in shadow mode: it forwards everything, as full does".into());
        }
        let Powers::Narrow(narrow) = &self.0.powers else {
            return said;
        };
        for module in narrow.modules.iter().filter(|module| *module != "hou") {
            said.push(format!(
                "module {module} is not known here: it is as safe as what its rules allow of it"
            ));
        }
        for rule in narrow.rules.iter().filter(|rule| !rule.built_in) {
            for pattern in &rule.allow {
                if let Some(caution) = caution(pattern) {
                    said.push(format!("rule {}: {caution}", rule.name));
                }
            }
            if !rule.when.paths.is_empty() {
                said.push(format!(
                    "rule {}: advisory_path is advice, no boundary: references, renames and relative paths lead around it",
                    rule.name
                ));
            }
        }
        said
    }
}

/// What there is to say about allowing a pattern, if it goes beyond the lists.
fn caution(pattern: &Pattern) -> Option<String> {
    let text = pattern.as_str();
    if pattern.module() != "hou" {
        return Some(format!("{text} is not known here"));
    }
    if !pattern.is_literal() {
        // In `hou` a star stands for what is in the lists.
        return None;
    }
    let (owner, member) = text.rsplit_once('.')?;
    match Catalogue::get().member(owner, member) {
        Some((_, entry)) if entry.kind == EntryKind::Out => Some(format!(
            "{text} was left out of the lists: {}",
            explained(entry.reason)
        )),
        Some(_) => None,
        None => Some(format!("{text} is not known here: check the name")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    fn reverse_calls(text: &str, role: &str) -> Reverse {
        let policy = Policy::parse(text).unwrap();
        policy.role(role).unwrap().reverse_calls()
    }

    #[test]
    fn houdini_is_held_back_unless_a_full_role_says_otherwise() {
        let built_in = Policy::built_in();
        for role in built_in.roles() {
            assert_eq!(role.reverse_calls(), Reverse::Guarded, "{}", role.as_str());
        }
        for (text, role) in [
            ("[role.full]\nreverse_calls = 'open'", "full"),
            (
                "[role.farm]\nextends = 'full'\nreverse_calls = 'open'",
                "farm",
            ),
            // As the role says that it extends, wherever that stands.
            (
                "[role.farm]\nextends = 'full'\n[role.full]\nreverse_calls = 'open'",
                "farm",
            ),
            // Nobody looks.
            ("[role.full]\ninspect = 'off'", "full"),
        ] {
            assert_eq!(reverse_calls(text, role), Reverse::Open, "{text}");
        }
        let looks_again = "[role.raw]\nextends = 'full'\ninspect = 'off'\n\
            [role.farm]\nextends = 'raw'\ninspect = 'audit'";
        assert_eq!(reverse_calls(looks_again, "farm"), Reverse::Guarded);
        let closed_again = "[role.full]\nreverse_calls = 'open'\n\
            [role.farm]\nextends = 'full'\nreverse_calls = 'guarded'";
        assert_eq!(reverse_calls(closed_again, "farm"), Reverse::Guarded);
    }

    #[test]
    fn what_cannot_be_meant_of_reverse_calls_is_told_with_its_line() {
        for (text, line, says) in [
            (
                "[role.read-only]\nreverse_calls = 'open'",
                2,
                "only a role that extends full",
            ),
            (
                "[role.shy]\nmode = 'shadow'\nreverse_calls = 'open'",
                3,
                "only a role that extends full",
            ),
            (
                "[role.full]\ninspect = 'off'\nreverse_calls = 'guarded'",
                3,
                "nobody looks",
            ),
            (
                "[role.full]\nreverse_calls = 'wide'",
                2,
                "`guarded` or `open`",
            ),
        ] {
            let told = Policy::parse(text).unwrap_err();
            assert!(told.contains(&format!("line {line}")), "{text}: {told}");
            assert!(told.contains(says), "{text}: {told}");
        }
    }
}
