//! A rule of a role, with its patterns and conditions.

use toml::Spanned;

use super::format::{RawCondition, RawRule, RawTypes};
use super::words::in_words;
use super::wrong::Wrong;
use crate::rules::condition::{Condition, Conditions, Type};
use crate::rules::floor;
use crate::rules::pattern::Pattern;
use crate::rules::role::Rule;

impl RawRule {
    pub(super) fn compile(&self, role: &str, built_in: bool) -> Result<Rule, Wrong> {
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
