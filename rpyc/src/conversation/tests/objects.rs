//! Which objects are known, and until when.

use super::*;

#[test]
fn an_id_that_is_used_again_is_another_object() {
    let mut talk = Talk::new();
    talk.hou();
    talk.call(GETATTR, &[theirs("module", 2), text("node")], own("f", 4));
    let answered = talk.call(DEL, &drop_args("f", 4, 1), none());
    assert!(answered.is_folded());
    assert_eq!(talk.name("f", 4), None);
    talk.call(GETATTR, &[theirs("module", 2), text("parm")], own("f", 4));
    assert_eq!(talk.name("f", 4).unwrap(), "hou.parm");
    // It has come again, as it seems, before the last one was let go.
    let drop = talk.ask(DEL, &drop_args("f", 4, 1));
    talk.call(GETATTR, &[theirs("module", 2), text("frame")], own("f", 4));
    talk.answer(drop, none()).unwrap();
    assert_eq!(talk.name("f", 4).unwrap(), "hou.frame");
}

#[test]
fn a_dropped_object_is_unknown_at_once() {
    let mut talk = Talk::new();
    talk.hou();
    talk.ask(DEL, &drop_args("module", 2, 1));
    let seq = talk.next;
    let asked = talk.ask_as(Side::Client, seq, STR, &[theirs("module", 2)]);
    let Said::Asked {
        expression,
        unknown,
        ..
    } = asked.unwrap()
    else {
        panic!()
    };
    assert_eq!((&*expression, unknown), ("str(<module>)", 1));
}

#[test]
fn the_last_drop_says_which_requests_it_must_not_overtake() {
    let mut talk = Talk::new();
    talk.hou();
    talk.call(GETATTR, &[theirs("module", 2), text("node")], own("f", 4));
    talk.call(GETATTR, &[theirs("module", 2), text("node")], own("f", 4));
    let first = talk.ask(STR, &[theirs("f", 4)]);
    // Named twice by one request, as target and as argument.
    let args = boxed(2, tuple(&[theirs("f", 4)]));
    let second = talk.ask(CALL, &[theirs("f", 4), args, empty()]);
    let seq = talk.next;
    let mut drop = |seq, count| {
        let said = talk.ask_as(Side::Client, seq, DEL, &drop_args("f", 4, count));
        let Said::Asked { drops, unknown, .. } = said.unwrap() else {
            panic!()
        };
        assert_eq!(unknown, 0);
        drops.unwrap()
    };
    let open_requests = 3;
    let last = |last| Dropped {
        last,
        open_requests,
    };
    assert_eq!(drop(seq, 1), last(false));
    assert_eq!(drop(seq + 1, 1), last(true));
    for seq in [first, second, seq, seq + 1] {
        talk.answer(seq, none()).unwrap();
    }
    assert_eq!(talk.conversation.held(Side::Server), (3, 0));
}

#[test]
fn drops_are_counted() {
    let mut talk = Talk::new();
    talk.hou();
    let seq = talk.next;
    let too_many = talk.ask_as(Side::Client, seq, DEL, &drop_args("module", 2, 2));
    assert_eq!(too_many, Err(Breach::DropTooMany));
    // Of an unknown object there is nothing to count.
    let said = talk.ask_as(Side::Client, seq + 1, DEL, &drop_args("module", 99, 5));
    assert_eq!(said.unwrap().unknown(), 1);
}

#[test]
fn what_is_passed_and_given_back_is_the_clients() {
    let mut talk = Talk::new();
    talk.hou();
    let args = boxed(2, tuple(&[own("function", 50)]));
    let call = [theirs("module", 2), args, empty()];
    let seq = talk.ask(CALL, &call);
    let known = talk.conversation.object(Side::Client, &of("function", 50));
    let known = known.unwrap();
    assert_eq!(known.how(), How::Argument);
    assert_eq!(known.name(), "<function given to hou>");
    // The server calls it, and gives it back.
    let call = [theirs("function", 50), empty(), empty()];
    let said = talk.ask_as(Side::Server, 0, CALL, &call).unwrap();
    assert_eq!(said.unknown(), 0);
    let answered = talk.answer(seq, theirs("function", 50)).unwrap().answered();
    assert_eq!((answered.unknown, answered.outcome), (0, Outcome::Object));
    // Not one that the client never passed.
    let said = talk.ask_as(Side::Server, 1, STR, &[theirs("function", 51)]);
    assert_eq!(said.unwrap().unknown(), 1);
    let seq = talk.ask(STR, &[theirs("module", 2)]);
    let answered = talk.answer(seq, theirs("function", 51)).unwrap().answered();
    assert_eq!(answered.unknown, 1);
}

#[test]
fn what_a_server_does_at_the_client_is_not_taken_for_a_script() {
    let mut talk = Talk::new();
    talk.root();
    talk.ask_as(Side::Server, 0, 3, &[]).unwrap();
    talk.say(Side::Client, &tuple(&[int(2), int(0), own("service", 1)]))
        .unwrap();
    let eval = [theirs("service", 1), text("eval")];
    talk.ask_as(Side::Server, 1, GETATTR, &eval).unwrap();
    talk.say(Side::Client, &tuple(&[int(2), int(1), own("method", 2)]))
        .unwrap();
    let code = plain(&Value::Tuple(vec![Value::Str("1")]));
    let call = [theirs("method", 2), code, empty()];
    let Said::Asked { expression, .. } = talk.ask_as(Side::Server, 2, CALL, &call).unwrap() else {
        panic!()
    };
    assert_eq!(expression, "client.eval('1')");
}

#[test]
fn inspect_names_an_object_that_must_be_known() {
    let mut talk = Talk::new();
    talk.hou();
    let seq = talk.next;
    let known = talk.ask_as(Side::Client, seq, INSPECT, &[id("module", 2)]);
    assert_eq!(known.unwrap().unknown(), 0);
    let unknown = talk.ask_as(Side::Client, seq + 1, INSPECT, &[id("module", 77)]);
    assert_eq!(unknown.unwrap().unknown(), 1);
}
