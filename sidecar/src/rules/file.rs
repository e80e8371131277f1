//! The policy file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rpyc::reverse::Reverse;
use serde::Deserialize;
use toml::Spanned;

use super::condition::{Condition, Conditions, Type};
use super::floor;
use super::pattern::Pattern;
use super::role::{Body, Inspect, Mode, Narrow, Powers, Role, Rule};

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

    /// A table for a built-in role: it may say whom to ask and how closely to look.
    fn adjust(&self, name: &Spanned<String>, raw: &RawRole) -> Result<Body, Wrong> {
        let Some(role) = self.role(name.get_ref()) else {
            return Err(Wrong::at(Some(name.span()), "there is no such role"));
        };
        if raw.extends.is_some() || raw.modules.is_some() || !raw.rule.is_empty() {
            return Err(Wrong::at(
                Some(name.span()),
                format!(
                    "{} is built in: only contact, mode, inspect and reverse_calls can be said of it; make a role that extends it",
                    name.get_ref()
                ),
            ));
        }
        let powers = match &role.0.powers {
            Powers::Full => Powers::Full,
            Powers::Narrow(narrow) => Powers::Narrow(narrow.clone()),
        };
        finish(name, raw, powers, &role)
    }

    fn compile(
        &self,
        name: &Spanned<String>,
        raw: &RawRole,
        built_in: bool,
    ) -> Result<Body, Wrong> {
        check_name(name)?;
        let base = match &raw.extends {
            None => None,
            Some(extends) => Some(self.role(extends.get_ref()).ok_or_else(|| {
                Wrong::at(
                    Some(extends.span()),
                    format!(
                        "there is no role {:?}; there are {}",
                        extends.get_ref(),
                        self.names()
                    ),
                )
            })?),
        };
        let mut narrow = match base.as_ref().map(|role| &role.0.powers) {
            Some(Powers::Full) => {
                if !raw.rule.is_empty() || raw.modules.is_some() {
                    return Err(Wrong::at(
                        raw.extends.as_ref().map(Spanned::span),
                        "a role that extends full has no rules: who may do everything walks around any of them; extend read-only and allow more",
                    ));
                }
                return finish(
                    name,
                    raw,
                    Powers::Full,
                    base.as_ref().unwrap_or(&self.roles["full"]),
                );
            }
            Some(Powers::Narrow(narrow)) => narrow.clone(),
            None => Narrow::default(),
        };
        for module in raw.modules.iter().flatten() {
            let text = module.get_ref();
            if !text.split('.').all(floor::is_identifier) {
                return Err(Wrong::at(
                    Some(module.span()),
                    format!("{text:?} is no name of a module"),
                ));
            }
            if floor::gives_everything(text) {
                return Err(Wrong::at(
                    Some(module.span()),
                    format!("module {text} gives any Python: who needs it needs the role full"),
                ));
            }
            if !narrow.modules.contains(text) {
                narrow.modules.push(text.clone());
            }
        }
        let mut names = std::collections::HashSet::new();
        for rule in &raw.rule {
            if !names.insert(rule.name.get_ref()) {
                return Err(Wrong::at(
                    Some(rule.name.span()),
                    format!(
                        "there are two rules {:?} in this role: a denial names its rule",
                        rule.name.get_ref()
                    ),
                ));
            }
            narrow.rules.push(rule.compile(name.get_ref(), built_in)?);
        }
        let base = base.unwrap_or_else(|| self.roles["read-only"].clone());
        // What is said of the mode of a base is said of the base alone.
        let mut body = finish(name, raw, Powers::Narrow(narrow), &base)?;
        if raw.mode.is_none() {
            body.mode = Mode::Enforce;
        }
        Ok(body)
    }

    fn names(&self) -> String {
        self.roles.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

fn check_name(name: &Spanned<String>) -> Result<(), Wrong> {
    wire::role::check(name.get_ref()).map_err(|problem| Wrong::at(Some(name.span()), problem))
}

fn finish(
    name: &Spanned<String>,
    raw: &RawRole,
    powers: Powers,
    base: &Role,
) -> Result<Body, Wrong> {
    let full = matches!(powers, Powers::Full);
    let mode = raw
        .mode
        .as_ref()
        .map_or(base.mode(), |mode| *mode.get_ref());
    let inspect = raw
        .inspect
        .as_ref()
        .map_or(base.inspect(), |inspect| *inspect.get_ref());
    if full && mode == Mode::Shadow {
        return Err(Wrong::at(
            raw.mode.as_ref().map(Spanned::span),
            "full denies nothing, so there is nothing to shadow",
        ));
    }
    if full && inspect == Inspect::Enforce {
        return Err(Wrong::at(
            raw.inspect.as_ref().map(Spanned::span),
            "full has nothing to enforce: write audit or off",
        ));
    }
    if !full && inspect != Inspect::Enforce {
        return Err(Wrong::at(
            raw.inspect.as_ref().map(Spanned::span),
            format!(
                "a narrow role that is not enforced would be full by another name: leave inspect out, and write mode = \"shadow\" to try {} without denying",
                name.get_ref()
            ),
        ));
    }
    let reverse_calls = raw
        .reverse_calls
        .as_ref()
        .map_or(base.0.reverse_calls, |reverse| *reverse.get_ref());
    if !full && reverse_calls == Reverse::Open {
        return Err(Wrong::at(
            raw.reverse_calls.as_ref().map(Spanned::span),
            "in a narrow role Houdini may ask nothing of the script: only a role that extends full can have open reverse calls",
        ));
    }
    if inspect == Inspect::Off
        && raw.reverse_calls.as_ref().map(Spanned::get_ref) == Some(&Reverse::Guarded)
    {
        return Err(Wrong::at(
            raw.reverse_calls.as_ref().map(Spanned::span),
            "with inspect = \"off\" nobody looks at what Houdini asks: write inspect = \"audit\", or leave reverse_calls out",
        ));
    }
    let contact = match &raw.contact {
        Some(contact)
            if contact.get_ref().len() > 200 || contact.get_ref().chars().any(char::is_control) =>
        {
            return Err(Wrong::at(
                Some(contact.span()),
                "contact is one line of 200 bytes at most",
            ));
        }
        Some(contact) => Some(contact.get_ref().as_str().into()),
        None => base.0.contact.clone(),
    };
    Ok(Body {
        name: name.get_ref().as_str().into(),
        contact,
        inspect,
        mode,
        reverse_calls,
        powers,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    role: BTreeMap<Spanned<String>, RawRole>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRole {
    extends: Option<Spanned<String>>,
    inspect: Option<Spanned<Inspect>>,
    mode: Option<Spanned<Mode>>,
    reverse_calls: Option<Spanned<Reverse>>,
    modules: Option<Vec<Spanned<String>>>,
    contact: Option<Spanned<String>>,
    rule: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: Spanned<String>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    args: Option<Vec<RawCondition>>,
    kwargs: Option<BTreeMap<String, RawCondition>>,
    #[serde(default)]
    advisory_path: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCondition {
    r#type: Spanned<RawTypes>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    matches: Vec<String>,
    items: Option<Box<RawCondition>>,
    #[serde(default)]
    optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "none, bool, int, float, number, string, tuple or object, or a list of them"
)]
enum RawTypes {
    One(Type),
    Many(Vec<Type>),
}

impl RawRule {
    fn compile(&self, role: &str, built_in: bool) -> Result<Rule, Wrong> {
        let at = Some(self.name.span());
        let name = self.name.get_ref();
        if wire::role::check(name).is_err() {
            return Err(Wrong::at(
                at,
                format!("{name:?} is no name of a rule: write lower-case letters, digits and -"),
            ));
        }
        if self.allow.is_empty() && self.deny.is_empty() {
            return Err(Wrong::at(
                at,
                format!("rule {name} says neither allow nor deny"),
            ));
        }
        let when = Conditions {
            args: self
                .args
                .as_ref()
                .map(|args| args.iter().map(RawCondition::compile).collect())
                .transpose()?,
            kwargs: self
                .kwargs
                .as_ref()
                .map(|kwargs| {
                    kwargs
                        .iter()
                        .map(|(name, raw)| Ok((name.clone(), raw.compile()?)))
                        .collect()
                })
                .transpose()?,
            paths: self
                .advisory_path
                .iter()
                .map(path)
                .collect::<Result<_, _>>()?,
        };
        let patterns = |list: &[Spanned<String>], allows| {
            list.iter()
                .map(|text| pattern(text, allows))
                .collect::<Result<Vec<_>, Wrong>>()
        };
        if let Some(args) = &when.args
            && args
                .windows(2)
                .any(|pair| pair[0].optional && !pair[1].optional)
        {
            return Err(Wrong::at(
                at,
                format!("rule {name}: an argument that must be there follows an optional one"),
            ));
        }
        Ok(Rule {
            name: format!("{role}/{name}").into(),
            allow: patterns(&self.allow, true)?,
            deny: patterns(&self.deny, false)?,
            only: in_words(&when),
            when,
            built_in,
        })
    }
}

fn pattern(text: &Spanned<String>, allows: bool) -> Result<Pattern, Wrong> {
    let wrong = |problem: String| Wrong::at(Some(text.span()), problem);
    let pattern = Pattern::parse(text.get_ref()).map_err(wrong)?;
    if !allows {
        return Ok(pattern);
    }
    let member = pattern.member();
    if floor::is_dunder(member) && !floor::OPERATORS.contains(&member) {
        return Err(wrong(format!(
            "{member} cannot be allowed in a narrow role: it leads into Houdini's Python"
        )));
    }
    if floor::gives_everything(text.get_ref()) || floor::gives_everything(pattern.module()) {
        return Err(wrong(format!(
            "{} gives any Python: who needs it needs the role full",
            text.get_ref()
        )));
    }
    Ok(pattern)
}

fn path(text: &Spanned<String>) -> Result<String, Wrong> {
    let path = text.get_ref();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let plain = path.starts_with('/')
        && parts.iter().all(|part| !["", ".", ".."].contains(part))
        && !parts.iter().rev().skip(1).any(|part| *part == "**");
    if plain {
        Ok(path.clone())
    } else {
        Err(Wrong::at(
            Some(text.span()),
            format!("{path:?} is no absolute path such as /obj/lights/* or /obj/lights/**"),
        ))
    }
}

impl RawCondition {
    fn compile(&self) -> Result<Condition, Wrong> {
        let at = Some(self.r#type.span());
        let types = match self.r#type.get_ref() {
            RawTypes::One(one) => vec![*one],
            RawTypes::Many(many) => many.clone(),
        };
        let has = |wanted: &[Type]| types.iter().any(|kind| wanted.contains(kind));
        if types.is_empty() {
            return Err(Wrong::at(
                at,
                "the list of types is empty: nothing would ever fit",
            ));
        }
        let numbers = self.min.is_some() || self.max.is_some();
        if numbers && !has(&[Type::Int, Type::Float, Type::Number]) {
            return Err(Wrong::at(at, "min and max are for int, float and number"));
        }
        if self.min.is_some_and(f64::is_nan)
            || self.max.is_some_and(f64::is_nan)
            || self.min.zip(self.max).is_some_and(|(min, max)| min > max)
        {
            return Err(Wrong::at(at, "nothing lies between min and max"));
        }
        if !self.matches.is_empty() && !has(&[Type::String, Type::Object]) {
            return Err(Wrong::at(at, "matches is for string and object"));
        }
        if self.items.is_some() && !has(&[Type::Tuple]) {
            return Err(Wrong::at(at, "items is for tuple"));
        }
        Ok(Condition {
            types,
            min: self.min,
            max: self.max,
            matches: self.matches.clone(),
            items: self
                .items
                .as_ref()
                .map(|item| item.compile().map(Box::new))
                .transpose()?,
            optional: self.optional,
        })
    }
}

/// Conditions for the artist, to stand behind a name: ` with (a number from 0 to 10)`.
fn in_words(when: &Conditions) -> String {
    let mut text = String::new();
    if when.args.is_some() || when.kwargs.is_some() {
        let args = when.args.iter().flatten().map(condition_in_words);
        let kwargs = when.kwargs.iter().flatten();
        let kwargs =
            kwargs.map(|(name, condition)| format!("{name}={}", condition_in_words(condition)));
        let all: Vec<String> = args.chain(kwargs).collect();
        text.push_str(" with (");
        text.push_str(&all.join(", "));
        text.push(')');
    }
    if !when.paths.is_empty() {
        text.push_str(" at ");
        text.push_str(&when.paths.join(" or "));
        text.push_str(" (advisory)");
    }
    text
}

fn condition_in_words(condition: &Condition) -> String {
    let names: Vec<&str> = condition
        .types
        .iter()
        .map(|kind| match kind {
            Type::None => "None",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Float => "float",
            Type::Number => "number",
            Type::String => "string",
            Type::Tuple => "tuple",
            Type::Object => "object",
        })
        .collect();
    let mut text = names.join(" or ");
    if let Some(item) = &condition.items {
        text.push_str(&format!(" of {}", condition_in_words(item)));
    }
    match (condition.min, condition.max) {
        (Some(min), Some(max)) => text.push_str(&format!(" from {min} to {max}")),
        (Some(min), None) => text.push_str(&format!(" of {min} at least")),
        (None, Some(max)) => text.push_str(&format!(" of {max} at most")),
        (None, None) => {}
    }
    if !condition.matches.is_empty() {
        text.push_str(&format!(" like {}", condition.matches.join(" or ")));
    }
    text
}

/// What is wrong, and where.
struct Wrong {
    at: Option<Range<usize>>,
    problem: String,
}

impl Wrong {
    fn at(at: Option<Range<usize>>, problem: impl Into<String>) -> Self {
        Self {
            at,
            problem: problem.into(),
        }
    }

    /// As the TOML parser shows its own errors.
    fn show(&self, text: &str) -> String {
        let Some(at) = &self.at else {
            return self.problem.clone();
        };
        let before = text.get(..at.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        let shown = text[start..].lines().next().unwrap_or_default();
        let width = text.get(at.clone()).map_or(1, |found| {
            found.lines().next().unwrap_or_default().chars().count()
        });
        let pad = " ".repeat(line.to_string().len());
        format!(
            "policy error at line {line}, column {column}\n{pad} |\n{line} | {shown}\n{pad} | {}{}\n{}",
            " ".repeat(column - 1),
            "^".repeat(width.max(1)),
            self.problem
        )
    }
}
