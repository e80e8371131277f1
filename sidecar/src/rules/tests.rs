use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn judge(text: &str, role: &str) -> Judge {
    let policy = Policy::parse(text).unwrap();
    let role = policy.role(role).unwrap();
    Judge::new(Arc::new(Live::new(policy)), &role)
}

fn rule_of(judge: &mut Judge, on: Thing, does: Does<'_>) -> (bool, String) {
    let verdict = judge.judge(&Operation::new(on, does));
    (verdict.forwards(), verdict.rule().to_owned())
}

/// A method of an object of a class, as the relay would come to know it.
fn method(judge: &mut Judge, class: &str, name: &str) -> Thing {
    let owner = judge.things().instance(class);
    judge.things().function(owner, name)
}

fn call(judge: &mut Judge, class: &str, name: &str, args: &[Arg<'_>]) -> (bool, String) {
    let function = method(judge, class, name);
    rule_of(judge, function, Does::Call { args, kwargs: &[] })
}

const NARROW: [&str; 2] = ["read-only", "read-numeric"];

#[test]
fn the_built_in_roles_do_what_the_case_file_says() {
    let policy = Policy::built_in();
    let reports = cases::run_text(include_str!("../../hom/cases.toml"), &policy).unwrap();
    let failed: Vec<_> = reports.iter().filter(|report| !report.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(reports.len() > 100, "{}", reports.len());
}

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
fn what_is_forbidden_stays_forbidden_by_whatever_path_it_comes() {
    let mut judge = judge("", "read-only");
    let asked = [Arg::Str("builtins")];
    let connect = Operation::new(
        Thing::GETMODULE,
        Does::Call {
            args: &asked,
            kwargs: &[],
        },
    );
    let module = Arrived {
        name: "builtins.module",
        is_class: false,
    };
    let builtins = judge.arrive(&connect, module);
    assert!(judge.things().stays_forbidden(builtins));

    // Again, as what looks like a harmless dict, in either order.
    let keys = method(&mut judge, "hou.OpNode", "userDataDict");
    let listed = Operation::new(
        keys,
        Does::Call {
            args: &[],
            kwargs: &[],
        },
    );
    let again = judge.arrive(
        &listed,
        Arrived {
            name: "builtins.dict",
            is_class: false,
        },
    );
    for (old, new) in [(builtins, again), (again, builtins)] {
        let met = judge.things().meet(old, new);
        assert_eq!(
            rule_of(&mut judge, met, Does::GetAttr("keys")).1,
            "floor/forbidden"
        );
    }

    // A function or a module out of a container has no past, whatever its class says.
    for name in [
        "builtins.function",
        "builtins.method",
        "builtins.module",
        "builtins.builtin_function_or_method",
    ] {
        let thing = judge.arrive(
            &listed,
            Arrived {
                name,
                is_class: false,
            },
        );
        assert_eq!(
            rule_of(
                &mut judge,
                thing,
                Does::Call {
                    args: &[],
                    kwargs: &[]
                }
            )
            .1,
            "floor/unknown",
            "{name}"
        );
        let node = judge.things().module("hou");
        let node = judge.things().function(node, "node");
        assert_eq!(
            judge.things().meet(node, thing),
            node,
            "what was known stays known"
        );
    }

    // One object under two names that do not agree.
    let hou = judge.things().module("hou");
    let (a, b) = (
        judge.things().function(hou, "node"),
        judge.things().function(hou, "parm"),
    );
    let met = judge.things().meet(a, b);
    assert_eq!(
        rule_of(
            &mut judge,
            met,
            Does::Call {
                args: &[],
                kwargs: &[]
            }
        )
        .1,
        "floor/forbidden"
    );
}

#[test]
fn a_module_is_known_by_the_name_it_was_asked_for() {
    let mut judge = judge("", "read-only");
    let asked = [Arg::Str("hou")];
    let operation = Operation::new(
        Thing::GETMODULE,
        Does::Call {
            args: &asked,
            kwargs: &[],
        },
    );
    // As 4.1.0 names modules, and as later ones do.
    for name in ["builtins.module", "hou", "__builtin__.module"] {
        let hou = judge.arrive(
            &operation,
            Arrived {
                name,
                is_class: false,
            },
        );
        assert!(rule_of(&mut judge, hou, Does::GetAttr("node")).0, "{name}");
        assert!(
            !rule_of(&mut judge, hou, Does::GetAttr("session")).0,
            "{name}"
        );
    }
    let hou = judge.things().module("hou");
    let hmath = Operation::new(hou, Does::GetAttr("hmath"));
    for (name, is_class) in [
        ("builtins.module", false),
        ("hou.hmath", false),
        ("hou.hmath", true),
    ] {
        let hmath = judge.arrive(&hmath, Arrived { name, is_class });
        assert!(
            rule_of(&mut judge, hmath, Does::GetAttr("degToRad")).0,
            "{name}"
        );
    }
}

#[test]
fn deny_beats_allow_in_whatever_order() {
    let allow = "[[role.r.rule]]\nname = 'yes'\nallow = ['hou.OpNode.destroy', 'hou.Parm.*']\n";
    let deny = "[[role.r.rule]]\nname = 'no'\ndeny = ['hou.Node.destroy', 'hou.Parm.eval*']\n";
    for (first, second) in [(allow, deny), (deny, allow)] {
        let mut judge = judge(
            &format!("[role.r]\nextends = 'read-only'\n{first}{second}"),
            "r",
        );
        assert_eq!(
            call(&mut judge, "hou.ObjNode", "destroy", &[]),
            (false, "r/no".into())
        );
        assert_eq!(
            call(&mut judge, "hou.Parm", "eval", &[]),
            (false, "r/no".into())
        );
        assert!(call(&mut judge, "hou.Parm", "name", &[]).0);
        let parm = judge.things().instance("hou.Parm");
        assert!(!rule_of(&mut judge, parm, Does::GetAttr("evalAsInt")).0);
    }
    // A role cannot allow again what the role it extends denies.
    let text = format!(
        "[role.r]\nextends = 'read-only'\n{deny}[role.s]\nextends = 'r'\n[[role.s.rule]]\nname = 'again'\nallow = ['hou.Parm.eval']"
    );
    assert_eq!(
        call(&mut judge(&text, "s"), "hou.Parm", "eval", &[]),
        (false, "r/no".into())
    );
}

#[test]
fn a_star_in_hou_stands_for_what_was_read_and_found_harmless() {
    let text = "[role.r]\nmodules = ['hou', 'studio.pipe']\n[[role.r.rule]]\nname = 'stars'\nallow = ['hou.*', 'hou.*.*', 'studio.pipe.*', 'studio.pipe.Shot.*']";
    let mut judge = judge(text, "r");
    assert!(call(&mut judge, "hou.ObjNode", "path", &[]).0);
    for (class, name) in [
        ("hou.ObjNode", "destroy"),
        ("hou.Parm", "set"),
        ("hou.Parm", "setExpression"),
        ("hou.Parm", "madeByALaterHoudini"),
        ("hou.Unknown", "anything"),
    ] {
        assert_eq!(
            call(&mut judge, class, name, &[]),
            (false, "default".into()),
            "{class}.{name}"
        );
    }
    let hou = judge.things().module("hou");
    for name in ["hscript", "session", "hda", "ui", "OpNodeX", "_anything"] {
        assert!(!rule_of(&mut judge, hou, Does::GetAttr(name)).0, "{name}");
    }
    let pipe = judge.things().module("studio.pipe");
    assert!(rule_of(&mut judge, pipe, Does::GetAttr("publish")).0);
    assert!(!rule_of(&mut judge, pipe, Does::GetAttr("_secret")).0);
    assert!(call(&mut judge, "studio.pipe.Shot", "name", &[]).0);
    let shot = judge.things().instance("studio.pipe.Shot");
    assert!(rule_of(&mut judge, shot, Does::Str).0);
}

#[test]
fn conditions_look_at_each_argument() {
    let text = r#"
        [role.r]
        modules = ["hou"]
        [[role.r.rule]]
        name = "dim"
        allow = ["hou.Parm.set"]
        args = [{ type = "number", min = 0, max = 10 }, { type = "string", matches = ["h*"], optional = true }]
        kwargs = { quiet = { type = "bool" } }
        [[role.r.rule]]
        name = "not-seven"
        deny = ["hou.Parm.set"]
        args = [{ type = "int", min = 7, max = 7 }]
        [[role.r.rule]]
        name = "input"
        allow = ["hou.Node.setInput"]
        args = [{ type = "int" }, { type = ["object", "none"], matches = ["hou.*Node"] }]
    "#;
    let mut judge = judge(text, "r");
    let set = method(&mut judge, "hou.Parm", "set");
    let mut with = |args: &[Arg<'_>], kwargs: &[(&str, Arg<'_>)]| {
        rule_of(&mut judge, set, Does::Call { args, kwargs })
    };
    assert_eq!(with(&[Arg::Float(2.0)], &[]), (true, "r/dim".into()));
    assert!(
        with(
            &[Arg::Int(2), Arg::Str("hi")],
            &[("quiet", Arg::Bool(true))]
        )
        .0
    );
    assert_eq!(with(&[Arg::Int(7)], &[]), (false, "r/not-seven".into()));
    for (args, kwargs) in [
        (&[][..], &[][..]),
        (&[Arg::Float(10.5)], &[]),
        (&[Arg::Float(f64::NAN)], &[]),
        (&[Arg::Float(-0.1)], &[]),
        (&[Arg::Bool(true)], &[]),
        (&[Arg::LongInt], &[]),
        (&[Arg::Str("2")], &[]),
        (&[Arg::Tuple(&[Arg::Int(1)])], &[]),
        (&[Arg::Int(1), Arg::Str("x")], &[]),
        (&[Arg::Int(1), Arg::Str("h"), Arg::Int(1)], &[]),
        (&[Arg::Int(1)], &[("other", Arg::Bool(true))]),
        (&[Arg::Int(1)], &[("quiet", Arg::Int(1))]),
    ] {
        assert_eq!(
            with(args, kwargs),
            (false, "r/dim".into()),
            "{args:?} {kwargs:?}"
        );
    }
    assert_eq!(with(&[Arg::Client], &[]).1, "floor/argument");
    let node = Arg::Thing(judge.things().instance("hou.SopNode"));
    let parm = Arg::Thing(judge.things().instance("hou.Parm"));
    assert!(call(&mut judge, "hou.SopNode", "setInput", &[Arg::Int(0), node]).0);
    assert!(
        call(
            &mut judge,
            "hou.SopNode",
            "setInput",
            &[Arg::Int(0), Arg::None]
        )
        .0
    );
    assert!(!call(&mut judge, "hou.SopNode", "setInput", &[Arg::Int(0), parm]).0);
}

#[test]
fn an_advisory_path_that_is_not_known_is_no_permission() {
    let text = r#"
        [role.r]
        modules = ["hou"]
        [[role.r.rule]]
        name = "lights"
        allow = ["hou.Parm.set"]
        advisory_path = ["/obj/lights/**"]
        [[role.r.rule]]
        name = "not-the-key"
        deny = ["hou.Parm.set"]
        advisory_path = ["/obj/lights/key/*"]
    "#;
    let mut judge = judge(text, "r");
    let on = method(&mut judge, "hou.Parm", "set");
    let mut at = |node_path| {
        let does = Does::Call {
            args: &[Arg::Int(1)],
            kwargs: &[],
        };
        let verdict = judge.judge(&Operation {
            on,
            does,
            node_path,
        });
        (verdict.forwards(), verdict.rule().to_owned())
    };
    assert_eq!(
        at(Some("/obj/lights/fill/dimmer")),
        (true, "r/lights".into())
    );
    assert_eq!(
        at(Some("/obj/lights/key/dimmer")),
        (false, "r/not-the-key".into())
    );
    assert_eq!(at(Some("/obj/cam/tx")), (false, "r/lights".into()));
    assert_eq!(at(None), (false, "r/not-the-key".into()));
}

#[test]
fn a_reload_reaches_the_next_call_and_a_role_that_is_gone_allows_nothing() {
    let policy = Policy::parse("[role.r]\nextends = 'read-only'").unwrap();
    let role = policy.role("r").unwrap();
    let live = Arc::new(Live::new(policy));
    let mut judge = Judge::new(live.clone(), &role);
    assert!(call(&mut judge, "hou.Parm", "eval", &[]).0);
    let before = live.generation();
    live.replace(Policy::parse("[role.r]\nextends = 'read-only'\n[[role.r.rule]]\nname = 'no'\ndeny = ['hou.Parm.eval']").unwrap());
    assert!(live.generation() > before);
    assert_eq!(
        call(&mut judge, "hou.Parm", "eval", &[]),
        (false, "r/no".into())
    );
    live.replace(Policy::built_in());
    assert_eq!(
        call(&mut judge, "hou.Parm", "name", &[]),
        (false, "role-gone".into())
    );
    assert_eq!(
        rule_of(&mut judge, Thing::CONNECTION, Does::Close),
        (false, "role-gone".into())
    );
}

#[test]
fn shadow_forwards_and_says_what_it_would_deny() {
    let mut judge = judge("[role.r]\nextends = 'read-only'\nmode = 'shadow'", "r");
    let on = method(&mut judge, "hou.Node", "destroy");
    let verdict = judge.judge(&Operation::new(
        on,
        Does::Call {
            args: &[],
            kwargs: &[],
        },
    ));
    assert!(verdict.forwards());
    assert!(
        matches!(&verdict, Verdict::WouldDeny { rule, .. } if &**rule == "default"),
        "{verdict:?}"
    );
    assert!(!judge.role().unwrap().cautions().is_empty());
}

#[test]
fn full_is_nothing_but_its_own_name() {
    let policy = Policy::parse("[role.farm]\nextends = 'full'\ninspect = 'off'").unwrap();
    for name in ["Full", "full ", "", "fulll", "admin", "read-only ", "FULL"] {
        assert!(policy.role(name).is_none(), "{name:?}");
    }
    assert!(policy.role("full").unwrap().is_full());
    assert_eq!(policy.role("full").unwrap().inspect(), Inspect::Audit);
    let farm = policy.role("farm").unwrap();
    assert!(farm.is_full() && farm.inspect() == Inspect::Off);
    for role in policy
        .roles()
        .filter(|role| role.as_str().starts_with("read"))
    {
        assert!(!role.is_full());
        assert_eq!(role.inspect(), Inspect::Enforce);
    }
}

#[test]
fn what_a_role_gives_beyond_the_lists_is_told() {
    let policy = Policy::parse(
        "[role.r]\nextends = 'read-only'\nmodules = ['studio']\n[[role.r.rule]]\nname = 'geo'\nallow = ['hou.SopNode.geometry', 'hou.Parm.name', 'hou.Typo.x', 'studio.publish']\nadvisory_path = ['/obj/*']",
    )
    .unwrap();
    insta::assert_snapshot!(policy.role("r").unwrap().cautions().join("\n"));
    assert!(policy.role("read-numeric").unwrap().cautions().is_empty());
}

#[test]
fn what_is_wrong_with_a_policy_is_told_by_line_and_column() {
    for (name, bad) in [
        ("unknown-field", "[role.r]\nextend = 'read-only'"),
        ("unknown-table", "[roles.r]\nextends = 'read-only'"),
        (
            "unknown-base",
            "[role.r]\ncontact = 'x'\nextends = 'readonly'",
        ),
        ("circle", "[role.a]\nextends = 'b'\n[role.b]\nextends = 'a'"),
        ("name", "[role.Full]\nextends = 'full'"),
        (
            "narrow-audit",
            "[role.r]\nextends = 'read-only'\ninspect = 'audit'",
        ),
        ("full-enforce", "[role.full]\ninspect = 'enforce'"),
        ("full-shadow", "[role.full]\nmode = 'shadow'"),
        (
            "full-rules",
            "[role.r]\nextends = 'full'\n[[role.r.rule]]\nname = 'no'\ndeny = ['hou.exit']\n[role.r.x]",
        ),
        (
            "full-with-rules",
            "[role.r]\nextends = 'full'\n[[role.r.rule]]\nname = 'no'\ndeny = ['hou.exit.x']",
        ),
        ("built-in-rules", "[role.read-only]\nmodules = ['studio']"),
        (
            "module",
            "[role.r]\nextends = 'read-only'\nmodules = ['hou', 'os.path']",
        ),
        ("session", "[role.r]\nmodules = ['hou.session']"),
        (
            "two-rules",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.x']\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.y']",
        ),
        ("empty-rule", "[role.r]\n[[role.r.rule]]\nname = 'a'"),
        (
            "pattern",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.Parm.set()']",
        ),
        (
            "dunder",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.Parm.__class__']",
        ),
        (
            "builtins",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['builtins.dict.pop']",
        ),
        (
            "range",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.Parm.set']\nargs = [{ type = 'string', max = 3 }]",
        ),
        (
            "type",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.Parm.set']\nargs = [{ type = 'numbr' }]",
        ),
        (
            "path",
            "[role.r]\n[[role.r.rule]]\nname = 'a'\nallow = ['hou.Parm.set']\nadvisory_path = ['obj/x']",
        ),
    ] {
        insta::assert_snapshot!(name, Policy::parse(bad).unwrap_err());
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

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,12}",
        "__[a-z]{1,10}__",
        prop::sample::select(vec![
            "eval", "set", "destroy", "name", "path", "node", "geometry", "hscript", "children"
        ])
        .prop_map(str::to_owned),
    ]
}

