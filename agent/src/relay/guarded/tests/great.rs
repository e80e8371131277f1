//! Messages that are too great to be taken whole.

use super::*;

/// The same message, with bytes behind it that rpyc would not look at.
fn with_much_behind(mut payload: Vec<u8>) -> Vec<u8> {
    payload.resize(payload.len() + INFLATED, 0);
    let frame = encode(&payload);
    assert!(frame.len() < WHOLE && frame[4] == 1);
    frame
}

/// Bytes that no compression makes fewer.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes.take(length).collect()
}

/// What takes more on its way than is taken whole, and what does not and inflates far.
fn greats() -> [Vec<u8>; 2] {
    [noise(2 * WHOLE), vec![0; INFLATED + WHOLE]]
}

/// An answer, or an exception, if one could be so plain.
fn great(kind: i64, seq: i64) -> Vec<u8> {
    frame(kind, seq, plain(Value::Bytes(&noise(2 * WHOLE))))
}

fn ping(seq: i64, data: &[u8]) -> Vec<u8> {
    request(seq, 1, plain(tuple([Value::Bytes(data)])))
}

/// A call of an object of the receiver's, with data and perhaps an object of the sender's.
fn call(seq: i64, target: i64, data: &[u8], passed: Option<i64>) -> Vec<u8> {
    let data = Value::Bytes(data);
    let args = match passed {
        Some(number) => items([plain(data), own(number)]),
        None => plain(tuple([data])),
    };
    let args = items([theirs(target), args, plain(Value::Tuple(Vec::new()))]);
    request(seq, CALL, args)
}

#[test]
fn a_great_request_of_the_servers_is_judged_when_all_of_it_is_there() {
    for data in greats() {
        let mut line = Line::new().with_passed(5);
        // Refused, and not before it is over: who relays it may not know of it yet.
        let asked = call(0, 9, &data, None);
        let (begun, end) = asked.split_at(asked.len() - 1);
        assert_eq!(line.says(Side::Server, begun).unwrap(), b"");
        assert!(line.out.answers.is_empty(), "it was answered");
        assert!(line.refuses(end).contains("has not passed"));
        // And let through whole.
        let asked = call(1, 5, &data, None);
        let (begun, end) = asked.split_at(asked.len() - 1);
        assert_eq!(line.says(Side::Server, begun).unwrap(), b"");
        assert!(line.says(Side::Server, end).unwrap() == asked);
        assert!(line.out.answers.is_empty(), "it was answered");
        line.passes(Side::Client, &frame(REPLY, 1, plain(int(1))));
        // The name of a great request counts as that of a small one.
        let args = items([theirs(5), plain(Value::Str("_private"))]);
        let args = items([args, plain(Value::Bytes(&data))]);
        let odd = request(2, GETATTR, args);
        assert_eq!(
            line.says(Side::Server, &odd).unwrap_err().from,
            Side::Server
        );
        assert_eq!(line.out.to_client, "");
    }
}

#[test]
fn a_great_request_with_more_than_one_message_in_it_ends_the_session() {
    // A client would take either: it inflates without a bound, and ignores what is behind.
    let asked = || {
        payload(
            REQUEST,
            0,
            tuple([int(GETROOT), plain(Value::Tuple(Vec::new()))]),
        )
    };
    let longer = [asked(), noise(2 * WHOLE)].concat();
    for asked in [with_much_behind(asked()), encode(&longer)] {
        let mut line = Line::new().with_passed(5);
        let stop = line.says(Side::Server, &asked).unwrap_err();
        assert_eq!(stop.from, Side::Server);
        assert!(stop.why.contains("bytes after the value"), "{}", stop.why);
        assert_eq!(line.out.to_client, "");
    }
}

#[test]
fn a_request_of_more_than_may_be_held_is_refused_when_it_has_gone_by() {
    const MIB: usize = 1 << 20;
    let far = call(0, 5, &vec![0; 64 * MIB], None);
    assert!(far.len() < WHOLE);
    let long = payload(
        REQUEST,
        1,
        tuple([int(CALL), Value::Bytes(&vec![0; 64 * MIB])]),
    );
    let long = rpyc::frame::encode_plain_with(|out| out.extend(long));
    let mut line = Line::new().with_passed(5);
    for asked in [far, long] {
        let (begun, end) = asked.split_at(asked.len() - 1);
        for piece in begun.chunks(MIB) {
            assert_eq!(line.says(Side::Server, piece).unwrap(), b"");
            assert!(line.out.answers.is_empty(), "it was answered");
        }
        assert!(line.refuses(end).contains("too great"));
    }
    line.passes(Side::Server, &getattr(2, 5, "append"));
}

