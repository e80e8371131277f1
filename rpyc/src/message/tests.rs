use super::*;
use crate::brine::{Value, put_tuple};

const NONE: &[u8] = b"\x00";
const EMPTY: &[u8] = b"\x02";

fn int(value: i64) -> Vec<u8> {
    Value::Int(brine::Int::Small(value)).to_bytes()
}

fn text(text: &str) -> Vec<u8> {
    Value::Str(text).to_bytes()
}

fn tuple<const N: usize>(items: [&[u8]; N]) -> Vec<u8> {
    let mut out = Vec::new();
    put_tuple(&mut out, N);
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

/// A reference's three fields.
fn id() -> Vec<u8> {
    tuple([&text("hou.Parm"), &int(94_000), &int(140_000)])
}

fn boxed(label: i64, value: &[u8]) -> Vec<u8> {
    tuple([&int(label), value])
}

fn value(value: &[u8]) -> Vec<u8> {
    boxed(1, value)
}

fn local() -> Vec<u8> {
    boxed(3, &id())
}

/// `(1, 5, (handler, args))`.
fn request(handler: &[u8], args: &[u8]) -> Vec<u8> {
    tuple([&int(1), &int(5), &tuple([handler, args])])
}

/// A request about an object, with more boxed arguments.
fn about<const N: usize>(handler: i64, more: [&[u8]; N]) -> Vec<u8> {
    let target = local();
    let mut args = Vec::new();
    put_tuple(&mut args, N + 1);
    args.extend_from_slice(&target);
    more.iter().for_each(|item| args.extend_from_slice(item));
    request(&int(handler), &boxed(2, &args))
}

fn reply(result: &[u8]) -> Vec<u8> {
    tuple([&int(2), &int(5), result])
}

fn exception(raised: &[u8]) -> Vec<u8> {
    tuple([&int(3), &int(5), raised])
}

fn read(payload: &[u8]) -> Result<Message<'_>, Malformed> {
    Message::read(payload, Limits::WIDE)
}

/// Reads what must be fine and is written back as it was; gives the request's name.
fn name_of(payload: &[u8]) -> &'static str {
    let message = read(payload).unwrap_or_else(|error| panic!("{error}: {payload:?}"));
    let mut written = Vec::new();
    message.write(&mut written);
    assert_eq!(written, payload);
    match message.body {
        Body::Request(request) => request.name(),
        Body::Reply(_) => "REPLY",
        Body::Exception(_) => "EXCEPTION",
    }
}

#[test]
fn every_kind_of_request_is_read_and_written_back() {
    let attribute = value(&text("scale"));
    let none = value(NONE);
    let empty = value(EMPTY);
    let by_reference = boxed(4, &id());
    let mixed = boxed(2, &tuple([&none, &local(), &by_reference]));
    let keyword = boxed(2, &tuple([&boxed(2, &tuple([&attribute, &local()]))]));
    let plain_keyword = value(&tuple([&tuple([&text("key"), NONE])]));
    for (payload, name) in [
        (request(&int(1), &value(&tuple([&text("data")]))), "PING"),
        (request(&int(1), &boxed(2, &tuple([&by_reference]))), "PING"),
        (request(&int(2), &empty), "CLOSE"),
        (request(&int(3), &empty), "GETROOT"),
        (about(4, [&attribute]), "GETATTR"),
        (about(5, [&attribute]), "DELATTR"),
        (about(6, [&attribute, &none]), "SETATTR"),
        (about(6, [&attribute, &by_reference]), "SETATTR"),
        (about(7, [&empty, &empty]), "CALL"),
        (about(7, [&mixed, &keyword]), "CALL"),
        (about(7, [&empty, &plain_keyword]), "CALL"),
        (about(8, [&attribute, &mixed, &empty]), "CALLATTR"),
        (about(9, []), "REPR"),
        (about(10, []), "STR"),
        (about(11, [&none, &value(&text("__eq__"))]), "CMP"),
        (about(11, [&local(), &value(&text("__cmp__"))]), "CMP"),
        (about(12, []), "HASH"),
        (about(13, []), "DIR"),
        (about(14, [&value(&int(-1))]), "PICKLE"),
        (about(15, [&value(&int(1))]), "DEL"),
        (request(&int(16), &value(&tuple([&id()]))), "INSPECT"),
        (about(17, [&value(&int(1000))]), "BUFFITER"),
        (
            about(
                18,
                [
                    &value(&text("__getitem__")),
                    &value(&text("__getslice__")),
                    &none,
                    &none,
                    &empty,
                ],
            ),
            "OLDSLICING",
        ),
        (about(19, [&none]), "CTXEXIT"),
        (about(19, [&by_reference]), "CTXEXIT"),
        (about(20, [&value(&id())]), "INSTANCECHECK"),
        (reply(&none), "REPLY"),
        (reply(&mixed), "REPLY"),
        (exception(&int(1)), "EXCEPTION"),
    ] {
        assert_eq!(name_of(&payload), name);
        let six = [&payload[1..2], &b"\x11"[..], &payload[2..]].concat();
        let six = [&[six[0] - 0x50][..], &six[1..]].concat();
        assert_eq!(name_of(&six), name);
    }
}

