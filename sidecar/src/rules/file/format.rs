//! What a policy file holds, before it is looked at.

use std::collections::BTreeMap;

use rpyc::reverse::Reverse;
use serde::Deserialize;
use toml::Spanned;

use crate::rules::condition::Type;
use crate::rules::role::{Inspect, Mode};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFile {
    pub(super) role: BTreeMap<Spanned<String>, RawRole>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRole {
    pub(super) extends: Option<Spanned<String>>,
    pub(super) inspect: Option<Spanned<Inspect>>,
    pub(super) mode: Option<Spanned<Mode>>,
    pub(super) reverse_calls: Option<Spanned<Reverse>>,
    pub(super) modules: Option<Vec<Spanned<String>>>,
    pub(super) contact: Option<Spanned<String>>,
    pub(super) rule: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) allow: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) deny: Vec<Spanned<String>>,
    pub(super) args: Option<Vec<RawCondition>>,
    pub(super) kwargs: Option<BTreeMap<String, RawCondition>>,
    #[serde(default)]
    pub(super) advisory_path: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCondition {
    pub(super) r#type: Spanned<RawTypes>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    #[serde(default)]
    pub(super) matches: Vec<String>,
    pub(super) items: Option<Box<RawCondition>>,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "none, bool, int, float, number, string, tuple or object, or a list of them"
)]
pub(super) enum RawTypes {
    One(Type),
    Many(Vec<Type>),
}
