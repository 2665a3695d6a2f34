//! Places in `adapter.toml`, and faults of the loader turned into findings.

use std::{ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use super::{File, Finding};
use crate::error::Fault;

/// A step to a place: a key, or the item of a list of tables.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// Bytes of the key at the end of `steps`; of the last step that is there, if not all are.
pub(super) fn key_span(text: &str, steps: &[Step<'_>]) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?.into_inner();
    let mut found = None;
    let mut value = DeValue::Table(root);
    for step in steps {
        value = match (step, value) {
            (Step::Key(name), DeValue::Table(table)) => {
                let Some((key, inner)) = table.into_iter().find(|(key, _)| key.get_ref() == name) else { break };
                found = Some(key.span());
                inner.into_inner()
            }
            (Step::Item(place), DeValue::Array(items)) => {
                let Some(item) = items.into_iter().nth(*place) else { break };
                // A table that is written over many lines is shown by the key before it.
                if !matches!(item.get_ref(), DeValue::Table(_)) {
                    found = Some(item.span());
                }
                item.into_inner()
            }
            _ => break,
        };
    }
    found
}

/// A fault of the loader at its line; the caret stands under the first name that the message quotes.
pub(super) fn place_fault(fault: Fault) -> Finding {
    let name = fault.place.file.clone().unwrap_or_default();
    let file = File::read(Path::new(&name));
    let Some(line) = fault.place.row else { return Finding { span: None, file, fault } };
    let start = line_start(&file.text, line);
    let shown = file.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let column = fault.place.column.as_deref().and_then(|column| column.parse::<usize>().ok());
    let named = fault.message.split('`').nth(1).and_then(|name| Some((shown.find(name)?, name.len())));
    let at = |column: usize| (shown.char_indices().nth(column.saturating_sub(1)).map_or(0, |(byte, _)| byte), 1);
    let (offset, length) = column.map(at).or(named).unwrap_or_else(|| (0, shown.len().max(1)));
    let length = named.filter(|(byte, _)| *byte == offset).map_or(length, |(_, length)| length);
    let end = (start + offset + length).min(file.text.len());
    let span = (start + offset).min(end)..end;
    Finding { fault, span: Some(span), file }
}

fn line_start(text: &str, line: u64) -> usize {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    let before = usize::try_from(line.saturating_sub(2)).unwrap_or(usize::MAX);
    if line <= 1 { 0 } else { ends.into_iter().nth(before).unwrap_or(text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_steps() {
        let text = "[system]\nslug = \"a\"\n[[object]]\nname = \"A\"\n[[object]]\nname = \"B\"\ndatasets = [\"x\", \"yy\"]\n";
        let steps = [Step::Key("object"), Step::Item(1), Step::Key("datasets"), Step::Item(1)];
        assert_eq!(&text[key_span(text, &steps).unwrap()], "\"yy\"");
        let steps = [Step::Key("object"), Step::Item(1), Step::Key("name"), Step::Key("further")];
        assert_eq!(key_span(text, &steps).unwrap(), 53..57);
        assert_eq!(key_span(text, &[Step::Key("none")]), None);
        assert_eq!((line_start(text, 1), line_start(text, 2)), (0, 9));
    }
}
