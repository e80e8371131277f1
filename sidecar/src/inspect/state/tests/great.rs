//! Messages that are too great to be taken whole.

use super::*;

pub(super) const MIB: usize = 1 << 20;

/// Bytes that no compression makes fewer.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes.take(length).collect()
}

/// A call of an object of the receiver's, with data.
pub(super) fn call(seq: i64, id: i64, data: &[u8]) -> Vec<u8> {
    let args = [
        object(3, METHOD, id),
        arguments(&[Value::Bytes(data)]),
        arguments(&[]),
    ];
    request(seq, CALL, &args)
}

/// A little more than is taken whole, and a little on its way that is more than is inflated.
pub(super) fn greats() -> [Vec<u8>; 2] {
    [noise(2 * MIB), vec![0; 20 * MIB]]
}

pub(super) const SHADOW: &str = "[role.seen]\nextends = 'read-numeric'\nmode = 'shadow'";
const OPEN: &str = "[role.open]\nextends = 'full'\nreverse_calls = 'open'";

/// What is said of the great messages of these roles: they are too great to be judged.
pub(super) const NARROW: [&str; 2] = ["read-only", "read-numeric"];
/// And these let them go by.
pub(super) const WIDE: [(&str, &str); 2] = [("", "full"), (SHADOW, "seen")];

/// Each of these roles judges what Houdini asks.
pub(super) const GUARDED: [(&str, &str); 4] = [
    ("", "full"),
    ("", "read-only"),
    ("", "read-numeric"),
    (SHADOW, "seen"),
];

#[tokio::test]
async fn nothing_that_houdini_asks_reaches_the_script_unjudged_however_great_it_is() {
    for (policy, role) in GUARDED {
        for data in greats() {
            let mut session = Session::new(policy, role).await.method().await;
            session.give(Side::Server, &call(0, 70, &data)).await;
            assert!(session.came_back().is_empty(), "{role}");
            let [told] = heads(&mut session.out.to_houdini.ready)[..] else {
                panic!("{role}")
            };
            assert_eq!((told.kind, told.seq), (Kind::Exception, 0), "{role}");
            // And the session lives on.
            let asked = session.calls_it().await;
            assert_eq!(session.went_on(), [asked], "{role}");
        }
    }
}

#[tokio::test]
async fn nothing_that_is_translated_reaches_the_script_unjudged_either() {
    for (policy, role) in GUARDED {
        for data in greats() {
            let mut session = Session::new(policy, role).await;
            let (classic, six) = (Some(Family::Classic), Some(Family::Six));
            session.inspector.opens(six, classic);
            session.give(Side::Server, &call(0, 70, &data)).await;
            assert!(session.came_back().is_empty(), "{role}");
            assert_eq!(session.went_on(), [0], "{role}");
        }
    }
}

#[tokio::test]
async fn a_great_request_of_houdinis_that_may_be_asked_arrives() {
    for (policy, role) in [("", "full"), (OPEN, "open")] {
        for data in greats() {
            let mut session = Session::new(policy, role).await.method().await;
            let passes = [
                object(3, METHOD, 6),
                boxed(2, list(&[object(4, METHOD, 70)])),
                arguments(&[]),
            ];
            session.asks(CALL, &passes).await;
            assert_eq!(session.went_on().len(), 1);
            let asked = frame::encode(&call(0, 70, &data));
            session.send(Side::Server, &asked).await.unwrap();
            assert!(session.out.to_client.ready == asked, "{role}");
            assert!(session.went_on().is_empty());
        }
    }
    // Nobody judges there.
    let mut session = Session::new(OPEN, "open").await.method().await;
    session
        .give(Side::Server, &call(0, 71, &noise(2 * MIB)))
        .await;
    assert!(!session.out.to_client.ready.is_empty());
}

#[tokio::test]
async fn what_is_more_than_may_be_held_ends_the_session_and_goes_nowhere() {
    for (policy, role) in GUARDED {
        let mut session = Session::new(policy, role).await.method().await;
        let asked = frame::encode(&call(0, 70, &vec![0; HELD]));
        assert!(asked.len() < WHOLE);
        let stop = session.send(Side::Server, &asked).await.unwrap_err();
        assert!(stop.why.contains("limits.held_bytes"), "{}", stop.why);
        assert!(session.came_back().is_empty() && session.went_on().is_empty());
    }
}

