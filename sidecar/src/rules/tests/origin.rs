//! An object is judged by how it was got.

use super::*;

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

    // Nor does a long name, or a table that is full, make it unknown again.
    let long = |letter: &str| format!("scene.{}", letter.repeat(200));
    let [first, second] = ["a", "b"].map(|letter| judge.things().instance(&long(letter)));
    let met = judge.things().meet(first, second);
    for again in [first, second] {
        assert_eq!(judge.things().meet(met, again), met);
    }
    assert_eq!(
        rule_of(&mut judge, met, Does::Str),
        (false, "floor/forbidden".into())
    );

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
fn what_is_forbidden_stays_so_when_no_more_can_be_remembered() {
    let mut judge = judge("", "read-only");
    for number in 0..1 << 14 {
        judge.things().instance(&format!("scene.Class{number}"));
    }
    let asked = [Arg::Str("builtins")];
    let connect = Does::Call {
        args: &asked,
        kwargs: &[],
    };
    let module = Arrived {
        name: "builtins.module",
        is_class: false,
    };
    let builtins = judge.arrive(&Operation::new(Thing::GETMODULE, connect), module);
    let harmless = judge.things().instance("scene.Class1");
    let met = judge.things().meet(builtins, harmless);
    assert_eq!(
        rule_of(&mut judge, met, Does::Str),
        (false, "floor/forbidden".into())
    );
    assert!(judge.things().stays_forbidden(met));
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
