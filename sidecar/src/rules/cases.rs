//! Cases for a policy: expressions and what is expected of them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::explain::{Explanation, explain};
use super::file::Policy;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCases {
    case: Vec<RawCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    role: Spanned<Roles>,
    expression: Spanned<String>,
    expect: Expected,
    rule: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "the name of a role, or a list of them")]
enum Roles {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

/// What became of one case in one role.
#[derive(Debug, Clone, Serialize)]
pub struct CaseReport {
    /// The line of its expression.
    pub line: usize,
    /// Does the policy do what is expected?
    pub passed: bool,
    /// What was expected, where it does not.
    pub expected: Option<String>,
    /// What it does.
    pub explanation: Explanation,
}

/// Why cases cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// The file cannot be read.
    #[error("the cases in {path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not right.
    #[error("the cases in {path} are not right:\n{problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Line, column and what was expected.
        problem: String,
    },
}

/// Runs all cases of a file.
///
/// # Errors
/// [`CasesError`] when the file is not right; a case that fails is no error here.
pub fn run(path: &Path, policy: &Policy) -> Result<Vec<CaseReport>, CasesError> {
    let text = std::fs::read_to_string(path).map_err(|source| CasesError::Read {
        path: path.to_owned(),
        source,
    })?;
    run_text(&text, policy).map_err(|problem| CasesError::File {
        path: path.to_owned(),
        problem,
    })
}

pub(super) fn run_text(text: &str, policy: &Policy) -> Result<Vec<CaseReport>, String> {
    let cases: RawCases =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if cases.case.is_empty() {
        return Err("there is no [[case]] in it".into());
    }
    let mut reports = Vec::new();
    for case in &cases.case {
        let roles = match case.role.get_ref() {
            Roles::One(role) => std::slice::from_ref(role),
            Roles::Many(roles) => roles,
        };
        let line = line_of(text, case.expression.span().start);
        if roles.is_empty() {
            return Err(format!("line {line}: a case without a role tests nothing"));
        }
        for name in roles {
            let role = policy.role(name).ok_or_else(|| {
                format!(
                    "line {}: there is no role {:?}",
                    line_of(text, case.role.span().start),
                    name
                )
            })?;
            let explanation =
                explain(policy, &role, case.expression.get_ref()).map_err(|error| {
                    format!("line {line}: {:?}: {error}", case.expression.get_ref())
                })?;
            let wanted = case.expect == Expected::Allow;
            // What nothing is known of has no verdict that could be as expected.
            let as_expected = explanation.allowed == wanted && explanation.rule != "undecided";
            let by_rule = case
                .rule
                .as_ref()
                .is_none_or(|rule| *rule == explanation.rule);
            let passed = as_expected && by_rule;
            let expected = (!passed).then(|| {
                let verdict = if wanted { "allow" } else { "deny" };
                match &case.rule {
                    Some(rule) => format!("{verdict} by {rule}"),
                    None => verdict.to_owned(),
                }
            });
            reports.push(CaseReport {
                line,
                passed,
                expected,
                explanation,
            });
        }
    }
    Ok(reports)
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}
