//! Errors of programs as faults: with file, line and column, and never with a value.
//!
//! Messages of VRL's own functions may quote the value they failed on, so a run-time fault shows the call as it stands
//! in the program and nothing of the message. The hub's functions keep theirs: they name only the expected form.

use vrl::{
    compiler::ExpressionError,
    diagnostic::{Diagnostic, DiagnosticList, Label, Note, Span},
};

use super::{PROGRAM_ABORTED, PROGRAM_FAILED, PROGRAM_INVALID, functions};
use crate::error::Fault;

/// Longest piece of a program that is shown in a fault.
const MAX_SNIPPET: usize = 100;

/// The text of a program, for the places of its errors.
#[derive(Debug, Clone)]
pub struct Source {
    file: String,
    text: String,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    /// Path of the program.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What the compiler said, one fault each.
    pub(super) fn compile_faults(&self, diagnostics: &DiagnosticList) -> Vec<Fault> {
        diagnostics.iter().map(|diagnostic| self.compile_fault(diagnostic)).collect()
    }

    fn compile_fault(&self, diagnostic: &Diagnostic) -> Fault {
        let message = one_line(&diagnostic.message);
        let mut fault = Fault::new(PROGRAM_INVALID, lower_first(&message)).in_file(self.file.as_str());
        let at = diagnostic
            .labels
            .iter()
            .find(|label| label.primary && label.span != Span::default())
            .or_else(|| diagnostic.labels.first());
        if let Some(label) = at {
            let (line, column) = self.line_column(label.span.start());
            fault = fault.at_row(line).at_column(column.to_string());
            if fault.message.starts_with("call to undefined") {
                let name = function_name(self.piece(label.span));
                fault.message = format!("{} `{name}`", fault.message);
                if functions::is_left_out(name) {
                    return fault
                        .hint("not available: the same row must always give the same record; see `%read_at` and `%today`");
                }
            }
        }
        let hint = hints(diagnostic);
        if hint.is_empty() { fault } else { fault.hint(hint) }
    }

    /// Why a row could not be mapped; the caller adds the place of the row.
    pub(super) fn run_fault(&self, error: &ExpressionError) -> Fault {
        match error {
            ExpressionError::Abort { span, .. } => self.abort_fault(*span),
            ExpressionError::Error { labels, .. } => self.failed(labels),
            ExpressionError::Fallible { span } => {
                self.at(Fault::new(PROGRAM_FAILED, "an expression of the program failed"), *span)
            }
            _ => Fault::new(PROGRAM_FAILED, format!("the program `{}` failed", self.file)),
        }
    }

    fn failed(&self, labels: &[Label]) -> Fault {
        // The innermost call comes first: its label has the plain message of the function.
        let Some(label) = labels.iter().find(|label| label.span != Span::default()) else {
            return Fault::new(PROGRAM_FAILED, format!("an expression of the program `{}` failed", self.file));
        };
        let name = function_name(self.piece(label.span));
        let fault = match functions::code_of(name) {
            Some(code) => {
                let (message, expected) = label.message.split_once("; expected ").unwrap_or((&label.message, ""));
                let fault = Fault::new(code, message);
                if expected.is_empty() { fault } else { fault.expected(expected) }
            }
            None => Fault::new(PROGRAM_FAILED, format!("the function `{name}` failed on the row")),
        };
        let piece = self.piece(label.span);
        let fault = match field(piece).or_else(|| self.field_of_variable(piece, label.span.start())) {
            Some(field) => fault.at_column(field),
            None => fault,
        };
        self.at(fault, label.span)
    }

    /// The field from which a variable in the call was made, by its last assignment before the call.
    fn field_of_variable(&self, call: &str, before: usize) -> Option<String> {
        let (_, arguments) = call.split_once('(')?;
        let lines: Vec<&str> = self.text.get(..before)?.lines().collect();
        let words = arguments
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        for word in words {
            let assigns =
                |line: &&&str| line.trim_start().strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with(['=', ',']));
            let found = lines.iter().rev().find(assigns).and_then(|line| field(line));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The message of an `abort` is shown only where the program has it as a plain literal.
    fn abort_fault(&self, span: Span) -> Fault {
        // The span has the keyword alone: the text follows it on the line.
        let line = self.text.get(span.start()..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let literal = line
            .strip_prefix("abort")
            .map(str::trim_start)
            .and_then(|rest| rest.strip_prefix('"'))
            .and_then(|rest| rest.split_once('"'));
        let reason = literal.map(|(text, _)| text).filter(|text| !text.contains("{{") && !text.contains('\\'));
        let message = reason
            .map_or_else(|| "the program refused the row".to_owned(), |reason| format!("the program refused the row: {reason}"));
        self.at(Fault::new(PROGRAM_ABORTED, message), span)
    }

    fn at(&self, fault: Fault, span: Span) -> Fault {
        let (line, _) = self.line_column(span.start());
        let piece = one_line(self.piece(span));
        let shown: String = piece.chars().take(MAX_SNIPPET).collect();
        fault.hint(format!("see `{}` line {line}: `{shown}`", self.file))
    }

    fn piece(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Line and column of a byte, counted from 1, columns in characters.
    fn line_column(&self, byte: usize) -> (u64, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// The nearest of the known names, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|known| (strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase()), *known));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

fn hints(diagnostic: &Diagnostic) -> String {
    let mut parts: Vec<String> = diagnostic
        .labels
        .iter()
        .map(|label| one_line(&label.message))
        .filter(|text| !text.is_empty() && *text != diagnostic.message)
        .collect();
    for note in &diagnostic.notes {
        if matches!(note, Note::Hint(_) | Note::Basic(_) | Note::Example(_) | Note::UserErrorMessage(_)) {
            parts.push(one_line(&note.to_string()));
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.dedup();
    parts.join("; ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn function_name(call: &str) -> &str {
    let end = call.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(call.len());
    &call[..end]
}

/// The first field of the row in a call: `SFZH` of `resident_id!(.SFZH)`.
fn field(call: &str) -> Option<String> {
    let mut before = ' ';
    for (place, c) in call.char_indices() {
        let starts = c == '.' && !before.is_alphanumeric() && !matches!(before, '_' | '.' | ')' | ']' | '"' | '%');
        before = c;
        if !starts {
            continue;
        }
        let rest = &call[place + 1..];
        if let Some(quoted) = rest.strip_prefix('"') {
            return quoted.split_once('"').map(|(name, _)| name.to_owned());
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '@')).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches('.');
        if !name.is_empty() {
            return Some(name.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_calls() {
        let cases = [
            ("resident_id!(.SFZH)", Some("SFZH")),
            ("code!(\"sex\", .XB)", Some("XB")),
            ("cn_date!(.ry.csrq)", Some("ry.csrq")),
            ("yuan!(.\"金额 元\")", Some("金额 元")),
            ("fen!(.金额)", Some("金额")),
            ("cn_time!(%read_at)", None),
            ("resident_id!(number)", None),
            ("f(a.b)", None),
        ];
        for (call, expected) in cases {
            assert_eq!(field(call).as_deref(), expected, "{call}");
        }
    }

    #[test]
    fn names_near_and_far() {
        assert_eq!(nearest("funeral_metod", &["sex", "funeral_method"]), Some("funeral_method"));
        assert_eq!(nearest("zzz", &["sex", "funeral_method"]), None);
    }
}
