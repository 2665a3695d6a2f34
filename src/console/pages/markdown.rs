//! The pages that `civilhub adapter docs` writes, as parts: headings, paragraphs and tables are all they have.

use super::super::view::{Cell, Page, Part, Table};

/// A page from its text.
pub(super) fn page(text: &str) -> Page {
    let mut page = Page::new("");
    let (mut caption, mut table) = (String::new(), Table::default());
    for line in text.lines().chain([""]) {
        if let Some(row) = line.strip_prefix('|') {
            add(&mut table, row.trim_end_matches('|'), &caption);
            continue;
        }
        if !table.heads.is_empty() {
            page = page.with(Part::Table(std::mem::take(&mut table)));
        }
        if let Some(title) = line.strip_prefix("# ") {
            page.title = plain(title);
        } else if let Some(title) = line.strip_prefix("## ") {
            caption = plain(title);
        } else if !line.is_empty() && !line.starts_with("Made by") {
            page = page.note("", plain(line));
        }
    }
    page
}

fn add(table: &mut Table, row: &str, caption: &str) {
    let cells: Vec<String> =
        row.replace("\\|", "\u{1}").split('|').map(|cell| cell.replace('\u{1}', "|").trim().to_owned()).collect();
    if table.heads.is_empty() {
        *table = Table { caption: caption.to_owned(), heads: cells, rows: Vec::new() };
    } else if !cells.iter().all(|cell| cell.chars().all(|c| c == '-')) || cells.iter().all(String::is_empty) {
        table.rows.push(cells.iter().map(|cell| self::cell(cell)).collect());
    }
}

/// A link to a page of an adapter stays one.
fn cell(text: &str) -> Cell {
    let link = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(".md)")?.split_once("]("));
    match link.filter(|(_, slug)| !slug.contains(['[', '(', '/'])) {
        Some((name, slug)) => Cell::link(plain(name), format!("/console/adapters/{slug}")),
        None => plain(text).into(),
    }
}

/// Without marks; of links only their names.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        out.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.replace(['`', '['], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tables_and_paragraphs_come_out() {
        let text = "# 殡葬 (`funeral`)\n\nMade by x.\n\nOwner: y.\n\n## hh\n\n| a | b |\n|---|---|\n| [`x`](x.md) | [`x`](x.md), [`y`](y.md) |\n| p \\| q | - |\n\nThe end.\n";
        let page = page(text);
        assert_eq!(page.title, "殡葬 (funeral)");
        let [Part::Note { text: owner, .. }, Part::Table(table), Part::Note { text: end, .. }] = page.parts.as_slice() else {
            panic!()
        };
        assert_eq!((owner.as_str(), end.as_str(), table.caption.as_str()), ("Owner: y.", "The end.", "hh"));
        assert_eq!(table.heads, ["a", "b"]);
        let cells: Vec<(&str, &str)> = table.rows.iter().flatten().map(|cell| (cell.text.as_str(), cell.href.as_str())).collect();
        assert_eq!(cells, [("x", "/console/adapters/x"), ("x, y", ""), ("p | q", ""), ("-", "")]);
    }
}
