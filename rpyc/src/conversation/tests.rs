use super::*;
use crate::brine::{self, Int, Value, put_tuple};

/// Messages are made of these.
fn int(value: u64) -> Vec<u8> {
    Value::Int(Int::Small(value as i64)).to_bytes()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_tuple(&mut out, items.len());
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

fn boxed(label: u64, value: Vec<u8>) -> Vec<u8> {
    tuple(&[int(label), value])
}

fn plain(value: &Value<'_>) -> Vec<u8> {
    boxed(1, value.to_bytes())
}

fn text(text: &str) -> Vec<u8> {
    plain(&Value::Str(text))
}

fn none() -> Vec<u8> {
    plain(&Value::None)
}

fn empty() -> Vec<u8> {
    plain(&Value::Tuple(vec![]))
}

/// One number for each class.
fn type_id(name: &str) -> u64 {
    name.bytes()
        .fold(1000, |id, byte| (id * 7 + u64::from(byte)) % (1 << 40))
}

fn id(name: &str, object: u64) -> Vec<u8> {
    tuple(&[Value::Str(name).to_bytes(), int(type_id(name)), int(object)])
}

fn theirs(name: &str, object: u64) -> Vec<u8> {
    boxed(3, id(name, object))
}

fn own(name: &str, object: u64) -> Vec<u8> {
    boxed(4, id(name, object))
}

fn of(name: &str, object_id: u64) -> ObjectId<'_> {
    ObjectId {
        name,
        type_id: type_id(name),
        object_id,
    }
}

/// A client and a server that say what they are told to, and what is made of it.
struct Talk {
    conversation: Conversation,
    next: u64,
}

impl Talk {
    fn new() -> Self {
        Self::within(Limits::NARROW)
    }

    fn within(limits: Limits) -> Self {
        Self {
            conversation: Conversation::new(limits),
            next: 0,
        }
    }

    fn say(&mut self, from: Side, payload: &[u8]) -> Result<Said, Breach> {
        let message = Message::read(payload, brine::Limits::NARROW).unwrap();
        match self.conversation.see(from, &message, payload.len())? {
            Step::Asked(asked) => Ok(Said::Asked {
                expression: asked.expression().to_owned(),
                unknown: asked.unknown(),
                drops: asked.drops(),
            }),
            Step::Answered(answered) => Ok(Said::Answered(answered)),
        }
    }

    fn ask_as(
        &mut self,
        from: Side,
        seq: u64,
        handler: u64,
        args: &[Vec<u8>],
    ) -> Result<Said, Breach> {
        self.say(from, &request(seq, handler, args))
    }

    /// Asks as the client; gives the number.
    fn ask(&mut self, handler: u64, args: &[Vec<u8>]) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.ask_as(Side::Client, seq, handler, args).unwrap();
        seq
    }

    fn answer(&mut self, seq: u64, result: Vec<u8>) -> Result<Said, Breach> {
        self.say(Side::Server, &tuple(&[int(2), int(seq), result]))
    }

    /// A whole call of the client; gives what it was.
    fn call(&mut self, handler: u64, args: &[Vec<u8>], result: Vec<u8>) -> Answered {
        let seq = self.ask(handler, args);
        self.answer(seq, result).unwrap().answered()
    }

    fn root(&mut self) {
        self.call(3, &[], own("service", 1));
    }

    /// `hou`, as object 2 by way of `getmodule`, object 3.
    fn hou(&mut self) {
        self.root();
        let getmodule = [theirs("service", 1), text("getmodule")];
        self.call(4, &getmodule, own("method", 3));
        let args = plain(&Value::Tuple(vec![Value::Str("hou")]));
        self.call(7, &[theirs("method", 3), args, empty()], own("module", 2));
    }

    /// The name of an object of the server.
    fn name(&self, class: &str, object: u64) -> Option<String> {
        let known = self.conversation.object(Side::Server, &of(class, object))?;
        Some(known.name())
    }
}

#[derive(Debug, PartialEq)]
enum Said {
    Asked {
        expression: String,
        unknown: usize,
        drops: Option<Dropped>,
    },
    Answered(Answered),
}

impl Said {
    fn answered(self) -> Answered {
        match self {
            Self::Answered(answered) => answered,
            Self::Asked { .. } => panic!("{self:?}"),
        }
    }

    fn unknown(&self) -> usize {
        match self {
            Self::Asked { unknown, .. } => *unknown,
            Self::Answered(answered) => answered.unknown,
        }
    }
}

fn request(seq: u64, handler: u64, args: &[Vec<u8>]) -> Vec<u8> {
    let args = match handler {
        3 => boxed(1, tuple(&[])),
        16 => boxed(1, tuple(args)),
        _ => boxed(2, tuple(args)),
    };
    tuple(&[int(1), int(seq), tuple(&[int(handler), args])])
}

const GETATTR: u64 = 4;
const CALL: u64 = 7;
const CALLATTR: u64 = 8;
const STR: u64 = 10;
const DEL: u64 = 15;
const INSPECT: u64 = 16;