#[test]
fn what_servers_take_and_no_client_sends_is_refused() {
    let float_one = Value::Float(1.0).to_bytes();
    let complex_one = Value::Complex(1.0, 0.0).to_bytes();
    let yes = Value::Bool(true).to_bytes();
    let attribute = value(&text("scale"));
    let bytes_name = value(b"\x0bhe");
    let empty = value(EMPTY);
    let none = value(NONE);
    let twice = tuple([&tuple([&text("k"), NONE]), &tuple([&text("k"), NONE])]);
    for (payload, refused) in [
        // Handlers, labels, counts and ids of another type than int.
        (request(&float_one, &value(EMPTY)), Malformed::Head),
        (request(&yes, &value(EMPTY)), Malformed::Head),
        (request(&complex_one, &value(EMPTY)), Malformed::Head),
        (request(&int(0), &empty), Malformed::Handler(0)),
        (request(&int(21), &empty), Malformed::Handler(21)),
        (reply(&tuple([&float_one, NONE])), Malformed::Label),
        (reply(&tuple([&yes, NONE])), Malformed::Label),
        (reply(&boxed(0, NONE)), Malformed::Label),
        (reply(&boxed(5, NONE)), Malformed::Label),
        (reply(NONE), Malformed::Label),
        (reply(&tuple([&int(1)])), Malformed::Label),
        (about(15, [&value(&float_one)]), Malformed::Count),
        (about(15, [&value(&yes)]), Malformed::Count),
        (about(15, [&value(&int(0))]), Malformed::Count),
        (about(15, [&value(&int(-1))]), Malformed::Count),
        (
            reply(&boxed(3, &tuple([&text("n"), &float_one, &int(1)]))),
            Malformed::ObjectId,
        ),
        (
            reply(&boxed(3, &tuple([&text("n"), &yes, &int(1)]))),
            Malformed::ObjectId,
        ),
        (
            reply(&boxed(3, &tuple([&text("n"), &int(1), &int(-1)]))),
            Malformed::ObjectId,
        ),
        (
            reply(&boxed(4, &tuple([b"\x0an", &int(1), &int(1)]))),
            Malformed::ObjectId,
        ),
        (
            reply(&boxed(4, &tuple([&text("n"), &int(1)]))),
            Malformed::ObjectId,
        ),
        // Names.
        (about(4, [&bytes_name]), Malformed::Name),
        (about(4, [&value(&int(1))]), Malformed::Name),
        (about(4, [&local()]), Malformed::Name),
        (about(8, [&bytes_name, &empty, &empty]), Malformed::Name),
        (
            about(11, [&none, &value(&text("__getattribute__"))]),
            Malformed::Operator,
        ),
        (
            about(
                18,
                [&attribute, &value(&text("__class__")), &none, &none, &empty],
            ),
            Malformed::Operator,
        ),
        // Too few or too many arguments, or not about an object of the receiver.
        (about(4, []), Malformed::Arguments("GETATTR")),
        (
            about(4, [&attribute, &attribute]),
            Malformed::Arguments("GETATTR"),
        ),
        (about(7, [&empty]), Malformed::Arguments("CALL")),
        (
            request(&int(9), &value(&tuple([NONE]))),
            Malformed::Arguments("REPR"),
        ),
        (
            request(&int(9), &boxed(2, &tuple([&boxed(4, &id())]))),
            Malformed::Arguments("REPR"),
        ),
        (
            request(&int(3), &value(&tuple([NONE]))),
            Malformed::Arguments("GETROOT"),
        ),
        (
            request(&int(3), &value(NONE)),
            Malformed::Arguments("GETROOT"),
        ),
        (
            about(7, [&value(NONE), &empty]),
            Malformed::Arguments("CALL"),
        ),
        (
            about(14, [&value(&text("4"))]),
            Malformed::Arguments("PICKLE"),
        ),
        // Keyword arguments.
        (about(7, [&empty, &none]), Malformed::Keyword),
        (
            about(7, [&empty, &value(&tuple([&tuple([b"\x0ak", NONE])]))]),
            Malformed::Keyword,
        ),
        (about(7, [&empty, &value(&twice)]), Malformed::Keyword),
        // Plain data in labels of its own.
        (
            reply(&boxed(2, &tuple([&none, &none]))),
            Malformed::PlainTuple,
        ),
        (reply(&boxed(2, EMPTY)), Malformed::PlainTuple),
        (request(&int(3), &boxed(2, EMPTY)), Malformed::PlainTuple),
        // After the message.
        (
            [reply(&none), vec![0]].concat(),
            Malformed::Brine(brine::Refused::Trailing),
        ),
        (
            reply(&none)[..4].to_vec(),
            Malformed::Brine(brine::Refused::Truncated),
        ),
        (b"\x12\x54\x50\x11\x51\x00".to_vec(), Malformed::Head),
        (b"\x04\x11\x50\x11\x51\x00".to_vec(), Malformed::Head),
        (vec![], Malformed::Head),
    ] {
        assert_eq!(read(&payload).err(), Some(refused), "{payload:?}");
    }
}

