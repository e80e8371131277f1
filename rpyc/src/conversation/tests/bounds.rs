//! Nothing grows without an end.

use super::*;
use crate::conversation::bounds::NAME_MAX;

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
    let long = "x".repeat(NAME_MAX + 1);
    let long = talk.answer(0, own(&long, 1));
    assert_eq!(long, Err(Breach::LongName));
    let mut talk = Talk::within(limits);
    talk.root();
    let long = [theirs("service", 1), text(&"x".repeat(NAME_MAX + 1))];
    let asked = talk.ask_as(Side::Client, 9, GETATTR, &long);
    assert_eq!(asked, Err(Breach::LongName));
    let long = [theirs(&"x".repeat(NAME_MAX + 1), 5)];
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