#[tokio::test]
async fn a_great_request_is_denied_in_a_narrow_role_in_however_little_room_it_comes() {
    for role in NARROW {
        for data in greats() {
            let mut session = Session::of(role).await.method().await;
            session.seq += 1;
            let asked = call(session.seq, 6, &data);
            session.give(Side::Client, &asked).await;
            assert!(session.out.to_houdini.ready.is_empty(), "{role}");
            let [told] = session.came_back()[..] else {
                panic!("{role}")
            };
            let denied = (Kind::Exception, session.seq as u64);
            assert_eq!((told.kind, told.seq), denied, "{role}");
            // And the session lives on.
            let asked = session.calls_it().await;
            assert_eq!(session.went_on(), [asked], "{role}");
        }
    }
}

#[tokio::test]
async fn a_great_request_goes_on_as_it_came_in_a_wide_role() {
    for (policy, role) in WIDE {
        for data in greats() {
            let mut session = Session::new(policy, role).await.method().await;
            session.seq += 1;
            let asked = frame::encode(&call(session.seq, 6, &data));
            session.send(Side::Client, &asked).await.unwrap();
            assert!(session.out.to_houdini.ready == asked, "{role}");
            assert!(session.came_back().is_empty(), "{role}");
        }
    }
}

#[tokio::test]
async fn a_great_answer_reaches_no_script_in_a_narrow_role() {
    for role in NARROW {
        for data in greats() {
            let mut session = Session::of(role).await.method().await;
            let asked = session.calls_it().await;
            // It brings an object, which nobody could judge.
            let answer = boxed(
                2,
                list(&[plain(&Value::Bytes(&data)), object(4, METHOD, 71)]),
            );
            session.answers(asked, answer).await;
            let [told] = session.came_back()[..] else {
                panic!("{role}")
            };
            let kept_back = (Kind::Exception, asked as u64);
            assert_eq!((told.kind, told.seq), kept_back, "{role}");
            assert_eq!(session.went_on(), [asked]);
            let args = [object(3, METHOD, 71), arguments(&[]), arguments(&[])];
            let denied = session.asks(CALL, &args).await;
            assert!(session.went_on().is_empty(), "{role}");
            assert_eq!(session.came_back()[0].seq as i64, denied, "{role}");
        }
    }
}

#[tokio::test]
async fn a_great_answer_goes_on_as_it_came_in_a_wide_role() {
    for (policy, role) in WIDE {
        for data in greats() {
            let mut session = Session::new(policy, role).await.method().await;
            let asked = session.calls_it().await;
            let answer = frame::encode(&reply(asked, plain(&Value::Bytes(&data))));
            session.send(Side::Server, &answer).await.unwrap();
            assert!(session.out.to_client.ready == answer, "{role}");
        }
    }
}

#[tokio::test]
async fn no_great_exception_of_houdinis_reaches_a_script_that_would_import_its_module() {
    for (policy, role) in GUARDED {
        for data in greats() {
            let mut session = Session::new(policy, role).await.method().await;
            let asked = session.calls_it().await;
            let name = list(&[
                Value::Str("telltale").to_bytes(),
                Value::Str("Boom").to_bytes(),
            ]);
            let values = list(&[Value::Bytes(&data).to_bytes()]);
            let raised = list(&[name, values, list(&[]), Value::Str("").to_bytes()]);
            let answer = frame::encode(&list(&[int(3), int(asked), raised]));
            session.send(Side::Server, &answer).await.unwrap();
            let said = String::from_utf8_lossy(&session.out.to_client.ready).into_owned();
            assert!(said.contains("too great to be looked at"), "{role}");
            assert!(!said.contains("telltale"), "{role}");
            let [told] = session.came_back()[..] else {
                panic!("{role}")
            };
            let raised = (Kind::Exception, asked as u64);
            assert_eq!((told.kind, told.seq), raised, "{role}");
            // And the session lives on.
            let called = session.calls_it().await;
            assert_eq!(session.went_on(), [asked, called], "{role}");
        }
    }
}

#[tokio::test]
async fn a_refusal_waits_for_the_end_of_the_great_message_that_houdini_is_getting() {
    let mut session = Session::of("full").await.method().await;
    session.seq += 1;
    let great = frame::encode(&call(session.seq, 6, &noise(3 * MIB)));
    let (begun, rest) = great.split_at(MIB);
    session.send(Side::Client, begun).await.unwrap();
    session.give(Side::Server, &call(0, 70, b"")).await;
    let (middle, end) = rest.split_at(MIB);
    session.send(Side::Client, middle).await.unwrap();
    session.give(Side::Server, &call(1, 70, b"")).await;
    assert!(session.out.to_houdini.ready == great[..2 * MIB]);
    assert!(session.out.to_client.ready.is_empty());
    session.send(Side::Client, end).await.unwrap();
    assert!(session.out.to_houdini.ready[..great.len()] == great);
    let mut behind = session.out.to_houdini.ready.split_off(great.len());
    let told: Vec<_> = heads(&mut behind)
        .iter()
        .map(|head| (head.kind, head.seq))
        .collect();
    assert_eq!(told, [(Kind::Exception, 0), (Kind::Exception, 1)]);
}

