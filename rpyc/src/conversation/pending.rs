//! Requests without an answer.

use std::ops::Range;
use std::sync::Arc;

use super::Side;
use super::event::{Answered, Dropped, Outcome, Weight};
use super::naming::{Naming, Subject};
use super::objects::Slot;
use super::text::{Names, Text};
use crate::head::Threads;

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) handler: u8,
    /// As they stand in the request.
    pub(super) threads: Option<Threads>,
    pub(super) expression: String,
    args: Range<usize>,
    pub(super) form: &'static str,
    pub(super) class: Arc<str>,
    pub(super) method: Arc<str>,
    pub(super) weight: Weight,
    pub(super) naming: Naming,
    /// Objects that it names and the other side does not have.
    pub(super) unknown: usize,
    asked_size: usize,
    /// The object that a `DEL` drops, how often, and what that does.
    pub(super) drops: Option<(Slot, u64, Dropped)>,
    /// The objects that it names. Nearly always one.
    first_named: Option<Slot>,
    more_named: Vec<Slot>,
}

impl Open {
    pub(super) fn new(
        handler: u8,
        subject: Subject,
        text: Text,
        args: Range<usize>,
        form: &'static str,
        size: usize,
    ) -> Self {
        Self {
            handler,
            threads: None,
            expression: text.into_string(),
            args,
            form,
            class: subject.class,
            method: subject.method,
            weight: subject.weight,
            naming: subject.naming,
            unknown: 0,
            asked_size: size,
            drops: None,
            first_named: None,
            more_named: Vec::new(),
        }
    }

    /// A request of which nothing but the head is known.
    pub(super) fn unread(handler: u8, names: &mut Names, size: usize) -> Self {
        let unread = names.get("?");
        let subject = Subject {
            class: unread.clone(),
            method: unread,
            naming: Naming::Result,
            weight: Weight::Call,
        };
        let mut text = Text::new();
        text.push("<a great request>");
        let end = text.len();
        Self::new(handler, subject, text, end..end, "", size)
    }

    /// Bytes that it takes beside a fixed number.
    pub(super) fn cost(&self) -> usize {
        let named = self.more_named.len() * size_of::<Slot>();
        self.expression.len() + self.class.len() + self.method.len() + named
    }

    pub(super) fn hide_arguments(&mut self) {
        self.expression.replace_range(self.args.clone(), "…");
        self.args.end = self.args.start + "…".len();
    }

    /// There are arguments that were not read.
    pub(super) fn has_more_arguments(&mut self) {
        if self.expression[self.args.end..].starts_with(')') {
            let more = match self.args.is_empty() {
                true => "…",
                false => ", …",
            };
            self.expression.insert_str(self.args.end, more);
            self.args.end += more.len();
        }
    }

    /// The expression without its arguments, and without what holds them.
    pub(super) fn callee(&self) -> &str {
        let Some((opening, _)) = self.form.split_once('…') else {
            return &self.expression;
        };
        let head = &self.expression[..self.args.start];
        head.strip_suffix(opening).unwrap_or(head)
    }

    pub(super) fn names(&mut self, slot: Slot) {
        match self.first_named {
            None => self.first_named = Some(slot),
            Some(_) => self.more_named.push(slot),
        }
    }

    pub(super) fn named(&self) -> impl Iterator<Item = Slot> + '_ {
        self.first_named
            .into_iter()
            .chain(self.more_named.iter().copied())
    }

    pub(super) fn answered(self, asker: Side, outcome: Outcome, size: usize) -> Answered {
        Answered {
            asker,
            handler: self.handler,
            expression: self.expression,
            args: self.args,
            class: self.class,
            method: self.method,
            weight: self.weight,
            outcome,
            asked_size: self.asked_size,
            answered_size: size,
            unknown: 0,
        }
    }
}
