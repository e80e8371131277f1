//! What no rule of a file can lift.

use super::*;

#[test]
fn the_doors_that_no_expression_shows_are_shut() {
    for role in NARROW {
        let mut judge = judge("", role);
        let node = judge.things().instance("hou.ObjNode");
        let dict = judge.things().instance("builtins.dict");
        let plain = Arg::Str("x");
        for (does, rule) in [
            (Does::OldSlicing, "floor/slicing"),
            (Does::Pickle, "floor/pickle"),
            (
                Does::Cmp {
                    op: "__getattribute__",
                    other: Arg::Str("__class__"),
                },
                "floor/operator",
            ),
            (
                Does::Cmp {
                    op: "__getitem__",
                    other: plain,
                },
                "floor/operator",
            ),
            (
                Does::Cmp {
                    op: "__call__",
                    other: plain,
                },
                "floor/operator",
            ),
            (
                Does::Cmp {
                    op: "__cmp__",
                    other: plain,
                },
                "floor/operator",
            ),
            (
                Does::Cmp {
                    op: "format",
                    other: plain,
                },
                "floor/operator",
            ),
            (
                Does::Cmp {
                    op: "__eq__",
                    other: Arg::Client,
                },
                "floor/argument",
            ),
            (
                Does::CtxExit {
                    exception: Arg::Client,
                },
                "floor/argument",
            ),
            (
                Does::CallAttr {
                    name: "__getattribute__",
                    args: &[plain],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            (
                Does::CallAttr {
                    name: "format",
                    args: &[plain],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            (
                Does::CallAttr {
                    name: "__format__",
                    args: &[plain],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            (
                Does::CallAttr {
                    name: "__setitem__",
                    args: &[plain, plain],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            (
                Does::CallAttr {
                    name: "__reduce_ex__",
                    args: &[Arg::Int(2)],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            (
                Does::CallAttr {
                    name: "__call__",
                    args: &[],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            // A method that GETATTR would allow is not reached past it.
            (
                Does::CallAttr {
                    name: "name",
                    args: &[],
                    kwargs: &[],
                },
                "floor/operator",
            ),
            (Does::GetAttr("na\u{300}me"), "floor/name"),
            (Does::GetAttr(""), "floor/name"),
            (Does::GetAttr("a.b"), "floor/name"),
            (Does::GetAttr("thisown"), "default"),
            (Does::GetAttr("_x"), "default"),
            (Does::GetAttr("____conn__"), "floor/private"),
        ] {
            assert_eq!(
                rule_of(&mut judge, node, does),
                (false, rule.into()),
                "{does:?}"
            );
        }
        let many = Does::BuffIter { count: 1 << 40 };
        assert_eq!(
            rule_of(&mut judge, dict, many),
            (false, "floor/items".into())
        );
        for name in [
            "pop",
            "update",
            "clear",
            "setdefault",
            "__class__",
            "fromkeys",
        ] {
            assert!(!rule_of(&mut judge, dict, Does::GetAttr(name)).0, "{name}");
        }
        for class in [
            "builtins.generator",
            "builtins.frame",
            "builtins.code",
            "builtins.type",
            "builtins.str",
        ] {
            let thing = judge.things().instance(class);
            for name in [
                "gi_frame",
                "f_globals",
                "f_builtins",
                "co_code",
                "mro",
                "format",
                "format_map",
            ] {
                assert!(
                    !rule_of(&mut judge, thing, Does::GetAttr(name)).0,
                    "{class}.{name}"
                );
            }
        }
        for thing in [Thing::CONNECTION, Thing::UNKNOWN] {
            assert!(!rule_of(&mut judge, thing, Does::GetAttr("x")).0);
            assert!(
                !rule_of(
                    &mut judge,
                    thing,
                    Does::Call {
                        args: &[],
                        kwargs: &[]
                    }
                )
                .0
            );
        }
        let module = judge.things().module("hou");
        assert_eq!(
            rule_of(
                &mut judge,
                module,
                Does::Call {
                    args: &[],
                    kwargs: &[]
                }
            )
            .1,
            "floor/call"
        );
        assert_eq!(
            rule_of(
                &mut judge,
                node,
                Does::Call {
                    args: &[],
                    kwargs: &[]
                }
            )
            .1,
            "floor/call"
        );
        // A class of the scene, whatever it is called.
        let strange = judge.things().instance("hou.session.Node");
        for does in [
            Does::Str,
            Does::Repr,
            Does::Hash,
            Does::Dir,
            Does::GetAttr("name"),
        ] {
            assert_eq!(
                rule_of(&mut judge, strange, does),
                (false, "default".into())
            );
        }
    }
}

#[test]
fn plumbing_passes_in_narrow_roles() {
    for role in NARROW {
        let mut judge = judge("", role);
        let dict = judge.things().instance("builtins.dict");
        for does in [
            Does::Inspect,
            Does::Del,
            Does::Str,
            Does::BuffIter { count: 1000 },
            Does::CallAttr {
                name: "__len__",
                args: &[],
                kwargs: &[],
            },
            Does::CallAttr {
                name: "__getitem__",
                args: &[Arg::Str("x")],
                kwargs: &[],
            },
            Does::GetAttr("keys"),
        ] {
            assert!(rule_of(&mut judge, dict, does).0, "{does:?}");
        }
        for does in [Does::Ping(Arg::Str("x")), Does::Close, Does::GetRoot] {
            assert!(rule_of(&mut judge, Thing::CONNECTION, does).0, "{does:?}");
        }
        assert!(!rule_of(&mut judge, Thing::CONNECTION, Does::Ping(Arg::Client)).0);
        let points = judge.things().instance("hou._PointTupleGenerator");
        assert!(rule_of(&mut judge, points, Does::BuffIter { count: 10 }).0);
        let held = Operation::new(Thing::ROOT, Does::GetAttr("eval"));
        let eval = judge.arrive(
            &held,
            Arrived {
                name: "builtins.method",
                is_class: false,
            },
        );
        assert!(
            rule_of(&mut judge, eval, Does::Inspect).0 && rule_of(&mut judge, eval, Does::Del).0
        );
        assert_eq!(rule_of(&mut judge, eval, Does::Str).1, "floor/forbidden");
    }
}

#[test]
fn a_name_that_a_client_invents_does_not_fill_the_memory_or_the_sentence() {
    let mut judge = judge("", "read-only");
    let hou = judge.things().module("hou");
    for number in 0..50_000 {
        let name = format!("x{number}");
        assert!(!rule_of(&mut judge, hou, Does::GetAttr(&name)).0);
        judge.things().instance(&name);
    }
    assert_eq!(
        judge.things().instance("hou.ThatCameTooLate"),
        Thing::UNKNOWN
    );
    assert!(rule_of(&mut judge, hou, Does::GetAttr("node")).0);
    let long = "\u{7}".repeat(1000);
    let verdict = judge.judge(&Operation::new(hou, Does::GetAttr(&long)));
    let why = verdict.why().unwrap();
    assert!(why.len() < 600 && !why.contains('\u{7}'), "{why}");
}
