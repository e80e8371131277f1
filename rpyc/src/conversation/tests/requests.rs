//! Requests and their answers.

use super::*;

#[test]
fn an_open_request_can_be_looked_at_with_its_objects() {
    let mut talk = Talk::new();
    talk.hou();
    let seq = talk.ask(STR, &[theirs("module", 2)]);
    let asked = talk.conversation.request(Side::Client, seq).unwrap();
    let known = talk.conversation.object(Side::Server, &of("module", 2));
    assert_eq!(
        asked.expression(),
        format!("str({})", known.unwrap().name())
    );
    assert!(talk.conversation.request(Side::Server, seq).is_none());
    talk.answer(seq, none()).unwrap();
    assert!(talk.conversation.request(Side::Client, seq).is_none());
}

#[test]
fn answers_come_in_any_order_and_once() {
    let mut talk = Talk::new();
    talk.hou();
    let [a, b, c] = [1, 2, 3].map(|_| talk.ask(STR, &[theirs("module", 2)]));
    for seq in [c, a, b] {
        assert!(talk.answer(seq, none()).is_ok());
    }
    assert_eq!(talk.answer(b, none()), Err(Breach::Unasked(b)));
    assert_eq!(talk.answer(1234, none()), Err(Breach::Unasked(1234)));
    let unsolicited = tuple(&[int(3), int(1235), int(1)]);
    let said = talk.say(Side::Server, &unsolicited);
    assert_eq!(said, Err(Breach::Unasked(1235)));
    // Nobody answers himself.
    let own_seq = talk.ask(STR, &[theirs("module", 2)]);
    let reply = tuple(&[int(2), int(own_seq), none()]);
    assert_eq!(
        talk.say(Side::Client, &reply),
        Err(Breach::Unasked(own_seq))
    );
}

#[test]
fn both_sides_number_on_their_own_and_no_number_comes_twice() {
    let mut talk = Talk::new();
    talk.hou();
    assert!(talk.ask_as(Side::Server, 0, 3, &[]).is_ok());
    assert_eq!(talk.ask_as(Side::Server, 0, 3, &[]), Err(Breach::Seq(0)));
    // Not after its answer either.
    assert_eq!(talk.ask_as(Side::Client, 0, 3, &[]), Err(Breach::Seq(0)));
    let own_numbers = talk.ask_as(Side::Client, SEQ_MAX, 3, &[]);
    assert_eq!(own_numbers, Err(Breach::Seq(SEQ_MAX)));
}

#[test]
fn one_dialect_is_spoken() {
    let mut talk = Talk::new();
    talk.root();
    let six = b"\x01\x11\x51\x11\x53\x11\x51\x02";
    assert_eq!(talk.say(Side::Client, six), Err(Breach::Dialect));
    let bound = Some(crate::Threads {
        sender: 9,
        receiver: 0,
    });
    for family in [Family::Classic, Family::Six] {
        let head = Head::request(family, 1, 3);
        assert!(Talk::new().conversation.is_spoken(&head));
        let spoken = family == Family::Classic;
        assert_eq!(talk.conversation.is_spoken(&head), spoken);
        let threads = bound;
        assert!(!talk.conversation.is_spoken(&Head { threads, ..head }));
    }
    let threads = [&[0; 7][..], &[9], &[0; 8], &request(1, 3, &[])].concat();
    assert_eq!(talk.say(Side::Server, &threads), Err(Breach::Dialect));
}

#[test]
fn a_withdrawn_request_leaves_nothing_behind() {
    let mut talk = Talk::new();
    talk.hou();
    let args = boxed(2, tuple(&[own("function", 50), own("function", 50)]));
    let payload = request(20, CALL, &[theirs("module", 2), args, empty()]);
    talk.say(Side::Client, &payload).unwrap();
    assert_eq!(talk.conversation.held(Side::Client), (1, 1));
    let message = Message::read(&payload, brine::Limits::NARROW).unwrap();
    talk.conversation.withdraw(Side::Client, &message);
    assert_eq!(talk.conversation.held(Side::Client), (0, 0));
    // Its number stays used, and nothing can answer it.
    assert_eq!(talk.say(Side::Client, &payload), Err(Breach::Seq(20)));
    assert_eq!(talk.answer(20, none()), Err(Breach::Unasked(20)));

    let drop = request(21, DEL, &drop_args("module", 2, 1));
    talk.say(Side::Client, &drop).unwrap();
    assert_eq!(talk.name("module", 2), None);
    let message = Message::read(&drop, brine::Limits::NARROW).unwrap();
    talk.conversation.withdraw(Side::Client, &message);
    assert_eq!(talk.name("module", 2).unwrap(), "hou");
    assert_eq!(talk.conversation.open_text, 0);
}

