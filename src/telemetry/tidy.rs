//! Keeps the crate to the rules of logs: every call uses listed fields only, and its message quotes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::log::ALLOWED;

/// Source files but this one and the tests of the log, which break the rules on purpose.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.retain(|file| !file.ends_with("telemetry/tidy.rs") && !file.ends_with("telemetry/log/tests.rs"));
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

/// The arguments of every call of a macro that logs or makes a span.
fn calls(source: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for (start, _) in source.match_indices("tracing::") {
        let after = &source[start + "tracing::".len()..];
        let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let Some(arguments) = after[name.len()..].strip_prefix("!(") else { continue };
        calls.push(split(arguments));
    }
    calls
}

/// Arguments up to the bracket that closes the call, cut at the commas outside strings and inner brackets.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for c in text.chars() {
        let part = parts.last_mut().unwrap();
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// What is wrong with one argument.
fn complaint(argument: &str) -> Option<String> {
    if let Some(message) = argument.strip_prefix('"') {
        return message.contains('{').then(|| "the message holds a value; make it a field".to_owned());
    }
    let name = argument.split('=').next().unwrap_or_default().trim();
    let name =
        if argument.contains('=') { name } else { name.trim_start_matches(['%', '?']).rsplit('.').next().unwrap_or_default() };
    (!ALLOWED.contains(&name)).then(|| format!("the field `{name}` is not on the list of `telemetry::log`"))
}

#[test]
fn log_calls_use_listed_fields_only() {
    let (mut complaints, mut seen) = (Vec::new(), 0);
    for file in sources() {
        let source = fs::read_to_string(&file).unwrap();
        for call in calls(&source) {
            seen += 1;
            // A message that is an argument of a format string follows its message; listed calls have none.
            complaints.extend(
                call.iter()
                    .filter_map(|argument| complaint(argument))
                    .map(|what| format!("{}: {what}: {call:?}", file.display())),
            );
        }
    }
    assert!(seen > 30, "the scan found only {seen} calls");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn nothing_is_instrumented_or_printed_beside_the_log() {
    for file in sources() {
        let source = fs::read_to_string(&file).unwrap();
        // The attribute would record every argument of a function.
        assert!(!source.contains("tracing::instrument"), "{}", file.display());
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let may_print =
            ["/cli/", "/cli.rs"].iter().any(|part| file.to_string_lossy().contains(part)) || file.ends_with("tests.rs");
        let prints = ["println!(", "eprint!(", "dbg!("].iter().any(|name| code.contains(name));
        assert!(may_print || !prints, "{} prints", file.display());
    }
}

#[test]
fn the_scan_sees_what_it_should() {
    let source = r#"tracing::warn!(system = %x, name, error = %f(a, "b,c"), "text, with (brackets)"); tracing::info!(%who.name, "is {who}");"#;
    let calls = calls(source);
    assert_eq!(calls[0], ["system = %x", "name", r#"error = %f(a, "b,c")"#, r#""text, with (brackets)""#]);
    let complaints: Vec<String> = calls.iter().flatten().filter_map(|argument| complaint(argument)).collect();
    assert_eq!(complaints.len(), 3, "{complaints:?}");
}
