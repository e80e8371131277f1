//! What is known of HOM: `hom/catalogue.txt`, which `hom/make.py` writes.

use std::collections::HashMap;
use std::sync::LazyLock;

static TEXT: &str = include_str!("../../hom/catalogue.txt");
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(TEXT));

/// The names of HOM that somebody has read, with the decision about each.
#[derive(Debug)]
pub(super) struct Catalogue {
    entries: HashMap<&'static str, Entry>,
}

/// One name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// What it is, and whether it is in the lists.
    pub(super) kind: EntryKind,
    /// Why, in one word.
    pub(super) reason: &'static str,
    /// The class that a call gives, or the base of a class: `hou.Parm`, `*hou.Node` for a
    /// tuple of them, `value` for plain data; `None` when that is not known.
    pub(super) gives: Option<&'static str>,
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A class that may be named and compared.
    Type,
    /// A class of plain maths that may be made as well.
    New,
    /// A class of constants.
    Enum,
    /// A method of objects.
    Method,
    /// A function of a module, or a class that is used like one.
    Static,
    /// Left out.
    Out,
}

impl Catalogue {
    /// The one that the program was built with.
    pub(super) fn get() -> &'static Self {
        &CATALOGUE
    }

    fn parse(text: &'static str) -> Self {
        let entries = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                let name = words.next()?;
                let kind = match words.next()? {
                    "type" => EntryKind::Type,
                    "new" => EntryKind::New,
                    "enum" => EntryKind::Enum,
                    "method" => EntryKind::Method,
                    "static" => EntryKind::Static,
                    // What cannot be read is not in the lists.
                    _ => EntryKind::Out,
                };
                let reason = words.next()?;
                let gives = words.next().filter(|word| *word != "-");
                Some((
                    name,
                    Entry {
                        kind,
                        reason,
                        gives,
                    },
                ))
            })
            .collect();
        Self { entries }
    }

    /// The entry of one dotted name.
    pub(super) fn entry(&self, name: &str) -> Option<Entry> {
        self.entries.get(name).copied()
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, Entry)> {
        self.entries.iter().map(|(name, entry)| (*name, *entry))
    }

    /// A class and what it comes from, nearest first. A class that is not known comes from
    /// nothing.
    pub(super) fn lineage<'a>(&self, class: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let base = |name: &str| -> Option<&'static str> {
            CATALOGUE
                .entry(name)
                .filter(|entry| matches!(entry.kind, EntryKind::Type | EntryKind::New))
                .and_then(|entry| entry.gives)
        };
        // The data is a tree; the bound is for a slip of the hand in it.
        std::iter::successors(Some(class), move |name| {
            base(name).map(|name| name as &'a str)
        })
        .take(16)
    }

    /// The decision about a member of a class or a module: that of the nearest class that
    /// has one, since that is the method which runs.
    pub(super) fn member(&self, owner: &str, member: &str) -> Option<(&'static str, Entry)> {
        let mut path = String::with_capacity(64);
        self.lineage(owner).find_map(|class| {
            path.clear();
            path.push_str(class);
            path.push('.');
            path.push_str(member);
            self.entries
                .get_key_value(path.as_str())
                .map(|(name, entry)| (*name, *entry))
        })
    }

    /// The classes that come from a class, itself left out, in the order of their names.
    pub(super) fn subclasses(&self, class: &str) -> Vec<&'static str> {
        let mut all: Vec<&'static str> = self
            .names()
            .filter(|(name, entry)| {
                matches!(entry.kind, EntryKind::Type | EntryKind::New)
                    && self.lineage(name).skip(1).any(|base| base == class)
            })
            .map(|(name, _)| name)
            .collect();
        all.sort_unstable();
        all
    }
}

/// A reason for leaving a name out, for the artist: "it ...".
pub(super) fn explained(reason: &str) -> &'static str {
    match reason {
        "expand" => "it runs or expands text that the caller supplies",
        "code" => "it runs code or gives access to it",
        "callbacks" => "it gives functions of the scene",
        "files" => "it reaches files",
        "places" => "it tells about the machine and its user",
        "writes" => "it changes something",
        "cooks" => "it makes Houdini cook",
        "menus" => "it runs the asset's menu script",
        "asCode" => "it gives code or data without a bound",
        "userData" => "it gives Python objects of any kind",
        _ => "it is not in the list of what reading needs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_catalogue_is_read_and_its_bases_exist() {
        let catalogue = Catalogue::get();
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(catalogue.entries.len(), lines);
        for (name, entry) in catalogue.names() {
            let word = TEXT
                .lines()
                .find(|line| line.split_whitespace().next() == Some(name))
                .and_then(|line| line.split_whitespace().nth(1));
            assert_eq!(word == Some("out"), entry.kind == EntryKind::Out, "{name}");
            if let (EntryKind::Type | EntryKind::New, Some(base)) = (entry.kind, entry.gives) {
                assert!(catalogue.entry(base).is_some(), "{name} comes from {base}");
            }
        }
    }

    #[test]
    fn the_method_that_runs_is_the_one_that_is_judged() {
        let catalogue = Catalogue::get();
        let lineage: Vec<&str> = catalogue.lineage("hou.ObjNode").collect();
        assert_eq!(
            lineage,
            [
                "hou.ObjNode",
                "hou.OpNode",
                "hou.Node",
                "hou.NetworkMovableItem",
                "hou.NetworkItem"
            ]
        );
        assert_eq!(
            catalogue.member("hou.ObjNode", "path").unwrap().0,
            "hou.NetworkMovableItem.path"
        );
        assert!(catalogue.member("hou.ObjNode", "nothing").is_none());
        assert_eq!(
            catalogue.lineage("studio.Shot").collect::<Vec<_>>(),
            ["studio.Shot"]
        );
    }
}
