//! What must not be in the audit: values of arguments that look like secrets, by rules.
//!
//! It happens before a record is chained, so that nobody has to choose later between the
//! secret and the chain.

use super::calls::Argument;

/// What stands in the place of a value.
pub const MARKER: &str = "[redacted]";

/// Words in the name of a keyword, of a method, or of what a text in front of the value
/// names, that make a value a secret.
const SECRETS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "credential",
    "private_key",
];

/// One rule of `audit.redact`. What it names must all match; a rule that names no argument
/// means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Of the expression that is called.
    pub expression: Option<Pattern>,
    /// Of the class of the object.
    pub class: Option<Pattern>,
    /// Of the method's name.
    pub method: Option<Pattern>,
    /// The place of the argument; the first is 1. Keywords are not counted.
    pub argument: Option<usize>,
    /// Of the name of a keyword argument.
    pub keyword: Option<Pattern>,
}

/// A text in which `*` stands for anything. Upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern from its text.
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// Whether all of the text matches.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let Some((head, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut text) = text.strip_prefix(head) else {
            return false;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middle.split('*') {
            match text.find(part) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last)
    }
}

/// All rules: those of the configuration, and those that are always there.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    rules: Vec<Rule>,
}

impl Redactor {
    /// The rules of a configuration, and those that are always there.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Puts [`MARKER`] in the place of every value that must not be written down, and takes
    /// these values out of the expression.
    pub fn redact(
        &self,
        expression: &mut String,
        class: &str,
        method: &str,
        arguments: &mut [Argument],
    ) {
        if arguments.is_empty() {
            return;
        }
        // Mostly there are none, and nothing is allocated.
        let secrets: Vec<usize> = self.secrets(expression, class, method, arguments).collect();
        for place in secrets {
            let value = &mut arguments[place].value;
            strike(expression, value);
            value.clear();
            value.push_str(MARKER);
        }
    }

    /// Whether one of these values must not be written down.
    pub fn hides(
        &self,
        expression: &str,
        class: &str,
        method: &str,
        arguments: &[Argument],
    ) -> bool {
        let mut secrets = self.secrets(expression, class, method, arguments);
        secrets.next().is_some()
    }

    /// The places of the values that must not be written down.
    fn secrets<'a>(
        &'a self,
        expression: &str,
        class: &str,
        method: &str,
        arguments: &'a [Argument],
    ) -> impl Iterator<Item = usize> + use<'a> {
        let is_secret_method = names_secret(method);
        let meant: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| {
                let fits = |pattern: &Option<Pattern>, text: &str| {
                    pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
                };
                fits(&rule.method, method)
                    && fits(&rule.class, class)
                    && fits(&rule.expression, expression)
            })
            .collect();
        let mut place = 0;
        let mut after_secret = false;
        let is_secret = move |argument: &Argument| {
            if argument.keyword.is_none() {
                place += 1;
            }
            let keyword = argument.keyword.as_deref();
            let is_meant = |rule: &&Rule| match (rule.argument, &rule.keyword) {
                (None, None) => true,
                (Some(wanted), _) if keyword.is_none() && wanted == place => true,
                (_, Some(pattern)) => keyword.is_some_and(|keyword| pattern.matches(keyword)),
                _ => false,
            };
            let is_secret = is_secret_method
                || after_secret
                || keyword.is_some_and(names_secret)
                || meant.iter().any(is_meant);
            // `setenv("API_TOKEN", value)`: the name may be read, what follows it not.
            after_secret = keyword.is_none()
                && argument.value.len() <= 80
                && argument.value.starts_with(['\'', '"'])
                && names_secret(&argument.value);
            is_secret
        };
        let all = arguments.iter().map(is_secret).enumerate();
        all.filter_map(|(place, is_secret)| is_secret.then_some(place))
    }
}

/// Takes a value out of the expression, where it may stand from an earlier call.
fn strike(expression: &mut String, value: &str) {
    let bare = value.trim_matches(['\'', '"']);
    // Taking out `1` or `x` would only make the expression unreadable.
    if bare.len() >= 4 && expression.contains(bare) {
        *expression = expression.replace(bare, MARKER);
    }
}

fn names_secret(name: &str) -> bool {
    SECRETS
        .iter()
        .any(|word| contains_ignoring_case(name, word))
}

