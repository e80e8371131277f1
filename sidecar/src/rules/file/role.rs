//! The table of a role.

use rpyc::reverse::Reverse;
use toml::Spanned;

use super::Policy;
use super::format::RawRole;
use super::wrong::Wrong;
use crate::rules::floor;
use crate::rules::role::{Body, Inspect, Mode, Narrow, Powers, Role};

impl Policy {
    /// A table for a built-in role: it may say whom to ask and how closely to look.
    pub(super) fn adjust(&self, name: &Spanned<String>, raw: &RawRole) -> Result<Body, Wrong> {
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

    pub(super) fn compile(
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
