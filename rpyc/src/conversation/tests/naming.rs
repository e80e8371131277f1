//! What a programmer would have written.

use std::slice::from_ref;

use super::*;

#[test]
fn a_method_call_is_one_expression() {
    let mut talk = Talk::new();
    talk.hou();
    talk.call(GETATTR, &[theirs("module", 2), text("node")], own("f", 4));
    let path = plain(&Value::Tuple(vec![Value::Str("/obj/a")]));
    let node = talk.call(
        CALL,
        &[theirs("f", 4), path, empty()],
        own("hou.ObjNode", 5),
    );
    assert_eq!(node.expression, "hou.node('/obj/a')");
    assert_eq!((&*node.class, &*node.method), ("hou", "node"));
    assert_eq!(node.arguments(), "'/obj/a'");
    assert_eq!(node.outcome, Outcome::Object);

    let parm = [theirs("hou.ObjNode", 5), text("parm")];
    let looked_up = talk.call(GETATTR, &parm, own("method", 6));
    assert!(looked_up.is_folded());
    let known = talk.conversation.object(Side::Server, &of("method", 6));
    let known = known.unwrap();
    assert_eq!(known.how(), How::Attribute);
    assert_eq!(known.member(), Some(("hou.ObjNode", "parm")));
    assert_eq!(known.name(), "hou.node('/obj/a').parm");

    let module = talk.conversation.object(Side::Server, &of("module", 2));
    assert_eq!(module.unwrap().class(), "hou");
}

#[test]
fn an_expression_is_what_it_is_about_and_the_form_of_its_arguments() {
    let mut talk = Talk::new();
    talk.hou();
    let hou = || theirs("module", 2);
    let one = || text("k");
    let operator = |name, given: &[Value<'_>]| {
        let given = plain(&Value::Tuple(given.to_vec()));
        (CALLATTR, vec![hou(), text(name), given, empty()])
    };
    let k = Value::Str("k");
    let v = Value::Int(Int::Small(7));
    let cases = [
        ((6, vec![hou(), text("x"), one()]), "hou.x", " = …", "'k'"),
        (
            (11, vec![hou(), one(), text("__lt__")]),
            "hou",
            " < …",
            "'k'",
        ),
        (
            (11, vec![hou(), one(), text("__ne__")]),
            "hou",
            " != …",
            "'k'",
        ),
        (operator("__getitem__", from_ref(&k)), "hou", "[…]", "'k'"),
        (
            operator("__delitem__", from_ref(&k)),
            "del hou",
            "[…]",
            "'k'",
        ),
        (
            operator("__setitem__", &[k.clone(), v.clone()]),
            "hou",
            "[…] = …",
            "'k'] = 7",
        ),
        (operator("__contains__", from_ref(&k)), "'k' in hou", "", ""),
        (operator("__len__", &[]), "len(hou)", "", ""),
        (
            operator("node", &[k.clone(), v]),
            "hou.node",
            "(…)",
            "'k', 7",
        ),
        (operator("node", &[]), "hou.node", "(…)", ""),
        ((STR, vec![hou()]), "str(hou)", "", ""),
        ((19, vec![hou(), none()]), "hou.__exit__", "(…)", "None"),
    ];
    for (seq, ((handler, args), callee, form, given)) in cases.into_iter().enumerate() {
        let payload = request(1000 + seq as u64, handler, &args);
        let message = Message::read(&payload, brine::Limits::NARROW).unwrap();
        let step = talk.conversation.see(Side::Client, &message, payload.len());
        let Ok(Step::Asked(asked)) = step else {
            panic!("{callee}")
        };
        assert_eq!((asked.callee(), asked.form()), (callee, form));
        let whole = match form.split_once('…') {
            Some((opening, rest)) if rest.contains('…') => format!("{callee}{opening}{given}"),
            Some((opening, closing)) => format!("{callee}{opening}{given}{closing}"),
            None => callee.to_owned(),
        };
        assert_eq!(asked.expression(), whole);
    }
}

