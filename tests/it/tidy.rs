//! What the source tree keeps to. Every exception has its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder whose names end so, with their text; there must be some.
fn files(folder: &str, end: &str) -> Vec<(PathBuf, String)> {
    let found = list(folder, end);
    assert!(!found.is_empty(), "{folder} has no *{end}");
    found
}

fn list(folder: &str, end: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push((path.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The text without `#[cfg(test)] mod tests { … }` at its end and without comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
}

/// The first name after each `crate::`, in paths and in `use crate::{…}` trees.
fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(tree) = rest.strip_prefix('{') else {
            names.insert(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned());
            continue;
        };
        let (mut depth, mut name) = (0, String::new());
        for c in tree.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ if depth > 0 => {}
                ',' => drop(names.insert(std::mem::take(&mut name).split("::").next().unwrap().trim().to_owned())),
                _ => name.push(c),
            }
        }
        names.insert(name.split("::").next().unwrap().trim().to_owned());
    }
    names.remove("");
    names
}

#[test]
fn modules_use_only_what_they_may() {
    // The road: steps of it know the types between them and never one another. `*` may know everything.
    let may: BTreeMap<&str, &str> = BTreeMap::from([
        ("main", "cli"),
        ("error", ""),
        ("clock", ""),
        ("json", "error"),
        ("domain", "clock error"),
        ("envelope", "clock error"),
        ("schema", "domain envelope error json"),
        ("signature", "error"),
        ("servers", ""),
        ("store", "error servers telemetry"),
        ("bus", "envelope error servers telemetry"),
        ("config", "domain error"),
        ("telemetry", "bus clock config domain envelope error store"),
        ("identity", "clock domain envelope error schema store telemetry"),
        ("govern", "clock domain envelope error json"),
        ("ledger", "clock config envelope error store"),
        // `dead` knows the router's code for what is no event: of that it shows no attribute.
        ("dead", "bus clock config envelope error ledger router store telemetry"),
        ("attempt", "bus error store telemetry"),
        ("adapter", "bus clock config dead domain envelope error json ledger store telemetry"),
        // `attempt` and `dead` are shared by router and lanes.
        (
            "router",
            "attempt bus cases clock config dead disaster disclosure domain envelope error facts govern identity json ledger schema store telemetry",
        ),
        ("cases", "clock domain error"),
        ("disaster", "cases clock domain envelope error store"),
        ("disclosure", "clock config domain envelope error store"),
        ("facts", "clock config domain envelope store"),
        // Conditions of rules are programs of the kind that maps rows.
        ("supervise", "adapter clock config domain envelope error facts store"),
        // `govern::partner` says how a partner is reached.
        ("deliver", "attempt bus clock config dead domain envelope error govern json ledger schema store telemetry"),
        ("desk", "bus clock config domain envelope error identity ledger store telemetry"),
        ("settle", "clock config domain envelope error identity store"),
        ("exchange", "clock config domain envelope error govern ledger store"),
        // Knows objects by the id that the router's fence gives them.
        ("correction", "bus clock config domain envelope error govern ledger router store telemetry"),
        ("simulate", "clock domain error"),
        // The adapter kit stands beside the road: it looks at adapters, schemas and agreements, and nothing looks at it but `cli`.
        ("kit", "adapter clock config domain envelope error govern json schema store"),
        ("api", "*"),
        ("console", "*"),
        ("hub", "*"),
        ("bench", "*"),
        // Targets for every step; nothing of the program looks at it.
        ("fuzz", "*"),
        ("demo", "*"),
        ("doctor", "*"),
        ("cli", "*"),
    ]);
    let mut wrong = Vec::new();
    for (path, text) in files("src", ".rs") {
        let module = path.iter().nth(1).unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || is_test(&path) {
            continue;
        }
        let allowed = may.get(module.as_str()).unwrap_or_else(|| panic!("`{module}` is not in the list: say what it may use"));
        for name in names(&code(&text)) {
            let known = may.contains_key(name.as_str());
            if known && name != module && *allowed != "*" && !allowed.split(' ').any(|allowed| allowed == name) {
                wrong.push(format!("{}: `{module}` must not use `{name}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_names_reads() {
    let text = "use crate::{\n    a::{b::{c, d}, e},\n    f,\n    g::h,\n};\nuse crate::i;\nfn x() { crate::j::k() }";
    assert_eq!(names(text).into_iter().collect::<Vec<_>>(), ["a", "f", "g", "i", "j"]);
}

#[test]
fn files_are_short() {
    let long: Vec<String> = files("src", ".rs")
        .into_iter()
        .filter(|(path, text)| text.lines().count() > 500 && !is_test(path) && !text.contains("//! Long because"))
        .map(|(path, text)| format!("{} has {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "split them, or say `//! Long because …`: {}", long.join("\n"));
}

#[test]
fn every_code_is_unique_and_in_the_docs() {
    let docs = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let mut places: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (path, text) in files("src", ".rs").into_iter().filter(|(path, _)| !is_test(path)) {
        let text = code(&text);
        for part in text.split("Code::new(").skip(1) {
            if let Ok(number) = part.split(')').next().unwrap().replace('_', "").parse() {
                places.entry(number).or_default().push(path.display().to_string());
            }
        }
    }
    assert!(places.len() > 50, "the codes are not found any more");
    let twice: Vec<_> = places.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "one number, two meanings: {twice:?}");
    let missing: Vec<_> = places.iter().filter(|(number, _)| !docs.contains(&format!("### CH-{number:04} "))).collect();
    assert!(missing.is_empty(), "docs/errors.md has no entry for {missing:?}");
    let documented = docs.lines().filter_map(|line| line.strip_prefix("### CH-")?.split(' ').next()?.parse::<u16>().ok());
    let stale: Vec<u16> = documented.filter(|number| !places.contains_key(number)).collect();
    assert!(stale.is_empty(), "docs/errors.md describes codes that nothing raises: {stale:?}");
}

#[test]
fn the_codes_of_followers_are_those_that_are_raised() {
    use civilhub::{dead::hold::FOLLOWERS, deliver, router};
    let raised = [router::BEHIND, deliver::BEHIND, deliver::webhook::KEY_HELD].map(|code| code.to_string());
    assert_eq!(FOLLOWERS.map(str::to_owned), raised);
}

#[test]
fn only_the_command_line_prints() {
    let printing: Vec<_> = files("src", ".rs")
        .into_iter()
        // The second scans the sources for the same words.
        .filter(|(path, _)| !path.starts_with("src/cli") && path != "src/telemetry/tidy.rs" && !is_test(path))
        .filter(|(_, text)| ["println!", "print!(", "dbg!"].iter().any(|word| code(text).contains(word)))
        .map(|(path, _)| path)
        .collect();
    assert!(printing.is_empty(), "use tracing: {printing:?}");
}

#[test]
fn migrations_are_numbered_and_no_number_comes_twice() {
    let numbers: Vec<u32> = files("migrations", ".sql")
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[test]
fn every_schema_field_has_a_sensitivity() {
    fn walk(schema: &Value, pointer: &str, missing: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let pointer = format!("{pointer}/{name}");
            // A field that is another definition takes its sensitivity from there.
            let container = field.get("properties").is_some() || field["items"].get("properties").is_some();
            if field.get("x-sensitivity").is_none()
                && field.get("$ref").is_none()
                && field["items"].get("$ref").is_none()
                && !container
            {
                missing.push(pointer.clone());
            }
            walk(field, &pointer, missing);
            walk(&field["items"], &pointer, missing);
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            walk(definition, &format!("{pointer}/$defs/{name}"), missing);
        }
    }
    let mut missing = Vec::new();
    for (path, text) in files("schemas", ".json").into_iter().filter(|(path, _)| !path.iter().any(|part| part == "examples")) {
        walk(&serde_json::from_str(&text).unwrap(), &path.display().to_string(), &mut missing);
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Runs of 17 digits and a digit or X that have the form of an identity number and are not of the functional zone 220171.
fn identity_numbers(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let part = |byte: &u8| byte.is_ascii_alphanumeric();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| part(byte)).count();
        let run = text.get(at..at + length).unwrap_or_default();
        let number = length == 18
            && run[..17].bytes().all(|byte| byte.is_ascii_digit())
            && run.ends_with(|c: char| c.is_ascii_digit() || "xX".contains(c));
        if number
            && !run.starts_with("220171")
            && matches!(&run[6..8], "19" | "20")
            && run[10..12] <= *"12"
            && run[12..14] <= *"31"
        {
            found.push(run);
        }
        at += length.max(1);
    }
    found
}

#[test]
fn no_identity_numbers_outside_samples_and_tests() {
    assert_eq!(identity_numbers("a 11010519491231002X, 220171197001010053"), ["11010519491231002X"]);
    // The worked example of GB 11643, and numbers that are wrong on purpose, in the comments and tests of the rules themselves.
    let exempt = ["src/domain", "src/identity", "src/schema", "src/adapter"];
    let mut found = Vec::new();
    for folder in ["src", "adapters", "config", "schemas", "docs", "migrations"] {
        for end in [".rs", ".md", ".toml", ".vrl", ".json", ".sql"] {
            for (path, text) in list(folder, end) {
                let sample = path.iter().any(|part| part == "samples" || part == "examples");
                if sample || exempt.iter().any(|exempt| path.starts_with(exempt)) {
                    continue;
                }
                found
                    .extend(identity_numbers(&code(&text)).iter().map(|number| format!("{}: {}…", path.display(), &number[..6])));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
