//! The policy file.

mod format;
mod role;
mod rule;
mod words;
mod wrong;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rpyc::reverse::Reverse;
use toml::Spanned;

use self::format::{RawFile, RawRole};
use self::wrong::Wrong;
use super::role::{Body, Inspect, Mode, Narrow, Powers, Role};

/// The rules of the built-in roles that are no plain list, in the form of a policy file.
const BUILT_IN: &str = include_str!("../../hom/roles.toml");
/// The roles that are always there.
const NAMES: &[&str] = &["full", "read-only", "read-numeric"];
/// A policy is read by people; nobody reads a megabyte.
const LARGEST: u64 = 1 << 20;

/// All roles of a guard. A copy shares them.
#[derive(Debug, Clone)]
pub struct Policy {
    roles: BTreeMap<String, Role>,
}

/// Why a policy file is not used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("the policy file {path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not right; the text shows line and column.
    #[error("the policy file {path} is not right:\n{problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Line, column and what was expected.
        problem: String,
    },
}

impl PolicyError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "give the path of a file that this user can read".into(),
            Self::File { path, .. } => format!(
                "correct it, then try: hrpyc-guard policy check --policy {}",
                path.display()
            ),
        }
    }
}

impl Policy {
    /// The built-in roles alone.
    ///
    /// # Panics
    /// Never: a test holds that the built-in rules are right.
    pub fn built_in() -> Self {
        let mut policy = Self {
            roles: BTreeMap::new(),
        };
        policy.put(Body {
            name: "full".into(),
            contact: None,
            inspect: Inspect::Audit,
            mode: Mode::Enforce,
            reverse_calls: Reverse::Guarded,
            powers: Powers::Full,
        });
        policy.put(Body {
            name: "read-only".into(),
            contact: None,
            inspect: Inspect::Enforce,
            mode: Mode::Enforce,
            reverse_calls: Reverse::Guarded,
            powers: Powers::Narrow(Narrow {
                modules: vec!["hou".into()],
                lists: true,
                rules: Vec::new(),
            }),
        });
        policy
            .add(BUILT_IN, true)
            .unwrap_or_else(|wrong| unreachable!("{}", wrong.problem));
        policy
    }

    /// The built-in roles and those of a file.
    ///
    /// # Errors
    /// [`PolicyError`] for the first thing that is not right.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let read = |source| PolicyError::Read {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if size > LARGEST {
            return Err(PolicyError::File {
                path: path.to_owned(),
                problem: format!("it has {size} bytes; a policy has {LARGEST} at most"),
            });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text).map_err(|problem| PolicyError::File {
            path: path.to_owned(),
            problem,
        })
    }

    /// The built-in roles and those of a text.
    ///
    /// # Errors
    /// The first thing that is not right, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut policy = Self::built_in();
        policy.add(text, false).map_err(|wrong| wrong.show(text))?;
        Ok(policy)
    }

    /// The role of exactly this name.
    pub fn role(&self, name: &str) -> Option<Role> {
        self.roles.get(name).cloned()
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    fn put(&mut self, body: Body) {
        self.roles
            .insert(body.name.to_string(), Role(Arc::new(body)));
    }

    fn add(&mut self, text: &str, built_in: bool) -> Result<(), Wrong> {
        let file: RawFile = toml::from_str(text).map_err(|error| Wrong {
            at: None,
            problem: error.to_string().trim_end().to_owned(),
        })?;
        let mut waiting: Vec<(&Spanned<String>, &RawRole)> = file.role.iter().collect();
        // A role may extend one that is written below it.
        while !waiting.is_empty() {
            let names: Vec<&str> = waiting
                .iter()
                .map(|(name, _)| name.get_ref().as_str())
                .collect();
            let ready = waiting.iter().position(|(_, raw)| {
                let base = raw.extends.as_ref();
                base.is_none_or(|base| !names.contains(&base.get_ref().as_str()))
            });
            let Some(ready) = ready else {
                let (_, raw) = waiting[0];
                return Err(Wrong::at(
                    raw.extends.as_ref().map(Spanned::span),
                    "these roles extend each other in a circle",
                ));
            };
            let (name, raw) = waiting.remove(ready);
            let body = if NAMES.contains(&name.get_ref().as_str()) && !built_in {
                self.adjust(name, raw)?
            } else {
                self.compile(name, raw, built_in)?
            };
            self.put(body);
        }
        Ok(())
    }

    fn names(&self) -> String {
        self.roles.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}