/// Whether `word`, in lower case, is in `text`.
fn contains_ignoring_case(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let first = word[0];
    text.len() >= word.len()
        && text[..=text.len() - word.len()]
            .iter()
            .enumerate()
            .any(|(at, byte)| {
                byte | 0x20 == first && text[at..at + word.len()].eq_ignore_ascii_case(word)
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(rules: Vec<Rule>, call: (&str, &str), arguments: &[(&str, &str)]) -> String {
        let mut expression = call.0.to_owned();
        let mut arguments: Vec<Argument> = arguments
            .iter()
            .map(|(keyword, value)| Argument {
                keyword: (!keyword.is_empty()).then(|| (*keyword).into()),
                value: (*value).into(),
            })
            .collect();
        Redactor::new(rules).redact(&mut expression, "hou.Session", call.1, &mut arguments);
        let values: Vec<String> = arguments.into_iter().map(|a| a.value).collect();
        format!("{expression}({})", values.join(", "))
    }

    #[test]
    fn a_harmless_call_stays_as_it_is() {
        let call = ("hou.node('/obj').parm('tx').set", "set");
        assert_eq!(
            redacted(Vec::new(), call, &[("", "2.0"), ("follow", "True")]),
            "hou.node('/obj').parm('tx').set(2.0, True)"
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_never_written() {
        let open = ("db.open", "open");
        for keyword in [
            "password",
            "dbPassword",
            "auth_token",
            "API_KEY",
            "client_secret",
        ] {
            assert_eq!(
                redacted(Vec::new(), open, &[("", "'host'"), (keyword, "'hunter2'")]),
                "db.open('host', [redacted])"
            );
        }
        assert_eq!(
            redacted(
                Vec::new(),
                ("db.setPassword", "setPassword"),
                &[("", "'hunter2'")]
            ),
            "db.setPassword([redacted])"
        );
        assert_eq!(
            redacted(
                Vec::new(),
                ("hou.putenv", "putenv"),
                &[("", "'FARM_TOKEN'"), ("", "'abc'"), ("", "'x'")]
            ),
            "hou.putenv('FARM_TOKEN', [redacted], 'x')"
        );
    }

    #[test]
    fn a_value_that_is_redacted_is_not_in_the_expression_either() {
        assert_eq!(
            redacted(
                Vec::new(),
                ("vault('hunter2').login", "login"),
                &[("password", "'hunter2'")]
            ),
            "vault('[redacted]').login([redacted])"
        );
    }

    #[test]
    fn a_rule_redacts_what_it_names_and_nothing_else() {
        let pattern = |text: &str| Some(Pattern::new(text));
        let rule = Rule {
            expression: pattern("*.studio.*"),
            method: pattern("LOGIN*"),
            argument: Some(2),
            ..Rule::default()
        };
        let two = [("", "'alice'"), ("", "'hunter2'"), ("as", "'x'")];
        let of = |expression: &str, method: &str| {
            redacted(vec![rule.clone()], (expression, method), &two)
        };
        assert_eq!(
            of("hou.studio.loginAs", "loginAs"),
            "hou.studio.loginAs('alice', [redacted], 'x')"
        );
        for other in [("hou.studio.logout", "logout"), ("hou.loginAs", "loginAs")] {
            assert!(of(other.0, other.1).contains("hunter2"), "{other:?}");
        }
        let all = Rule {
            class: pattern("hou.sess*"),
            ..Rule::default()
        };
        assert_eq!(
            redacted(vec![all], ("s.x", "x"), &two),
            "s.x([redacted], [redacted], [redacted])"
        );
        let keyword = Rule {
            keyword: pattern("as"),
            ..Rule::default()
        };
        assert_eq!(
            redacted(vec![keyword], ("s.x", "x"), &two),
            "s.x('alice', 'hunter2', [redacted])"
        );
    }

    #[test]
    fn a_pattern_matches_all_of_a_text() {
        for (pattern, text, expected) in [
            ("set", "set", true),
            ("set", "setx", false),
            ("set*", "setExpression", true),
            ("*parm*set", "hou.parm('x').set", true),
            ("*parm*set", "hou.parm('x').sets", false),
            ("a*a", "a", false),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
