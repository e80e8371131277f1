//! Conditions in words, for those who are denied something.

use crate::rules::condition::{Condition, Conditions, Type};

/// Conditions for the artist, to stand behind a name: ` with (a number from 0 to 10)`.
pub(super) fn in_words(when: &Conditions) -> String {
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