#[test]
fn older_rpycs_are_known_by_their_references() {
    let old = tuple([&int(140_000), &text("Parm"), &text("hou")]);
    for payload in [
        reply(&boxed(4, &old)),
        reply(&boxed(3, &int(140_000))),
        about(7, [&boxed(2, &tuple([&boxed(3, &int(1))])), &value(EMPTY)]),
        // What a 4.0 client asks a 4.1 server about.
        request(&int(16), &value(&tuple([&int(140_000)]))),
        reply(&boxed(3, &text("hou.Parm"))),
    ] {
        let error = read(&payload).err();
        assert_eq!(error, Some(Malformed::OldFamily), "{payload:?}");
    }
    assert!(Malformed::OldFamily.to_string().contains("hint: install"));
}

#[test]
fn exceptions_are_read_strictly() {
    let class = tuple([&text("builtins"), &text("KeyError")]);
    let raised = |args: &[u8], attributes: &[u8]| {
        exception(&tuple([&class, args, attributes, &text("Traceback ...")]))
    };
    let attribute = |name: &[u8]| tuple([&tuple([name, NONE])]);
    let fine = raised(
        &tuple([&text("x"), b"\x0ab"]),
        &attribute(&text("_remote_version")),
    );
    assert_eq!(name_of(&fine), "EXCEPTION");
    let Ok(Message {
        body:
            Body::Exception(Raised::Exception {
                module,
                class: name,
                ..
            }),
        ..
    }) = read(&fine)
    else {
        panic!()
    };
    assert_eq!((module, name), ("builtins", "KeyError"));
    assert_eq!(name_of(&exception(&int(1))), "EXCEPTION");
    for name in ["errno", "filename", "add_note"] {
        assert_eq!(
            name_of(&raised(EMPTY, &attribute(&text(name)))),
            "EXCEPTION"
        );
    }
    for (payload, refused) in [
        // `1.0 == True == 1`, to Python.
        (
            exception(&Value::Float(1.0).to_bytes()),
            Malformed::Exception,
        ),
        (exception(b"\x03"), Malformed::Exception),
        (exception(&int(2)), Malformed::Exception),
        (exception(&text("a string exception")), Malformed::Exception),
        (exception(&tuple([&class])), Malformed::Exception),
        (raised(NONE, EMPTY), Malformed::Exception),
        (raised(EMPTY, &tuple([NONE])), Malformed::Exception),
        (raised(EMPTY, &attribute(b"\x0ab")), Malformed::Exception),
        (
            raised(EMPTY, &attribute(&text("__class__"))),
            Malformed::ExceptionAttribute,
        ),
        (
            raised(EMPTY, &attribute(&text("_remote_tb"))),
            Malformed::ExceptionAttribute,
        ),
    ] {
        assert_eq!(read(&payload).err(), Some(refused), "{payload:?}");
    }
}

#[test]
fn references_are_given_in_their_order_with_their_owner() {
    let mixed = boxed(2, &tuple([&value(NONE), &local(), &boxed(4, &id())]));
    let payload = about(7, [&mixed, &value(EMPTY)]);
    let mut owners = Vec::new();
    read(&payload).unwrap().references(|owner, id| {
        assert_eq!(
            (id.name, id.type_id, id.object_id),
            ("hou.Parm", 94_000, 140_000)
        );
        owners.push(owner);
    });
    assert_eq!(owners, [Owner::Receiver, Owner::Receiver, Owner::Sender]);
}