#[test]
fn an_attribute_that_is_a_value_is_a_read() {
    let mut talk = Talk::new();
    talk.hou();
    let read = talk.call(GETATTR, &[theirs("module", 2), text("frame")], none());
    assert_eq!((&*read.expression, read.is_folded()), ("hou.frame", false));
    let seq = talk.ask(GETATTR, &[theirs("module", 2), text("nothing")]);
    let raised = tuple(&[
        int(3),
        int(seq),
        tuple(&[
            tuple(&[
                Value::Str("builtins").to_bytes(),
                Value::Str("Bad\n\u{202e}Name").to_bytes(),
            ]),
            tuple(&[]),
            tuple(&[]),
            Value::Str("").to_bytes(),
        ]),
    ]);
    let raised = talk.say(Side::Server, &raised).unwrap().answered();
    assert!(!raised.is_folded());
    assert_eq!(raised.outcome, Outcome::Raised("builtins.Bad??Name".into()));
}

#[test]
fn modules_have_their_names_by_whatever_way_they_came() {
    let mut talk = Talk::new();
    talk.hou();
    assert_eq!(talk.name("module", 2).unwrap(), "hou");
    // A module that is an attribute of another one.
    talk.call(
        GETATTR,
        &[theirs("module", 2), text("ui")],
        own("module", 4),
    );
    let known = talk.conversation.object(Side::Server, &of("module", 4));
    let known = known.unwrap();
    assert_eq!((known.how(), known.class()), (How::Module, "hou.ui"));
    // `root._conn.modules['os']`, and as an attribute.
    talk.call(GETATTR, &[theirs("service", 1), text("_conn")], own("c", 5));
    talk.call(GETATTR, &[theirs("c", 5), text("modules")], own("m", 6));
    assert_eq!(talk.name("m", 6).unwrap(), "connection.modules");
    let key = plain(&Value::Tuple(vec![Value::Str("os")]));
    let item = [theirs("m", 6), text("__getitem__"), key, empty()];
    let got = talk.call(CALLATTR, &item, own("module", 7));
    assert_eq!(got.expression, "modules['os']");
    assert_eq!(talk.name("module", 7).unwrap(), "os");
    talk.call(GETATTR, &[theirs("m", 6), text("sys")], own("module", 8));
    assert_eq!(talk.name("module", 8).unwrap(), "sys");
    // By the parts of the name.
    let parts = Value::Tuple(vec![Value::Str("os"), Value::Str("path")]);
    let args = plain(&Value::Tuple(vec![parts]));
    talk.call(
        CALL,
        &[theirs("method", 3), args, empty()],
        own("module", 9),
    );
    assert_eq!(talk.name("module", 9).unwrap(), "os.path");
}

#[test]
fn nothing_can_pose_as_something_else() {
    let mut talk = Talk::new();
    talk.hou();
    for (object, name) in [
        (10, "hou.node('/obj/a')"),
        (11, "root"),
        (12, "eval"),
        (13, "a\nb"),
        (14, ""),
    ] {
        let args = plain(&Value::Tuple(vec![Value::Str(name)]));
        talk.call(
            CALL,
            &[theirs("method", 3), args, empty()],
            own("x", object),
        );
        let shown = talk.name("x", object).unwrap();
        assert!(shown.starts_with("getmodule("), "{shown}");
        assert!(!shown.contains('\n'));
    }
    for name in ["node('x').evil", "a b", "é", "a\u{202e}b", "1"] {
        let got = talk.call(GETATTR, &[theirs("module", 2), text(name)], none());
        assert!(got.expression.starts_with("getattr(hou, "), "{got:?}");
    }
    // An object that is called `hou` by its class only.
    talk.call(STR, &[theirs("module", 2)], own("hou", 20));
    let known = talk.conversation.object(Side::Server, &of("hou", 20));
    assert_eq!(known.unwrap().how(), How::Result);
}

#[test]
fn nested_items_are_named() {
    let mut talk = Talk::new();
    talk.hou();
    let inner = boxed(2, tuple(&[none(), own("x", 5)]));
    let result = boxed(2, tuple(&[inner, own("x", 6)]));
    talk.call(STR, &[theirs("module", 2)], result);
    assert_eq!(talk.name("x", 5).unwrap(), "str(hou)[0][1]");
    assert_eq!(talk.name("x", 6).unwrap(), "str(hou)[1]");
}

#[test]
fn hrpycs_own_calls_are_housekeeping() {
    let mut talk = Talk::new();
    talk.hou();
    let attribute = [theirs("module", 2), text("_syncFromMainContext")];
    let looked_up = talk.call(GETATTR, &attribute, own("f", 4));
    assert_eq!(looked_up.weight, Weight::Housekeeping);
    let called = talk.call(CALL, &[theirs("f", 4), empty(), empty()], none());
    assert!(called.is_folded());
    assert_eq!(called.expression, "hou._syncFromMainContext()");
}