fn class() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "hou.ObjNode",
            "hou.SopNode",
            "hou.Parm",
            "hou.Vector3",
            "hou.Geometry",
            "builtins.dict",
            "builtins.list",
            "hou.EnumValue",
            "hou._PointTupleGenerator",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,6}\\.[A-Z][a-z]{1,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_no_list_and_no_rule_names_is_denied(class in class(), name in name()) {
        let catalogue = Catalogue::get();
        let listed = catalogue.member(&class, &name).is_some_and(|(_, entry)| entry.kind != EntryKind::Out);
        let text = ["__doc__", "__name__"].contains(&name.as_str());
        let numeric = ["hou.Parm", "hou.ParmTuple"].contains(&class.as_str()) && name == "set";
        prop_assume!(!listed && !text && !numeric && !floor::reads_builtin(&class, &name));
        for role in NARROW {
            let mut judge = judge("", role);
            let on = judge.things().instance(&class);
            prop_assert!(!rule_of(&mut judge, on, Does::GetAttr(&name)).0);
            let does = Does::CallAttr { name: &name, args: &[], kwargs: &[] };
            prop_assert!(!rule_of(&mut judge, on, does).0);
            prop_assert!(!call(&mut judge, &class, &name, &[]).0);
            let as_class = judge.things().class(&class);
            prop_assert!(!rule_of(&mut judge, as_class, Does::GetAttr(&name)).0);
        }
    }

    #[test]
    fn a_denied_member_is_denied_whatever_else_is_allowed(
        class in class(), name in "[a-z][a-zA-Z]{0,10}", before in any::<bool>(), extends in any::<bool>(),
    ) {
        prop_assume!(class.starts_with("hou."));
        let allow = format!("[[role.r.rule]]\nname = 'yes'\nallow = ['{class}.{name}', '{class}.*']\n");
        let deny = format!("[[role.r.rule]]\nname = 'no'\ndeny = ['{class}.{name}']\n");
        let head = if extends { "[role.r]\nextends = 'read-numeric'\n" } else { "[role.r]\n" };
        let text = if before { format!("{head}{deny}{allow}") } else { format!("{head}{allow}{deny}") };
        let mut judge = judge(&text, "r");
        prop_assert_eq!(call(&mut judge, &class, &name, &[Arg::Int(1)]), (false, "r/no".to_owned()));
        let on = judge.things().instance(&class);
        prop_assert_eq!(rule_of(&mut judge, on, Does::GetAttr(&name)), (false, "r/no".to_owned()));
    }

    #[test]
    fn a_kept_verdict_is_the_first_one(class in class(), names in prop::collection::vec(name(), 1..20)) {
        let mut kept = judge("", "read-numeric");
        for name in names.iter().chain(&names) {
            let on = kept.things().instance(&class);
            let mut fresh = judge("", "read-numeric");
            let fresh_on = fresh.things().instance(&class);
            prop_assert_eq!(
                kept.judge(&Operation::new(on, Does::GetAttr(name))),
                fresh.judge(&Operation::new(fresh_on, Does::GetAttr(name)))
            );
        }
    }

    #[test]
    fn a_policy_of_any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Policy::parse(&text);
        let _ = explain::explain(&Policy::built_in(), &Policy::built_in().role("read-only").unwrap(), &text);
    }
}
