//! Objects that come with a message.

use std::sync::Arc;

use super::bounds::{self, Breach};
use super::expression::put_class;
use super::naming::Naming;
use super::objects::{Full, How, Objects, Origin};
use super::pending::Open;
use super::text::{Names, SHOWN_MAX, Text, shortened};
use crate::message::{Boxed, ObjectId};

/// Notes what a reply refers to.
pub(super) struct Arrivals<'c> {
    pub(super) open: &'c Open,
    pub(super) is_server: bool,
    /// `id()` of the class `module` at the server, once a module has been seen.
    pub(super) module_type: &'c mut Option<u64>,
    pub(super) names: &'c mut Names,
    /// References to objects of the asker that it has never handed out.
    pub(super) unknown: usize,
}

impl Arrivals<'_> {
    /// The reply is one object.
    pub(super) fn object(
        &mut self,
        objects: &mut Objects,
        id: &ObjectId<'_>,
    ) -> Result<(), Breach> {
        let open = self.open;
        let module_type = &mut *self.module_type;
        let is_server = self.is_server;
        let origin = || {
            let (mut how, text, mut own_name) = match &open.naming {
                Naming::Own(how, name) => (*how, Arc::from(&**name), Some(name.clone())),
                Naming::Result => (How::Result, shortened(&open.expression), None),
                Naming::Attribute => (How::Attribute, shortened(&open.expression), None),
            };
            // All modules are of one class, whatever it is called.
            if is_server && !id.is_class() {
                match how {
                    How::Module => *module_type = Some(id.type_id),
                    How::Attribute if *module_type == Some(id.type_id) => {
                        how = How::Module;
                        own_name = Some(Arc::from(&*text));
                    }
                    _ => {}
                }
            }
            let is_attribute = matches!(how, How::Attribute);
            Origin {
                how,
                text,
                index: None,
                own_name,
                member: is_attribute.then(|| (open.class.clone(), open.method.clone())),
            }
        };
        arrive(objects, id, self.names, origin)
    }

    pub(super) fn items(
        &mut self,
        theirs: &mut Objects,
        own: &Objects,
        items: &Boxed<'_>,
        text: &Arc<str>,
    ) -> Result<(), Breach> {
        let Boxed::Tuple(items) = items else {
            return Ok(());
        };
        for (index, item) in items.enumerate() {
            match &item {
                Boxed::Plain(_) => {}
                Boxed::Local(id) => self.returns(own, id),
                Boxed::Remote(id) => {
                    let origin = || Origin {
                        how: How::Result,
                        text: text.clone(),
                        index: u32::try_from(index).ok(),
                        own_name: None,
                        member: None,
                    };
                    arrive(theirs, id, self.names, origin)?;
                }
                Boxed::Tuple(_) => {
                    let inner = shortened(&format!("{text}[{index}]"));
                    self.items(theirs, own, &item, &inner)?;
                }
            }
        }
        Ok(())
    }

    /// The asker's own object comes back to it.
    pub(super) fn returns(&mut self, own: &Objects, id: &ObjectId<'_>) {
        if own.find(id).is_none() {
            self.unknown += 1;
        }
    }
}

/// The asker passes an object of its own.
pub(super) fn passed(
    objects: &mut Objects,
    id: &ObjectId<'_>,
    callee: &str,
    names: &mut Names,
) -> Result<(), Breach> {
    let origin = || {
        let mut text = Text::new();
        text.push("<");
        put_class(&mut text, id);
        text.push(" given to ");
        text.within(SHOWN_MAX / 2, |text| text.push(callee));
        text.push(">");
        Origin {
            how: How::Argument,
            text: Arc::from(text.into_string()),
            index: None,
            own_name: None,
            member: None,
        }
    };
    arrive(objects, id, names, origin)
}

fn arrive(
    objects: &mut Objects,
    id: &ObjectId<'_>,
    names: &mut Names,
    origin: impl FnOnce() -> Origin,
) -> Result<(), Breach> {
    if id.name.len() > bounds::NAME_MAX {
        return Err(Breach::LongName);
    }
    let arrived = objects.arrive(id, || names.get(id.name), origin);
    arrived.map(drop).map_err(|full| match full {
        Full::Objects => Breach::TooManyObjects,
        Full::Names => Breach::TooManyNames,
    })
}
