use proptest::prelude::*;

use super::*;
use crate::Family;
use crate::captures;
use crate::frame::encode;
use crate::head::{CLOSE, GETROOT, Head};

const MESSAGE: &str = "your access ended on Friday 18:00; ask for a new invite";

fn refuser() -> Refuser {
    Refuser::new(ExceptionClass::PermissionError, MESSAGE)
}

fn request(family: Family, seq: u64, handler: u8) -> (Head, Vec<u8>) {
    let head = Head::request(family, seq, handler);
    let mut payload = Vec::new();
    head.write(&mut payload);
    payload.extend_from_slice(b"\x11\x51\x02");
    (head, encode(&payload))
}

fn refusal(head: Head) -> Answer {
    Answer::Frame(exception_frame(
        head,
        ExceptionClass::PermissionError,
        MESSAGE,
    ))
}

fn feed_all<'a>(
    refuser: &mut Refuser,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Answer>, NotRpyc> {
    let mut answers = Vec::new();
    for mut piece in pieces {
        while let Some(answer) = refuser.feed(&mut piece)? {
            answers.push(answer);
        }
        assert!(piece.is_empty());
    }
    Ok(answers)
}

#[test]
fn every_request_is_refused_and_a_close_closes() {
    for family in [Family::Classic, Family::Six] {
        let (first, first_frame) = request(family, 0, GETROOT);
        let (second, second_frame) = request(family, 1, 7);
        let (_, close) = request(family, 2, CLOSE);
        let sent = [first_frame, second_frame, close].concat();
        let expected = vec![refusal(first), refusal(second), Answer::Close];
        assert_eq!(feed_all(&mut refuser(), [&sent[..]]), Ok(expected.clone()));
        assert_eq!(feed_all(&mut refuser(), sent.chunks(1)), Ok(expected));
    }
}

#[test]
fn real_clients_of_every_version_are_answered() {
    for capture in &captures::ALL {
        let answers = feed_all(&mut refuser(), [capture.client]).unwrap();
        let requests = capture.client_heads.len();
        assert_eq!(answers.len(), requests);
        assert_eq!(answers[requests - 1], Answer::Close);
    }
}

#[test]
fn what_the_client_answers_is_ignored() {
    for capture in &captures::ALL {
        assert_eq!(feed_all(&mut refuser(), [capture.server]), Ok(vec![]));
    }
}

#[test]
fn one_answer_at_a_time() {
    let (head, frame) = request(Family::Classic, 0, GETROOT);
    let sent = frame.repeat(2);
    let mut input = &sent[..];
    let mut refuser = refuser();
    assert_eq!(refuser.feed(&mut input), Ok(Some(refusal(head))));
    assert!(input.len() >= frame.len());
    assert_eq!(refuser.feed(&mut input), Ok(Some(refusal(head))));
    assert_eq!(refuser.feed(&mut input), Ok(None));
}

#[test]
fn not_rpyc_is_an_error_after_the_answers_before_it() {
    let (head, mut sent) = request(Family::Classic, 0, GETROOT);
    sent.extend_from_slice(b"\0\0\0\x08\0GET / HT");
    let mut input = &sent[..];
    let mut refuser = refuser();
    assert_eq!(refuser.feed(&mut input), Ok(Some(refusal(head))));
    assert_eq!(refuser.feed(&mut input), Err(NotRpyc));
    assert_eq!(refuser.feed(&mut &b""[..]), Err(NotRpyc));
}

proptest! {
    #[test]
    fn takes_over_from_an_observer_anywhere(at: prop::sample::Index, small in 1usize..40) {
        let (first, first_frame) = request(Family::Six, 0, GETROOT);
        let (second, second_frame) = request(Family::Six, 1, 7);
        let sent = [first_frame, second_frame].concat();
        let (before, after) = sent.split_at(at.index(sent.len() + 1));

        let mut client = Observer::new();
        let mut answers = Vec::new();
        client.observe(before, |head| answers.push(refusal(head)));
        let mut refuser =
            Refuser::from_observer(client, ExceptionClass::PermissionError, MESSAGE);
        answers.extend(feed_all(&mut refuser, after.chunks(small)).unwrap());
        prop_assert_eq!(answers, [refusal(first), refusal(second)]);
    }

    #[test]
    fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = feed_all(&mut refuser(), [&bytes[..]]);
    }
}
