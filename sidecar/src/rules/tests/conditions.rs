//! Rules that look at arguments and at paths.

use super::*;

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
