//! Small messages in great frames: zlib has blocks that take room and inflate to nothing.

use super::great::{GUARDED, MIB, NARROW, SHADOW, WIDE, call};
use super::*;

/// A frame of `length` bytes, and a few more or less, around any message.
fn padded(payload: &[u8], length: usize) -> Vec<u8> {
    let size = u16::try_from(payload.len()).unwrap();
    let stored = [
        &[0][..],
        &size.to_le_bytes(),
        &(!size).to_le_bytes(),
        payload,
    ]
    .concat();
    let (empty, last) = ([0, 0, 0, 0xff, 0xff], [1, 0, 0, 0xff, 0xff]);
    let (a, b) = payload.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let checksum = (b << 16 | a).to_be_bytes();
    let padding = empty.repeat(length / empty.len());
    let body = [&[0x78, 0x01], &stored[..], &padding, &last, &checksum].concat();
    let header = [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &[1]].concat();
    [&header, &body[..], b"\n"].concat()
}

fn get(seq: i64, id: i64, name: &str) -> Vec<u8> {
    let args = [object(3, METHOD, id), plain(&Value::Str(name))];
    request(seq, GETATTR, &args)
}

fn drop_of(seq: i64, id: i64) -> Vec<u8> {
    let count = plain(&Value::Int(Int::Small(1)));
    request(seq, DEL, &[object(3, METHOD, id), count])
}

#[tokio::test]
async fn what_takes_more_room_than_may_be_held_is_not_held_though_it_inflates_to_little() {
    for (policy, role) in GUARDED {
        let mut session = Session::new(policy, role).await.method().await;
        let asked = padded(&call(0, 70, b""), 2 * MIB);
        session.send(Side::Server, &asked).await.unwrap();
        assert_eq!(session.went_on(), [0], "it was not refused");
        let asked = padded(&call(1, 70, b""), HELD);
        let stop = session.send(Side::Server, &asked[..MIB]).await.unwrap_err();
        assert!(stop.why.contains("limits.held_bytes"), "{}", stop.why);
        assert!(session.came_back().is_empty() && session.went_on().is_empty());
    }
}

#[tokio::test]
async fn whatever_is_padded_is_denied_in_a_narrow_role_and_has_happened_nowhere() {
    for role in NARROW {
        let mut session = Session::of(role).await.method().await;
        let close = |seq| request(seq, 2, &[]);
        let passes = |seq| {
            let args = [
                object(3, METHOD, 6),
                boxed(2, list(&[object(4, METHOD, 80)])),
                arguments(&[]),
            ];
            request(seq, CALL, &args)
        };
        let odd: [&dyn Fn(i64) -> Vec<u8>; 6] = [
            &close,
            &passes,
            &|seq| drop_of(seq, 6),
            &|seq| drop_of(seq, 99),
            &|seq| get(seq, 6, "__self__"),
            &|seq| call(seq, 6, b""),
        ];
        for make in odd {
            session.seq += 1;
            let asked = padded(&make(session.seq), 2 * MIB);
            session.send(Side::Client, &asked).await.unwrap();
            assert!(session.went_on().is_empty(), "{role}");
            let told = session.came_back().pop().unwrap();
            let denied = (Kind::Exception, session.seq as u64);
            assert_eq!((told.kind, told.seq), denied, "{role}");
        }
        // It was not let go of, and can be let go of once.
        let called = session.calls_it().await;
        assert_eq!(session.went_on(), [called], "{role}");
        session.answers(called, none()).await;
        let dropped = session.drops_it(1).await;
        assert_eq!(session.went_on(), [dropped], "{role}");
        let asked = padded(&drop_of(session.seq + 1, 6), 2 * MIB);
        session.send(Side::Client, &asked).await.unwrap();
        assert!(session.went_on().is_empty(), "{role}");
    }
}

#[tokio::test]
async fn whatever_is_padded_is_followed_in_a_wide_role() {
    for (policy, role) in WIDE {
        let mut session = Session::new(policy, role).await.method().await;
        session.seq += 1;
        let dropped = padded(&drop_of(session.seq, 6), 2 * MIB);
        session.send(Side::Client, &dropped).await.unwrap();
        assert!(session.out.to_houdini.ready == dropped, "{role}");
        session.out.to_houdini.ready.clear();
        session.answers(session.seq, none()).await;
        // Nothing is left of it to be let go of.
        let again = frame::encode(&drop_of(session.seq + 1, 6));
        session.seq += 1;
        let _ = session.send(Side::Client, &again).await;
        let id = ObjectId {
            name: METHOD,
            type_id: 1006,
            object_id: 6,
        };
        let known = session
            .inspector
            .state
            .conversation
            .object(Side::Server, &id);
        assert!(known.is_none(), "{role}");
    }
}

#[tokio::test]
async fn what_a_shadow_let_by_unjudged_vouches_for_nothing_when_the_role_is_enforced() {
    let mut session = Session::new(SHADOW, "seen").await.method().await;
    session.seq += 1;
    let dropped = session.seq;
    let asked = padded(&drop_of(dropped, 6), 2 * MIB);
    session.send(Side::Client, &asked).await.unwrap();
    session.answers(dropped, none()).await;
    // The id of a method that may be called is that of another function by now.
    session.seq += 1;
    let fetched = session.seq;
    let root = object(3, "rpyc.core.service.SlaveService", 1);
    let asked = request(fetched, GETATTR, &[root, plain(&Value::Str("execute"))]);
    session
        .send(Side::Client, &padded(&asked, 2 * MIB))
        .await
        .unwrap();
    session.answers(fetched, object(4, METHOD, 6)).await;
    session.out = Out::default();
    let enforced = SHADOW.replace("shadow", "enforce");
    session.rules.replace(Policy::parse(&enforced).unwrap());
    let denied = session.calls_it().await;
    assert!(session.went_on().is_empty());
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Exception, denied));
}
