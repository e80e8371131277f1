//! Lines that were changed, cut out, put in, and files that are missing.

use super::*;

#[test]
fn what_the_guard_wrote_is_whole() {
    let written = Written::long();
    let verified = written.verify().unwrap();
    assert_eq!(verified.first, 1);
    assert_eq!(verified.lines, verified.last);
    assert_eq!(verified.files, written.files().len());
    assert_eq!(verified.checkpoint, Some(verified.last), "a stop signs");
    assert_eq!(verified.unsigned, 0);
    let head = written.head();
    let keys = [written.key.public().clone()];
    written
        .verify_with(&keys, std::slice::from_ref(&head))
        .unwrap();
    // It also holds for a head of the past, and after more was written.
    written.run(5, config());
    written.verify_with(&keys, &[head]).unwrap();
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let written = Written::short();
    let path = &written.files()[0];
    let whole = fs::read(path).unwrap();
    // Each line, at several places: in the record, in its number, in its hash, at its end.
    let mut starts = vec![0];
    starts.extend(
        (0..whole.len() - 1)
            .filter(|at| whole[*at] == b'\n')
            .map(|at| at + 1),
    );
    let last = starts.len() - 1;
    for (number, start) in starts.iter().enumerate() {
        let length = whole[*start..]
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap();
        for place in [1, length / 2, length - 80, length - 70, length - 2, length] {
            let mut changed = whole.clone();
            changed[start + place] ^= 1;
            fs::write(path, &changed).unwrap();
            match written.verify() {
                Err(broken) => assert_eq!(broken.line, number as u64 + 1, "{broken:?}"),
                // Without its line end, the last line may be one that is being written.
                Ok(verified) => {
                    assert!(number == last && place == length, "{number} {place}");
                    assert!(verified.torn_bytes > 0);
                }
            }
        }
    }
}

#[test]
fn a_line_cut_out_of_the_middle_is_found() {
    let written = Written::long();
    let middle = written.files()[1].clone();
    written.change(&middle, |lines| drop(lines.remove(4)));
    let broken = written.assert_broken("missing-lines");
    assert_eq!((broken.file, broken.line), (middle, 5));
}

#[test]
fn lines_that_were_swapped_are_found() {
    let written = Written::short();
    written.change(&written.files()[0], |lines| lines.swap(4, 5));
    assert_eq!(written.assert_broken("out-of-order").line, 5);
}

#[test]
fn a_line_that_is_there_twice_is_found() {
    let written = Written::short();
    written.change(&written.files()[0], |lines| {
        lines.insert(5, lines[4].clone())
    });
    assert_eq!(written.assert_broken("duplicate").line, 6);
    let other = Written::short();
    other.change(&other.files()[0], |lines| lines.push(lines[4].clone()));
    other.assert_broken("out-of-order");
}

#[test]
fn a_line_that_was_put_in_is_found() {
    for text in ["", "{}", "hello", r#"{"event":"resumed"}"#] {
        let written = Written::short();
        written.change(&written.files()[0], |lines| lines.insert(3, text.into()));
        assert_eq!(written.assert_broken("edited").line, 4);
    }
}

#[test]
fn a_file_that_is_missing_is_found() {
    let middle = Written::long();
    fs::remove_file(&middle.files()[1]).unwrap();
    let broken = middle.assert_broken("missing-file");
    assert_eq!(broken.file, middle.files()[1]);
    let newest = Written::long();
    fs::remove_file(newest.files().last().unwrap()).unwrap();
    newest.assert_broken("missing-newest-file");
    let oldest = Written::long();
    fs::remove_file(&oldest.files()[0]).unwrap();
    oldest.assert_broken("missing-oldest-file");
}

#[test]
fn a_tail_that_was_cut_is_found_with_a_head_that_was_kept() {
    let written = Written::short();
    let kept = written.head();
    written.change(&written.files()[0], |lines| lines.truncate(12));
    written.verify().unwrap();
    let keys = [written.key.public().clone()];
    let broken = written
        .verify_with(&keys, std::slice::from_ref(&kept))
        .unwrap_err();
    assert_eq!(broken.reason, "cut-tail");
    // Also when the guard has gone on from there since.
    written.run(60, roomy());
    let broken = written
        .verify_with(&keys, std::slice::from_ref(&kept))
        .unwrap_err();
    assert_eq!(broken.reason, "other-head");
    // And when it was not said of which log it is.
    let anyones = Expected { log: None, ..kept };
    let verified = written
        .verify_with(&keys, std::slice::from_ref(&anyones))
        .unwrap();
    let all = |expected| {
        all_met(
            written.folder.path(),
            std::slice::from_ref(&verified),
            expected,
        )
    };
    assert_eq!(all(&[anyones]).unwrap_err().reason, "other-head");
    let present: Expected = format!("{}:{}", verified.last, verified.head)
        .parse()
        .unwrap();
    let verified = written
        .verify_with(&keys, std::slice::from_ref(&present))
        .unwrap();
    all_met(written.folder.path(), &[verified], &[present]).unwrap();
}

#[test]
fn a_file_without_a_chain_is_named() {
    let written = Written::short();
    let path = written
        .folder
        .path()
        .join("connections-20200101T000000-000.jsonl");
    fs::write(&path, "{\"event\":\"started\"}\n").unwrap();
    assert_eq!(written.assert_broken("edited").file, path);
}

#[test]
fn an_expected_head_is_read_in_both_forms_only() {
    let hash = "ab".repeat(32);
    let head: Expected = format!("7:{hash}").parse().unwrap();
    assert_eq!((head.log, head.head.seq), (None, 7));
    let head: Expected = format!("calls:7:{hash}").parse().unwrap();
    assert_eq!(head.log, Some("calls"));
    for bad in [
        "",
        "7",
        &hash,
        &format!("files:7:{hash}"),
        &format!("x:{hash}"),
        "7:abc",
    ] {
        assert!(bad.parse::<Expected>().is_err(), "{bad}");
    }
}
