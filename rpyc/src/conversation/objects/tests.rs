use super::*;

fn id(name: &str, object_id: u64) -> ObjectId<'_> {
    ObjectId {
        name,
        type_id: 10,
        object_id,
    }
}

fn origin(text: &str) -> Origin {
    Origin {
        how: How::Result,
        text: Arc::from(text),
        index: None,
        own_name: None,
        member: None,
    }
}

fn arrive(objects: &mut Objects, object_id: u64, text: &str) -> Slot {
    let id = id("hou.Parm", object_id);
    let origin = origin(text);
    objects
        .arrive(&id, || Arc::from(id.name), || origin)
        .unwrap()
}

fn text(objects: &Objects, object_id: u64) -> Option<&str> {
    let slot = objects.find(&id("hou.Parm", object_id))?;
    Some(&objects.get(slot)?.origin.text)
}

#[test]
fn an_object_lives_until_as_many_references_are_dropped_as_were_sent() {
    let mut objects = Objects::new(10);
    let slot = arrive(&mut objects, 1, "first");
    assert_eq!(arrive(&mut objects, 1, "again"), slot);
    assert!(!objects.begin_drop(slot, 1).unwrap());
    objects.end_drop(slot, 1, true);
    assert_eq!(text(&objects, 1), Some("first"));
    assert!(objects.begin_drop(slot, 1).unwrap());
    assert_eq!(text(&objects, 1), None);
    objects.end_drop(slot, 1, true);
    assert_eq!((objects.len(), objects.text_bytes), (0, 0));
}

#[test]
fn a_refused_drop_leaves_the_object() {
    let mut objects = Objects::new(10);
    let slot = arrive(&mut objects, 1, "first");
    objects.begin_drop(slot, 1).unwrap();
    objects.end_drop(slot, 1, false);
    assert_eq!(text(&objects, 1), Some("first"));
}

#[test]
fn nobody_drops_more_than_was_sent() {
    let mut objects = Objects::new(10);
    let slot = arrive(&mut objects, 1, "first");
    assert!(objects.begin_drop(slot, 2).is_err());
    assert!(objects.begin_drop(slot, u64::MAX).is_err());
    objects.begin_drop(slot, 1).unwrap();
    assert!(objects.begin_drop(slot, 1).is_err());
}

#[test]
fn a_new_object_under_an_old_id_has_a_new_origin() {
    let mut objects = Objects::new(10);
    let slot = arrive(&mut objects, 1, "old");
    objects.begin_drop(slot, 1).unwrap();
    objects.end_drop(slot, 1, true);
    arrive(&mut objects, 1, "new");
    assert_eq!(text(&objects, 1), Some("new"));
}

#[test]
fn what_may_be_the_old_object_has_the_new_origin() {
    let mut objects = Objects::new(10);
    let slot = arrive(&mut objects, 1, "old");
    objects.begin_drop(slot, 1).unwrap();
    arrive(&mut objects, 1, "new");
    assert_eq!(text(&objects, 1), Some("new"));
    objects.end_drop(slot, 1, true);
    assert_eq!(text(&objects, 1), Some("new"));
}

#[test]
fn an_object_that_is_named_is_kept_but_not_found() {
    let mut objects = Objects::new(10);
    let slot = arrive(&mut objects, 1, "old");
    objects.name(slot);
    objects.begin_drop(slot, 1).unwrap();
    objects.end_drop(slot, 1, true);
    assert_eq!((text(&objects, 1), objects.len()), (None, 1));
    // Nothing is left of the old one but its slot.
    arrive(&mut objects, 1, "new");
    objects.unname(slot);
    assert_eq!(text(&objects, 1), Some("new"));
}

#[test]
fn the_name_is_a_part_of_the_id() {
    let mut objects = Objects::new(10);
    let names = ["a.A", "b.B", "c.C"];
    let slots = names.map(|name| {
        objects
            .arrive(&id(name, 1), || Arc::from(name), || origin(name))
            .unwrap()
    });
    for remove in [1, 0, 2] {
        assert_eq!(objects.find(&id(names[remove], 1)), Some(slots[remove]));
        objects.begin_drop(slots[remove], 1).unwrap();
        objects.end_drop(slots[remove], 1, true);
        assert_eq!(objects.find(&id(names[remove], 1)), None);
    }
    assert!(objects.by_id.is_empty());
    assert_eq!(objects.find(&id("d.D", 1)), None);
}

#[test]
fn two_ids_do_not_go_by_any_number_of_names() {
    let mut objects = Objects::new(1000);
    let mut named = |number| {
        let name = format!("a.A{number}");
        objects.arrive(&id(&name, 1), || Arc::from(&*name), || origin(&name))
    };
    let first = named(0).unwrap();
    for number in 1..NAMES_MAX {
        named(number).unwrap();
    }
    // A search would go through all of them.
    assert_eq!(named(NAMES_MAX), Err(Full::Names));
    // Those that are known may come again, and one that goes makes room.
    assert_eq!(named(0).unwrap(), first);
    objects.begin_drop(first, 2).unwrap();
    objects.end_drop(first, 2, true);
    let name = "a.another";
    let arrived = objects.arrive(&id(name, 1), || Arc::from(name), || origin(name));
    assert!(arrived.is_ok());
}

#[test]
fn the_table_has_an_end_and_its_room_is_used_again() {
    let mut objects = Objects::new(2);
    let slot = arrive(&mut objects, 1, "one");
    arrive(&mut objects, 2, "two");
    let third = id("hou.Parm", 3);
    let arrived = objects.arrive(&third, || Arc::from("hou.Parm"), || origin("three"));
    assert_eq!(arrived.unwrap_err(), Full::Objects);
    assert_eq!(arrive(&mut objects, 2, "two"), 1);
    objects.begin_drop(slot, 1).unwrap();
    objects.end_drop(slot, 1, true);
    assert_eq!(arrive(&mut objects, 3, "three"), slot);
}

#[test]
fn room_is_given_back_after_a_rush() {
    let mut objects = Objects::new(100_000);
    for object_id in 0..50_000 {
        arrive(&mut objects, object_id, "point");
    }
    for object_id in 3..50_000 {
        let slot = objects.find(&id("hou.Parm", object_id)).unwrap();
        objects.begin_drop(slot, 1).unwrap();
        objects.end_drop(slot, 1, true);
    }
    let room = [
        objects.slots.capacity(),
        objects.free.capacity(),
        objects.by_id.capacity(),
    ];
    assert!(room.iter().all(|room| *room <= ROOM_KEPT), "{room:?}");
    // What is left is still found, and places are used again.
    assert!((0..3).all(|object_id| text(&objects, object_id).is_some()));
    let slots: Vec<Slot> = (100..110)
        .map(|object_id| arrive(&mut objects, object_id, "again"))
        .collect();
    assert_eq!(objects.len(), 13);
    assert!(slots.iter().all(|slot| *slot < 20), "{slots:?}");
}
