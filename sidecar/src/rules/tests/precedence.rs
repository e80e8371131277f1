//! Which rule decides.

use super::*;

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
