use super::*;
use crate::brine::{Limits, Plain};
use crate::conversation::{Conversation, Limits as Room, Side, Step};
use crate::message::Message;

fn int(value: i64) -> Vec<u8> {
    Value::Int(Int::Small(value)).to_bytes()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_tuple(&mut out, items.len());
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

fn boxed(label: i64, value: Vec<u8>) -> Vec<u8> {
    list(&[int(label), value])
}

fn plain(value: &Value<'_>) -> Vec<u8> {
    boxed(VALUE, value.to_bytes())
}

fn reference(label: i64, object: i64) -> Vec<u8> {
    let name = Value::Str("hou.Parm").to_bytes();
    boxed(label, list(&[name, int(1000), int(object)]))
}

fn theirs(object: i64) -> Vec<u8> {
    reference(3, object)
}

fn own(object: i64) -> Vec<u8> {
    reference(4, object)
}

fn request(handler: u8, args: &[Vec<u8>]) -> Vec<u8> {
    let args = list(&[int(i64::from(handler)), boxed(TUPLE, list(args))]);
    list(&[int(1), int(200), args])
}

/// A call of object 5 with these boxed arguments.
fn call(args: Vec<u8>, kwargs: Vec<u8>) -> Vec<u8> {
    request(CALL, &[theirs(5), args, kwargs])
}

fn nothing() -> Vec<u8> {
    plain(&Value::Tuple(vec![]))
}

fn abridged(payload: &[u8]) -> Abridgement {
    let mut abridger = Abridger::new();
    for piece in payload.chunks(60_000) {
        abridger.push(piece).unwrap();
    }
    abridger.finish().unwrap()
}

fn begun(payload: &[u8], length: usize) -> Option<Abridgement> {
    let mut abridger = Abridger::new();
    abridger.push(&payload[..length]).unwrap();
    abridger.so_far().unwrap()
}

fn refused(payload: &[u8]) -> Malformed {
    let mut abridger = Abridger::new();
    let pushed = abridger.push(payload);
    pushed.and_then(|()| abridger.finish()).unwrap_err()
}

const ALL: Limits = Limits {
    items: usize::MAX,
    ..Limits::WIDE
};

/// How it reads, and the objects in it.
fn said(payload: &[u8]) -> (String, Vec<u64>) {
    let message = Message::read(payload, ALL).unwrap();
    let mut objects = Vec::new();
    message.references(|_, id| objects.push(id.object_id));
    let mut conversation = Conversation::new(Room::WIDE);
    let Ok(Step::Asked(asked)) = conversation.see(Side::Client, &message, 1) else {
        panic!("{message:?}")
    };
    (asked.expression().to_owned(), objects)
}

#[test]
fn a_great_call_says_the_same_in_little_room() {
    let text = "é".repeat(1 << 20);
    let floats = Value::Tuple(vec![Value::Float(0.25); 1 << 18]);
    let key = Value::Str("key");
    let great = [Value::Str(&text), Value::Bytes(text.as_bytes()), floats];
    for value in great {
        let args = plain(&Value::Tuple(vec![key.clone(), value.clone(), key.clone()]));
        let pair = Value::Tuple(vec![Value::Str("by"), value.clone()]);
        let kwargs = plain(&Value::Tuple(vec![pair.clone()]));
        let mixed = list(&[theirs(1), plain(&value), own(2)]);
        let mixed = boxed(TUPLE, mixed);
        let named = list(&[boxed(TUPLE, list(&[plain(&key), own(3)])), plain(&pair)]);
        let named = boxed(TUPLE, named);
        for payload in [
            call(args.clone(), nothing()),
            call(nothing(), kwargs.clone()),
            call(args, kwargs),
            call(mixed, named),
            request(SETATTR, &[theirs(5), plain(&key), plain(&value)]),
            request(
                11,
                &[theirs(5), plain(&value), plain(&Value::Str("__eq__"))],
            ),
            request(PING, &[own(7)]),
            request(
                CALLATTR,
                &[
                    theirs(5),
                    plain(&key),
                    plain(&Value::Tuple(vec![value])),
                    nothing(),
                ],
            ),
        ] {
            let small = abridged(&payload);
            assert!(
                !small.is_cut && small.payload.len() < 20_000,
                "{}",
                small.payload.len()
            );
            assert_eq!(said(&small.payload), said(&payload));
        }
    }
}

#[test]
fn every_reference_is_kept_up_to_a_bound() {
    let pair = || list(&[own(6), plain(&Value::Float(0.5))]);
    for (count, is_cut) in [(30_000, false), (300_000, true)] {
        let items: Vec<_> = (0..count).map(|_| boxed(TUPLE, pair())).collect();
        let payload = call(boxed(TUPLE, list(&items)), nothing());
        let small = abridged(&payload);
        assert_eq!(small.is_cut, is_cut);
        assert!(small.payload.len() < KEPT_MAX, "{}", small.payload.len());
        let message = Message::read(&small.payload, ALL).unwrap();
        let mut kept = 0;
        message.references(|_, _| kept += 1);
        match is_cut {
            false => assert_eq!(kept, count + 1),
            true => assert!((30_000..count).contains(&kept), "{kept}"),
        }
    }
}

#[test]
fn much_plain_data_leaves_room_for_keywords() {
    let items = vec![plain(&Value::Float(0.5)); 50_000];
    let args = list(&[&[own(1)], &items[..]].concat());
    let pair = Value::Tuple(vec![Value::Str("name"), Value::Str("value")]);
    let payload = call(boxed(TUPLE, args), plain(&Value::Tuple(vec![pair])));
    let small = abridged(&payload);
    assert!(!small.is_cut);
    let message = Message::read(&small.payload, ALL).unwrap();
    let crate::Body::Request(crate::Request::Call { args, kwargs, .. }) = message.body else {
        panic!()
    };
    assert_eq!(args.len(), 50_001);
    let (name, value) = kwargs.iter().next().unwrap();
    assert_eq!(
        (name, value.plain().unwrap().as_str()),
        ("name", Some("value"))
    );
}

#[test]
fn the_beginning_of_a_call_names_it() {
    let text = "x".repeat(5000);
    let args = Value::Tuple(vec![Value::Str("key"), Value::Str(&text)]);
    let payload = call(plain(&args), nothing());
    let shown = "x".repeat(64);
    let cut = begun(&payload, 1000).unwrap();
    assert!(cut.is_cut);
    let (expression, objects) = said(&cut.payload);
    assert_eq!(expression, format!("<Parm>('key', '{shown}…')"));
    assert_eq!(objects, [5]);
    // Within the first characters of it, and where nothing of it is there.
    let at = payload
        .windows(3)
        .position(|window| window == b"xxx")
        .unwrap();
    assert_eq!(
        said(&begun(&payload, at + 2).unwrap().payload).0,
        "<Parm>('key', 'xx...')"
    );
    assert_eq!(
        said(&begun(&payload, at).unwrap().payload).0,
        "<Parm>('key', '...')"
    );
    assert_eq!(
        said(&begun(&payload, at - 6).unwrap().payload).0,
        "<Parm>('key')"
    );

    // A keyword's value; its name is never given to nobody.
    let pairs = Value::Tuple(vec![Value::Tuple(vec![
        Value::Str("by"),
        Value::Str(&text),
    ])]);
    let payload = call(nothing(), plain(&pairs));
    let name = payload
        .windows(2)
        .position(|window| window == b"by")
        .unwrap();
    assert_eq!(
        said(&begun(&payload, name + 2).unwrap().payload).0,
        "<Parm>(by='...')"
    );
    let mixed = list(&[theirs(1), boxed(TUPLE, list(&[own(2), plain(&args)]))]);
    let payload = call(boxed(TUPLE, mixed), nothing());
    let (expression, objects) = said(&begun(&payload, 1000).unwrap().payload);
    assert!(
        expression.starts_with("<Parm>(<Parm>, (<Parm"),
        "{expression}"
    );
    assert_eq!(objects, [5, 1, 2]);
}

#[test]
fn what_does_not_say_what_is_asked_for_is_nothing() {
    let text = Value::Str("some text");
    let payload = call(plain(&Value::Tuple(vec![text.clone()])), nothing());
    let at = payload
        .windows(4)
        .position(|window| window == b"Parm")
        .unwrap();
    assert_eq!(begun(&payload, at), None);
    let payload = request(CALLATTR, &[theirs(5), plain(&text), nothing(), nothing()]);
    let at = payload
        .windows(4)
        .position(|window| window == b"some")
        .unwrap();
    assert_eq!(begun(&payload, at - 2), None);
    // The comparison comes behind what is compared.
    let payload = request(11, &[theirs(5), plain(&text), plain(&Value::Str("__eq__"))]);
    assert_eq!(begun(&payload, payload.len() - 3), None);
}

#[test]
fn what_no_stock_peer_sends_is_refused_wherever_it_is() {
    let args = || plain(&Value::Tuple(vec![Value::Bytes(&[7; 5000])]));
    let good = call(args(), nothing());
    assert!(abridged(&good).payload.len() < 600);
    let behind = [&good[..], &[0; 1000]].concat();
    assert_eq!(refused(&behind), Refused::Trailing.into());
    assert_eq!(refused(&good[..good.len() - 1]), Refused::Truncated.into());
    let unlabelled = request(CALL, &[theirs(5), boxed(5, int(1)), nothing()]);
    assert_eq!(refused(&unlabelled), Malformed::Label);
    let item_by_item = boxed(TUPLE, list(&[plain(&Value::None)]));
    assert_eq!(
        refused(&call(item_by_item, nothing())),
        Malformed::PlainTuple
    );
    let mut deep = Value::None;
    for _ in 0..DEPTH_MAX {
        deep = Value::Tuple(vec![deep]);
    }
    assert_eq!(
        refused(&call(plain(&deep), nothing())),
        Refused::TooDeep.into()
    );
    assert!(Plain::read(&deep.to_bytes(), ALL).is_ok());
    let raised = list(&[int(3), int(1), int(1)]);
    assert_eq!(refused(&raised), Malformed::Exception);
    assert_eq!(refused(b"GET / HTTP/1.1"), Malformed::Head);
}

#[test]
fn a_set_of_which_something_is_left_out_is_left_out() {
    let long = "x".repeat(5000);
    let (a, b) = (format!("{long}a"), format!("{long}b"));
    let set = Value::Frozenset(vec![Value::Str(&a), Value::Str(&b)]);
    let many: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let many = Value::Frozenset(many.iter().map(|text| Value::Str(text)).collect());
    let small = Value::Frozenset(vec![Value::Str("a"), Value::Str("b")]);
    let args = Value::Tuple(vec![set, many, small]);
    let (expression, _) = said(&abridged(&call(plain(&args), nothing())).payload);
    assert_eq!(expression, "<Parm>('...', '...', frozenset({'a', 'b'}))");
}
