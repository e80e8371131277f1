//! An object, as it is known.

use super::expression::put_name;
use super::objects::{How, Object};
use super::text::Text;

/// An object that is held, as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub(super) object: &'a Object,
}

impl<'a> Known<'a> {
    /// In which way it was got.
    pub fn how(&self) -> How {
        self.object.origin.how
    }

    /// The class that a rule would name: `hou.ObjNode`; of a module the module's own name,
    /// `hou`, whatever the rpyc version calls it.
    pub fn class(&self) -> &'a str {
        self.object.class()
    }

    /// Of an attribute the class or module that it was read from, and its name.
    pub fn member(&self) -> Option<(&'a str, &'a str)> {
        let (class, name) = self.object.origin.member.as_ref()?;
        Some((class, name))
    }

    /// The expression that gave it, for people.
    pub fn name(&self) -> String {
        let mut text = Text::new();
        put_name(&mut text, self.object);
        text.into_string()
    }
}
