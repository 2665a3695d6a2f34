//! Follows the walk-through of `docs/adapters.md` literally, block by block, in an empty folder.
//!
//! A block whose opening line has a path is a file; a block `console` has commands after `$ `, and below each what is printed,
//! as far as the page shows it. `# exit code 1` behind a command says how it ends; otherwise it ends well.

use std::fs;

use super::{room, run_in};

const TITLE: &str = "## A first record in a quarter of an hour";

/// Opening line and text of every block of the walk-through.
fn blocks(page: &str) -> Vec<(String, String)> {
    let start = page.find(TITLE).expect("the page has no walk-through any more") + TITLE.len();
    let part = page[start..].split("\n## ").next().unwrap();
    let mut blocks = Vec::new();
    let mut lines = part.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push((info.trim().to_owned(), text));
        }
    }
    blocks
}

#[test]
fn the_walk_through_leads_where_it_says() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/adapters.md")).unwrap();
    let dir = room(&[]);
    let (mut files, mut commands) = (0, 0);
    for (info, text) in blocks(&page) {
        if info == "console" {
            commands += follow(dir.path(), &text);
            continue;
        }
        let (_, path) = info.split_once(' ').unwrap_or_else(|| panic!("what is the block `{info}`?"));
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        files += 1;
    }
    assert!(files >= 3 && commands >= 8, "the walk-through has shrunk: {files} files, {commands} commands");
}

fn follow(dir: &std::path::Path, text: &str) -> usize {
    let mut count = 0;
    for part in text.split("$ ").skip(1) {
        let (command, shown) = part.split_once('\n').unwrap_or((part, ""));
        let (command, remark) = command.split_once(" #").unwrap_or((command, ""));
        let expected = if remark.contains("exit code 1") { 1 } else { 0 };
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "civilhub", "{command}");
        let (code, said) = run_in(dir, &words[1..]);
        assert_eq!(code, Some(expected), "{command}\n{said}");
        for line in shown.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "…") {
            // The end of a long line may be left out.
            let line = line.trim_end_matches('…').trim_end();
            assert!(said.contains(line), "{command} does not print\n{line}\nbut\n{said}");
        }
        count += 1;
    }
    count
}
