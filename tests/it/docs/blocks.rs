//! Fenced blocks of a document, each with the line on which it stands.

/// A fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// File and line of its first line, for whoever has to correct it.
    pub place: String,
    /// What stands behind the opening fence.
    pub info: String,
    /// What is between the fences.
    pub text: String,
}

impl Block {
    /// Whether it is of this language: the first word behind the fence.
    pub fn is(&self, language: &str) -> bool {
        self.info.split(' ').next() == Some(language)
    }
}

/// The text of a document of `docs/`.
pub fn document(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// Every fenced block of a document, in its order.
pub fn blocks(name: &str) -> Vec<Block> {
    read(name, &document(name))
}

fn read(name: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let place = format!("docs/{name}:{}", at + 1);
                open = Some(Block { place, info: info.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "docs/{name}: a block that does not end: {open:?}");
    found
}

/// The one block with this word in its info string.
pub fn block(name: &str, info: &str) -> Block {
    let found: Vec<Block> = blocks(name).into_iter().filter(|block| block.info == info).collect();
    assert_eq!(found.len(), 1, "docs/{name}: blocks of {info:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn blocks_know_their_lines() {
    let found = read("x.md", "one\n```json 200\n{}\n```\n\n```\nplain\n```\n");
    let seen: Vec<(&str, &str, &str)> =
        found.iter().map(|block| (block.place.as_str(), block.info.as_str(), block.text.as_str())).collect();
    assert_eq!(seen, [("docs/x.md:2", "json 200", "{}\n"), ("docs/x.md:6", "", "plain\n")]);
    assert!(found[0].is("json") && !found[0].is("200"));
}