fn drop_args(name: &str, object: u64, count: i64) -> Vec<Vec<u8>> {
    let count = plain(&Value::Int(Int::Small(count)));
    vec![theirs(name, object), count]
}

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
    let threads = [&[0; 7][..], &[9], &[0; 8], &request(1, 3, &[])].concat();
    assert_eq!(talk.say(Side::Server, &threads), Err(Breach::Dialect));
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
fn no_table_grows_beyond_its_limit() {
    let limits = Limits {
        objects: 3,
        open: 2,
        text: 1 << 20,
    };
    let mut talk = Talk::within(limits);
    talk.hou();
    let seq = talk.ask(STR, &[theirs("module", 2)]);
    let full = talk.answer(seq, own("x", 9));
    assert_eq!(full, Err(Breach::TooManyObjects));
    let outstanding = talk.conversation.outstanding(Side::Client);
    assert_eq!(outstanding, [Head::request(Family::Classic, seq, 10)]);
    let mut talk = Talk::within(limits);
    talk.hou();
    let args = boxed(2, tuple(&[1, 2, 3, 4].map(|object| own("f", object))));
    let passed = talk.ask_as(
        Side::Client,
        50,
        CALL,
        &[theirs("module", 2), args, empty()],
    );
    assert_eq!(passed, Err(Breach::TooManyObjects));
    let mut talk = Talk::within(limits);
    talk.ask(3, &[]);
    talk.ask(3, &[]);
    let seq = talk.next;
    let more = talk.ask_as(Side::Client, seq, 3, &[]);
    assert_eq!(more, Err(Breach::TooManyOpen));
    let long = "x".repeat(bounds::NAME_MAX + 1);
    let long = talk.answer(0, own(&long, 1));
    assert_eq!(long, Err(Breach::LongName));
    let mut talk = Talk::within(limits);
    talk.root();
    let long = [
        theirs("service", 1),
        text(&"x".repeat(bounds::NAME_MAX + 1)),
    ];
    let asked = talk.ask_as(Side::Client, 9, GETATTR, &long);
    assert_eq!(asked, Err(Breach::LongName));
    let long = [theirs(&"x".repeat(bounds::NAME_MAX + 1), 5)];
    let asked = talk.ask_as(Side::Client, 10, STR, &long);
    assert_eq!(asked, Err(Breach::LongName));
}

#[test]
fn names_are_bounded_and_their_room_is_given_back() {
    let mut talk = Talk::within(Limits {
        text: 20_000,
        ..Limits::NARROW
    });
    talk.hou();
    let before = talk.conversation.server.objects.text_bytes;
    // `x = x.next` without end.
    let mut at = ("module", 2);
    for object in 100..1000 {
        let args = [
            theirs(at.0, at.1),
            text("a_rather_long_name_of_an_attribute"),
        ];
        talk.call(GETATTR, &args, own("x", object));
        let shown = talk.name("x", object).unwrap();
        assert!(shown.len() <= super::text::SHOWN_MAX, "{}", shown.len());
        talk.call(DEL, &drop_args(at.0, at.1, 1), none());
        at = ("x", object);
    }
    talk.call(DEL, &drop_args("x", 999, 1), none());
    let hou = ["hou", "hou", "module"].concat().len();
    let now = talk.conversation.server.objects.text_bytes;
    assert_eq!(now, before - hou);
    assert_eq!(talk.conversation.held(Side::Server).0, 2);

    // A thousand objects of one answer share their text.
    let many: Vec<_> = (0..1000).map(|object| own("hou.Point", object)).collect();
    talk.call(STR, &[theirs("service", 1)], boxed(2, tuple(&many)));
    assert_eq!(talk.name("hou.Point", 999).unwrap(), "str(root)[999]");
    let shared = talk.conversation.server.objects.text_bytes;
    let class = "hou.Point".len();
    assert_eq!(shared, now + "str(root)".len() + 1000 * class);

    // One text each until there is no more room.
    let breach = (2000..).find_map(|object| {
        let name = format!("attribute_number_{object}");
        let args = [theirs("service", 1), text(&name)];
        let seq = talk.next;
        talk.next += 1;
        let asked = talk.ask_as(Side::Client, seq, GETATTR, &args);
        asked.and_then(|_| talk.answer(seq, own("y", object))).err()
    });
    assert_eq!(breach, Some(Breach::TooMuchText));
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
fn inspect_names_an_object_that_must_be_known() {
    let mut talk = Talk::new();
    talk.hou();
    let seq = talk.next;
    let known = talk.ask_as(Side::Client, seq, INSPECT, &[id("module", 2)]);
    assert_eq!(known.unwrap().unknown(), 0);
    let unknown = talk.ask_as(Side::Client, seq + 1, INSPECT, &[id("module", 77)]);
    assert_eq!(unknown.unwrap().unknown(), 1);
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
