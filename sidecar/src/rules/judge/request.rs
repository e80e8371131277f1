//! What is asked, by the kind of the request: the floor first, then the member that it names.

use std::sync::{Arc, LazyLock};

use super::kept::Kept;
use super::member::Access;
use super::{Decision, Judgement, Ruling, shown};
use crate::rules::floor;
use crate::rules::operation::{Arg, Does, Operation};
use crate::rules::thing::{Thing, What};

pub(super) static PLUMBING: LazyLock<Arc<str>> = LazyLock::new(|| "floor/plumbing".into());
static CONNECT: LazyLock<Arc<str>> = LazyLock::new(|| "floor/connect".into());

impl Judgement<'_> {
    pub(super) fn decide(&self, operation: &Operation<'_>, kept: &mut Kept) -> Decision {
        let on = operation.on;
        match &operation.does {
            Does::Close | Does::GetRoot | Does::Del | Does::Inspect => {
                return Decision::Allow(PLUMBING.clone());
            }
            Does::Ping(data) => {
                return match self.refused_argument(data) {
                    Some(refused) => refused,
                    None => Decision::Allow(PLUMBING.clone()),
                };
            }
            Does::SetAttr(name) | Does::DelAttr(name) => {
                return Decision::deny(
                    "floor/attributes",
                    format!(
                        "attributes of Houdini's objects cannot be set or deleted in this role ({})",
                        shown(name)
                    ),
                );
            }
            Does::Pickle => {
                return Decision::deny(
                    "floor/pickle",
                    "objects cannot be copied out of Houdini by pickling (rpyc's obtain) in this role: read their values one by one",
                );
            }
            Does::OldSlicing => {
                return Decision::deny(
                    "floor/slicing",
                    "slices as Python 2 sends them take the name of any method",
                );
            }
            _ => {}
        }
        match self.things.what(on) {
            What::Forbidden(name) => Decision::deny(
                "floor/forbidden",
                format!(
                    "{name} may be held, as every rpyc client does, but not used: it gives any Python"
                ),
            ),
            What::Unknown(name) => Decision::deny(
                "floor/unknown",
                format!("it is not known how this object was got ({})", shown(name)),
            ),
            What::Connection => Decision::deny("floor/unknown", "this is no object"),
            What::Root => self.of_root(&operation.does),
            What::GetModule => self.of_getmodule(&operation.does),
            _ => self.of_object(operation, kept),
        }
    }

    fn of_root(&self, does: &Does<'_>) -> Decision {
        match does {
            Does::GetAttr(name) if *name == "getmodule" || floor::HELD_OF_ROOT.contains(name) => {
                Decision::Allow(CONNECT.clone())
            }
            _ => Decision::deny(
                "floor/root",
                "of the connection's service only modules can be asked for in this role",
            ),
        }
    }

    fn of_getmodule(&self, does: &Does<'_>) -> Decision {
        match does {
            Does::Call {
                args: [Arg::Str(name)],
                kwargs: [],
            } => {
                if floor::HELD_MODULES.contains(name) {
                    Decision::Allow(CONNECT.clone())
                } else if self.narrow.modules.iter().any(|module| module == name) {
                    Decision::Allow("modules".into())
                } else {
                    Decision::deny(
                        "modules",
                        format!("module {} is not among those of this role", shown(name)),
                    )
                }
            }
            Does::Repr | Does::Str | Does::Hash => Decision::Allow(PLUMBING.clone()),
            _ => Decision::deny("modules", "a module is asked for by one name"),
        }
    }

    fn of_object(&self, operation: &Operation<'_>, kept: &mut Kept) -> Decision {
        let on = operation.on;
        match &operation.does {
            Does::GetAttr(name) => {
                let ruling = kept.named(on, Access::Get, name, || self.attribute(on, name));
                self.conclude(ruling, &[], &[], operation)
            }
            Does::Call { args, kwargs } => {
                if let Some(refused) = self.refused_arguments(args, kwargs) {
                    return refused;
                }
                let slot = kept.slot(on);
                let ruling = &*slot.called.get_or_insert_with(|| self.call(on));
                self.conclude(ruling, args, kwargs, operation)
            }
            Does::CallAttr { name, args, kwargs } => {
                if let Some(refused) = self.refused_arguments(args, kwargs) {
                    return refused;
                }
                let ruling = kept.named(on, Access::Operator, name, || self.operator(on, name));
                self.conclude(ruling, args, kwargs, operation)
            }
            Does::BuffIter { count } => {
                if *count > floor::MOST_ITEMS {
                    return Decision::deny(
                        "floor/items",
                        format!(
                            "{count} items are too many for one request: ask for at most {}",
                            floor::MOST_ITEMS
                        ),
                    );
                }
                let iterates = ["__iter__", "__getitem__"].map(|name| {
                    let ruling = kept.named(on, Access::Operator, name, || self.operator(on, name));
                    self.conclude(ruling, &[], &[], operation)
                });
                let [first, second] = iterates;
                if first.allows() {
                    first
                } else if second.allows() {
                    second
                } else {
                    first
                }
            }
            Does::CtxExit { exception } => {
                if *exception != Arg::None {
                    return Decision::deny(
                        "floor/argument",
                        "an exception of the client is not forwarded in this role",
                    );
                }
                let name = "__enter__";
                let ruling = kept.named(on, Access::Operator, name, || self.operator(on, name));
                self.conclude(ruling, &[], &[], operation)
            }
            Does::Cmp { op, other } => {
                if !floor::COMPARISONS.contains(op) {
                    return Decision::deny(
                        "floor/operator",
                        format!("{} is no comparison", shown(op)),
                    );
                }
                match self.refused_argument(other) {
                    Some(refused) => refused,
                    None => self.used(on, kept),
                }
            }
            Does::InstanceCheck { other } => match (self.things.what(on), self.things.what(*other))
            {
                (What::Class(_), What::Instance(_)) => self.used(on, kept),
                _ => Decision::deny("floor/argument", "only objects can be held against classes"),
            },
            Does::Repr | Does::Str | Does::Hash | Does::Dir => self.used(on, kept),
            // Decided before.
            Does::Ping(_)
            | Does::Close
            | Does::GetRoot
            | Does::Del
            | Does::Inspect
            | Does::SetAttr(_)
            | Does::DelAttr(_)
            | Does::Pickle
            | Does::OldSlicing => Decision::deny("floor/unknown", "this is not known"),
        }
    }

    fn used(&self, on: Thing, kept: &mut Kept) -> Decision {
        let slot = kept.slot(on);
        match &*slot
            .used
            .get_or_insert_with(|| Ruling::Decided(self.use_of(on)))
        {
            Ruling::Decided(decision) => decision.clone(),
            Ruling::Depends { otherwise, .. } => otherwise.clone(),
        }
    }
}
