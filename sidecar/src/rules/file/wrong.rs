//! What is wrong with a policy file, and where.

use std::ops::Range;

/// What is wrong, and where.
pub(super) struct Wrong {
    pub(super) at: Option<Range<usize>>,
    pub(super) problem: String,
}

impl Wrong {
    pub(super) fn at(at: Option<Range<usize>>, problem: impl Into<String>) -> Self {
        Self {
            at,
            problem: problem.into(),
        }
    }

    /// As the TOML parser shows its own errors.
    pub(super) fn show(&self, text: &str) -> String {
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
