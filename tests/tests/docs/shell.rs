//! As much of a shell's grammar as the documentation uses: words, quotes, comments, pipes.

/// The simple commands of a line, each as its words. Assignments before a command, and where
/// it reads and writes, are left out.
///
/// # Errors
/// For what is not understood here, so that nothing goes unchecked.
pub(crate) fn commands(line: &str) -> Result<Vec<Vec<String>>, String> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut file_follows = false;
    let mut chars = line.chars().peekable();
    let end_word = |word: &mut Option<String>, all: &mut Vec<Vec<String>>, file: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(file)
        {
            all.last_mut().unwrap().push(word);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            ' ' => end_word(&mut word, &mut all, &mut file_follows),
            '#' if word.is_none() => break,
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err("a quotation mark is not closed".into()),
                        Some('\'') => break,
                        Some(c) => text.push(c),
                    }
                }
            }
            '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err("a quotation mark is not closed".into()),
                        Some('"') => break,
                        Some('$' | '`' | '\\') => return Err("expansion in quotes".into()),
                        Some(c) => text.push(c),
                    }
                }
            }
            '\\' => word
                .get_or_insert_default()
                .push(chars.next().ok_or("a line that goes on in the next")?),
            '|' | ';' | '&' => {
                end_word(&mut word, &mut all, &mut file_follows);
                chars.next_if_eq(&c);
                all.push(Vec::new());
            }
            '>' | '<' => {
                // The number of a file before it is no word.
                if word.as_deref().is_none_or(|w| w.parse::<u8>().is_err()) {
                    end_word(&mut word, &mut all, &mut file_follows);
                }
                word = None;
                chars.next_if_eq(&'>');
                if chars.next_if_eq(&'<').is_some() {
                    return Err("a text given in place".into());
                }
                if chars.next_if_eq(&'&').is_some() {
                    chars.next();
                } else {
                    file_follows = true;
                }
            }
            '`' | '(' | ')' => return Err(format!("{c:?} is not understood here")),
            c => word.get_or_insert_default().push(c),
        }
    }
    end_word(&mut word, &mut all, &mut file_follows);
    for command in &mut all {
        let assignments = command.iter().take_while(|word| is_assignment(word));
        let count = assignments.count();
        command.drain(..count);
    }
    all.retain(|command| !command.is_empty());
    Ok(all)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

#[test]
fn words_are_told_as_a_shell_tells_them() {
    let words = |line: &str| commands(line).unwrap();
    assert_eq!(words("a --b 'c d'   # e"), [["a", "--b", "c d"]]);
    assert_eq!(words("A=1 a | b > c && d 2>&1"), [["a"], ["b"], ["d"]]);
    assert_eq!(words("a b=\"c d\"#e"), [["a", "b=c d#e"]]);
    for wrong in ["a 'b", "a $(b)", "a << b", "a \"$b\""] {
        assert!(commands(wrong).is_err(), "{wrong}");
    }
}
