//! What is wrong with a policy file is told.

use super::*;

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
