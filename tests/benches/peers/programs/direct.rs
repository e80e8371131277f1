//! Nothing in between.

use e2e::programs::Result;

use super::{Contender, Place};
use crate::session::Entry;

/// Starts nothing.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
pub(super) fn start(place: &Place<'_>) -> Result<Contender> {
    let entry = Entry::plain(place.houdini);
    Ok(Contender {
        name: "direct",
        version: "bare TCP".into(),
        one: Some(entry.clone()),
        two: Some(entry),
        far: Vec::new(),
        near: Vec::new(),
        _keeps: Vec::new(),
    })
}