#[tokio::test]
async fn a_denial_waits_for_the_end_of_the_great_message_that_the_script_is_getting() {
    let mut session = Session::new(SHADOW, "seen").await.method().await;
    let open = session.calls_it().await;
    let dropped = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open]);
    let great = frame::encode(&reply(open, plain(&Value::Bytes(&noise(3 * MIB)))));
    let (begun, rest) = great.split_at(2 * MIB);
    session.send(Side::Server, begun).await.unwrap();
    // What was let through so far is enforced now.
    let enforced = SHADOW.replace("shadow", "enforce");
    session.rules.replace(Policy::parse(&enforced).unwrap());
    let denied = session.asks(STR, &[object(3, METHOD, 99)]).await;
    assert!(session.out.to_client.ready == begun);
    session.send(Side::Server, rest).await.unwrap();
    assert!(session.out.to_client.ready[..great.len()] == great);
    let mut behind = session.out.to_client.ready.split_off(great.len());
    let [told] = heads(&mut behind)[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Exception, denied));
    // It was an answer like any other.
    assert_eq!(session.went_on(), [dropped]);
}

#[tokio::test]
async fn a_drop_that_has_waited_waits_for_the_end_of_a_great_request_too() {
    let mut session = Session::new(SHADOW, "seen").await.method().await;
    let open = session.calls_it().await;
    let dropped = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open]);
    let data = arguments(&[Value::Bytes(&noise(2 * MIB))]);
    let node = object(3, "builtins.function", 4);
    let asked = session.request(CALL, &[node, data, arguments(&[])]);
    let great = frame::encode(&asked);
    let (begun, rest) = great.split_at(MIB + MIB / 2);
    session.send(Side::Client, begun).await.unwrap();
    session.answers(open, none()).await;
    assert!(session.out.to_houdini.ready == begun);
    session.send(Side::Client, rest).await.unwrap();
    assert!(session.out.to_houdini.ready[..great.len()] == great);
    let mut behind = session.out.to_houdini.ready.split_off(great.len());
    assert_eq!(heads(&mut behind)[0].seq as i64, dropped);
}

#[tokio::test]
async fn last_words_are_said_to_a_script_that_sends_a_great_message_and_to_none_that_gets_one() {
    let mut session = Session::of("full").await.method().await;
    let open = session.calls_it().await;
    session.seq += 1;
    let asked = frame::encode(&call(session.seq, 6, &noise(2 * MIB)));
    session.send(Side::Client, &asked[..MIB]).await.unwrap();
    let over = Stop::new("it is over");
    assert_eq!(session.last_words(&over), [session.seq, open]);
    let answer = frame::encode(&reply(open, plain(&Value::Bytes(&noise(2 * MIB)))));
    session.send(Side::Server, &answer[..MIB]).await.unwrap();
    assert!(session.last_words(&over).is_empty());
    session.send(Side::Server, &answer[MIB..]).await.unwrap();
    assert_eq!(session.last_words(&over), [session.seq]);
}

/// A message of a peer that binds threads.
fn bound(sender: u64, receiver: u64, message: &[u8]) -> Vec<u8> {
    [&sender.to_be_bytes()[..], &receiver.to_be_bytes(), message].concat()
}

#[tokio::test]
async fn a_request_that_is_denied_for_its_size_is_answered_to_the_thread_that_asked() {
    for data in greats() {
        let mut session = Session::of("read-numeric").await;
        // One that has no partner yet, and one that has.
        for (seq, receiver) in [(0, 0), (1, 9)] {
            let asked = bound(7, receiver, &call(seq, 6, &data));
            session.give(Side::Client, &asked).await;
            let [told] = session.came_back()[..] else {
                panic!()
            };
            let threads = Threads {
                sender: receiver.max(1),
                receiver: 7,
            };
            assert_eq!(told.threads, Some(threads));
            assert_eq!((told.kind, told.seq), (Kind::Exception, seq as u64));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_back_names_the_thread_that_asked() {
    let mut session = Session::of("read-numeric").await;
    let asked = session.request(GETROOT, &[]);
    session.give(Side::Client, &bound(7, 0, &asked)).await;
    let great = plain(&Value::Bytes(&vec![0; 20 << 20]));
    let answer = bound(9, 7, &reply(0, great));
    session.give(Side::Server, &answer).await;
    let [told] = session.came_back()[..] else {
        panic!()
    };
    let (sender, receiver) = (9, 7);
    assert_eq!(told.threads, Some(Threads { sender, receiver }));
}