#[test]
fn a_great_message_is_followed_by_its_head() {
    let mut talk = Talk::new();
    talk.hou();
    let seq = talk.ask(STR, &[theirs("module", 2)]);
    let reply = Head {
        kind: Kind::Reply,
        seq,
        family: Family::Classic,
        threads: None,
    };
    let conversation = &mut talk.conversation;
    let Ok(Step::Answered(answered)) = conversation.see_head(Side::Server, reply, 1 << 30) else {
        panic!()
    };
    assert_eq!(answered.outcome, Outcome::Unread);
    assert_eq!(answered.answered_size, 1 << 30);
    let asked = conversation.see_head(Side::Client, Head::request(Family::Classic, 90, 7), 1);
    assert!(matches!(asked, Ok(Step::Asked(_))));
    let again = conversation.see_head(Side::Client, Head::request(Family::Classic, 90, 7), 1);
    assert!(matches!(again, Err(Breach::Seq(90))));
    let reply = Head { seq: 90, ..reply };
    assert!(conversation.see_head(Side::Server, reply, 1).is_ok());
    assert_eq!(conversation.held(Side::Client).1, 0);
}

#[test]
fn what_waits_for_an_answer_is_told_by_its_heads() {
    let mut talk = Talk::new();
    let outstanding = |talk: &Talk| talk.conversation.outstanding(Side::Client);
    assert_eq!(outstanding(&talk), []);
    let heads: Vec<_> = (0..3)
        .map(|_| talk.ask(3, &[]))
        .map(|seq| Head::request(Family::Classic, seq, 3))
        .collect();
    assert_eq!(outstanding(&talk), heads);
    talk.answer(1, own("service", 1)).unwrap();
    assert_eq!(outstanding(&talk), [heads[0], heads[2]]);
    // One that was denied has its answer.
    let denied = request(3, 3, &[]);
    talk.say(Side::Client, &denied).unwrap();
    let message = Message::read(&denied, brine::Limits::NARROW).unwrap();
    talk.conversation.withdraw(Side::Client, &message);
    // What the server asks is another matter.
    talk.ask_as(Side::Server, 0, 3, &[]).unwrap();
    assert_eq!(outstanding(&talk), [heads[0], heads[2]]);
}

#[test]
fn what_waits_for_an_answer_is_told_with_its_threads() {
    let mut talk = Talk::new();
    let bound = [&[0; 7][..], &[9], &[0; 7], &[8], &request(1, 3, &[])].concat();
    talk.say(Side::Client, &bound).unwrap();
    let [head] = talk.conversation.outstanding(Side::Client)[..] else {
        panic!()
    };
    let threads = head.threads.map(|ids| (ids.sender, ids.receiver));
    assert_eq!((head.seq, threads), (1, Some((9, 8))));
}

#[test]
fn a_relay_nearer_to_the_server_may_ask_with_numbers_of_its_own() {
    let mut talk = Talk::new();
    let ask = |talk: &mut Talk, side, seq| talk.ask_as(side, seq, 3, &[]).map(drop);
    let refused = |seq| Err(Breach::Seq(seq));
    assert_eq!(
        ask(&mut talk, Side::Server, SEQ_MAX + 1),
        refused(SEQ_MAX + 1)
    );

    talk.conversation = Conversation::behind_relay(Limits::NARROW);
    for seq in [0, SEQ_MAX + 1, 1, SEQ_MAX + 2, SEQ_MAX] {
        assert_eq!(ask(&mut talk, Side::Server, seq), Ok(()), "{seq}");
    }
    // Each is good once, and the client has none of them.
    for seq in [0, SEQ_MAX + 1] {
        assert_eq!(ask(&mut talk, Side::Server, seq), refused(seq));
    }
    assert_eq!(
        ask(&mut talk, Side::Client, SEQ_MAX + 3),
        refused(SEQ_MAX + 3)
    );
}
