//! What holds for any class, any name and any text.

use proptest::prelude::*;

use super::*;
use crate::rules::catalogue::{Catalogue, EntryKind};
use crate::rules::floor;

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
