//! A page of the documentation: its code blocks, links, headings and code in sentences.

use std::path::{Path, PathBuf};

/// One page.
pub(crate) struct Page {
    /// The path from the root of the project.
    pub(crate) path: String,
    pub(crate) blocks: Vec<Block>,
    /// What stands between backticks, with its line.
    pub(crate) mentions: Vec<(usize, String)>,
    /// Targets of links, with their line.
    pub(crate) links: Vec<(usize, String)>,
    /// What a link can name after `#`.
    pub(crate) anchors: Vec<String>,
}

/// A code block.
pub(crate) struct Block {
    /// The first line of the code, counted from 1.
    pub(crate) line: usize,
    /// The first word behind the fence; `None` for an indented block.
    pub(crate) language: Option<String>,
    pub(crate) lines: Vec<String>,
}

impl Block {
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The root of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All pages that users read.
pub(crate) fn all() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned()];
    for folder in ["docs", "deploy"] {
        paths.extend(markdown_in(folder));
    }
    paths
        .iter()
        .map(|path| Page::new(path, &read(path)))
        .collect()
}

fn markdown_in(folder: &str) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    found.sort();
    found
}

impl Page {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut page = Self {
            path: path.into(),
            blocks: Vec::new(),
            mentions: Vec::new(),
            links: Vec::new(),
            anchors: Vec::new(),
        };
        let mut fence: Option<usize> = None;
        let mut after_blank = true;
        let mut in_list = false;
        let mut paragraph = (1, String::new());
        for (number, line) in (1..).zip(text.lines()) {
            let trimmed = line.trim_start();
            if trimmed.is_empty() || trimmed.starts_with("```") {
                let (start, text) = std::mem::take(&mut paragraph);
                page.paragraph(start, &text);
            }
            if let Some(indent) = fence {
                if trimmed.starts_with("```") {
                    fence = None;
                } else {
                    let block = page.blocks.last_mut().unwrap();
                    let cut = indent.min(line.len() - trimmed.len());
                    block.lines.push(line[cut..].into());
                }
            } else if let Some(info) = trimmed.strip_prefix("```") {
                fence = Some(line.len() - trimmed.len());
                let language = info.split_whitespace().next().unwrap_or_default();
                page.begin(number + 1, Some(language.into()));
            } else if line.starts_with("    ") && after_blank && !in_list {
                if !page.continues(number) {
                    page.begin(number, None);
                }
                let block = page.blocks.last_mut().unwrap();
                block.lines.push(line[4..].into());
                continue;
            } else if !trimmed.is_empty() {
                if !line.starts_with(' ') {
                    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
                    in_list = line.starts_with("- ")
                        || line.starts_with("* ")
                        || numbered.len() < line.len() && numbered.starts_with(". ");
                }
                page.sentence(number, line);
                if paragraph.1.is_empty() {
                    paragraph.0 = number;
                }
                paragraph.1 += trimmed;
                paragraph.1.push(' ');
            }
            after_blank = trimmed.is_empty();
        }
        page.paragraph(paragraph.0, &paragraph.1);
        assert!(fence.is_none(), "{path}: a code block has no end");
        page
    }

    fn begin(&mut self, line: usize, language: Option<String>) {
        self.blocks.push(Block {
            line,
            language,
            lines: Vec::new(),
        });
    }

    /// Does this line follow the last line of an indented block?
    fn continues(&self, number: usize) -> bool {
        self.blocks
            .last()
            .is_some_and(|b| b.language.is_none() && b.line + b.lines.len() == number)
    }

    fn sentence(&mut self, number: usize, line: &str) {
        if let Some(heading) = line.strip_prefix('#') {
            self.anchors.push(anchor(heading.trim_start_matches('#')));
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            self.links.push((number, target.into()));
        }
    }

    /// Keeps what stands between backticks in a paragraph, which may go over the end of a line.
    fn paragraph(&mut self, number: usize, text: &str) {
        let code = text.split('`').skip(1).step_by(2);
        self.mentions
            .extend(code.map(|code| (number, code.trim().to_owned())));
    }

    /// The page and the anchor that a link of this page leads to, when it stays here.
    pub(crate) fn target(&self, link: &str) -> Option<(String, Option<String>)> {
        if link.contains("://") {
            return None;
        }
        let (file, anchor) = match link.split_once('#') {
            Some((file, anchor)) => (file, Some(anchor.to_owned())),
            None => (link, None),
        };
        if file.is_empty() {
            return Some((self.path.clone(), anchor));
        }
        let mut path = PathBuf::new();
        for part in Path::new(&self.path)
            .parent()
            .unwrap()
            .join(file)
            .components()
        {
            match part {
                std::path::Component::ParentDir => assert!(path.pop(), "{link}"),
                part => path.push(part),
            }
        }
        Some((path.to_str().unwrap().into(), anchor))
    }
}

/// How a heading is named in links.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text = heading.trim().to_lowercase();
    text.chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn blocks_links_and_headings_are_found() {
    let page = Page::new(
        "docs/a.md",
        "# What `x` is, *really*\n\nSee [b](../b.md#c) and `cargo demo`.\n\n    one\n    two\n\n\
         - an item\n\n      of a list\n\n```console\n$ three\n```\n",
    );
    let blocks: Vec<_> = page.blocks.iter().map(|b| (b.line, b.text())).collect();
    assert_eq!(
        blocks,
        [(5, "one\ntwo\n".to_owned()), (13, "$ three\n".to_owned())]
    );
    assert_eq!(page.anchors, ["what-x-is-really"]);
    assert_eq!(page.links, [(3, "../b.md#c".to_owned())]);
    let target = page.target("../b.md#c").unwrap();
    assert_eq!(target, ("b.md".into(), Some("c".into())));
    assert_eq!(page.mentions[1], (3, "cargo demo".to_owned()));
}