#[test]
fn what_the_client_passes_beside_great_values_may_be_used() {
    for data in greats() {
        let mut line = Line::new();
        line.refuses(&getattr(0, 5, "append"));
        line.passes(Side::Client, &call(0, 1, &data, Some(5)));
        line.passes(Side::Server, &getattr(1, 5, "append"));
        line.refuses(&getattr(2, 6, "append"));
        // As the result of a call, too.
        let answer = frame(REPLY, 1, items([plain(Value::Bytes(&data)), own(6)]));
        line.passes(Side::Client, &answer);
        line.passes(Side::Server, &getattr(3, 6, "append"));
    }
}

#[test]
fn a_great_request_may_be_denied_before_its_end_and_gives_nothing_then() {
    let mut line = Line::new();
    let asked = call(0, 1, &noise(2 * WHOLE), Some(5));
    let (begun, rest) = asked.split_at(WHOLE);
    line.passes(Side::Client, begun);
    // Nothing else was asked.
    let other = line.says(Side::Server, &exception(1, "builtins", "denied"));
    assert_eq!(other.unwrap_err().from, Side::Server);

    let mut line = Line::new();
    line.passes(Side::Client, begun);
    let denial = exception(0, "builtins", "denied");
    line.passes(Side::Server, &denial);
    // It is answered once.
    assert!(line.says(Side::Server, &denial).is_err());

    let mut line = Line::new();
    line.passes(Side::Client, begun);
    line.passes(Side::Server, &denial);
    line.passes(Side::Client, rest);
    assert!(line.guarded.is_between_messages());
    line.refuses(&getattr(0, 5, "append"));
    line.passes(Side::Client, &getroot(1));
    line.passes(Side::Server, &frame(REPLY, 1, plain(Value::None)));
}

#[test]
fn what_stands_in_a_great_message_that_cannot_be_read_may_not_be_used() {
    for data in greats() {
        let mut line = Line::new();
        let args = items([theirs(1), items([own(5)]), plain(Value::Tuple(Vec::new()))]);
        let mut asked = payload(REQUEST, 0, tuple([int(CALL), args]));
        asked.extend(&data);
        line.passes(Side::Client, &encode(&asked));
        line.refuses(&getattr(0, 5, "append"));
    }
}

#[test]
fn an_exception_that_cannot_be_looked_at_is_told_and_not_handed_over() {
    let mut line = Line::new();
    let long = raised("telltale", "");
    let mut hidden = vec![0x12, 0x50 + EXCEPTION as u8, 0x50];
    hidden.extend(long);
    for (seq, sent) in [(0, with_much_behind(hidden)), (1, great(EXCEPTION, 1))] {
        line.passes(Side::Client, &getroot(seq));
        let came = line.says(Side::Server, &sent).unwrap();
        let text = String::from_utf8_lossy(&came);
        assert!(
            text.contains("RuntimeError") && text.contains("too great"),
            "{text}"
        );
        assert!(!text.contains("telltale"));
        let message = Message::read(&came[5..came.len() - 1], brine::Limits::WIDE).unwrap();
        assert_eq!(message.seq, seq as u64);
    }
}

#[test]
fn great_values_go_by_in_both_directions() {
    let mut line = Line::new();
    let question = ping(0, &noise(2 * WHOLE));
    let mut went = Vec::new();
    for piece in question.chunks(50_000) {
        went.extend(line.says(Side::Client, piece).unwrap());
        let held = line.guarded.input(Side::Client).len();
        assert!(held < 5000, "{held} bytes are held");
    }
    assert!(went == question);
    let answer = great(REPLY, 0);
    let mut came = Vec::new();
    for piece in answer.chunks(50_000) {
        came.extend(line.says(Side::Server, piece).unwrap());
    }
    assert!(came == answer);
    // Small as it travels.
    line.passes(Side::Client, &getroot(1));
    let hidden = with_much_behind(payload(REPLY, 1, plain(Value::None)));
    line.passes(Side::Server, &hidden);
}

#[test]
fn an_answer_of_ours_waits_for_the_end_of_a_great_message() {
    let mut line = Line::new();
    let question = ping(0, &noise(2 * WHOLE));
    let (begun, rest) = question.split_at(500_000);
    line.passes(Side::Client, begun);
    line.refuses(&getroot(0));
    assert!(!line.guarded.is_between_messages());
    line.passes(Side::Client, rest);
    assert!(line.guarded.is_between_messages());
}
