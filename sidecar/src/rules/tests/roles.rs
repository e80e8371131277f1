//! Roles: the built-in ones, modes, and the policy in force.

use super::*;

#[test]
fn the_built_in_roles_do_what_the_case_file_says() {
    let policy = Policy::built_in();
    let reports = cases::run_text(include_str!("../../../hom/cases.toml"), &policy).unwrap();
    let failed: Vec<_> = reports.iter().filter(|report| !report.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(reports.len() > 100, "{}", reports.len());
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
    let text = "[role.r]\nextends = 'read-only'\nmode = 'shadow'";
    let mut judge = judge(text, "r");
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
    let role = Policy::parse(text).unwrap().role("r").unwrap();
    assert!(!role.cautions().is_empty());
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
