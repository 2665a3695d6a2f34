//! Secrets in options: `"${NAME}"` from the environment, `{ file = "/run/secrets/x" }` from a mounted file.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::error::{Code, Fault};

/// A secret is not there: the variable is not set, or the file cannot be read.
pub const SECRET_MISSING: Code = Code::new(2007);

/// Replaces every `${NAME}` and every `{ file = … }` in `table`.
///
/// # Errors
/// One fault for each variable or file that is missing; values are never part of the message.
pub fn resolve(table: &Table, env: &BTreeMap<String, String>) -> Result<Table, Vec<Fault>> {
    let mut faults = Vec::new();
    let resolved = resolve_table(table, env, &mut faults);
    if faults.is_empty() { Ok(resolved) } else { Err(faults) }
}

fn resolve_table(table: &Table, env: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Table {
    table.iter().map(|(name, value)| (name.clone(), resolve_value(name, value, env, faults))).collect()
}

fn resolve_value(name: &str, value: &Value, env: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Value {
    match value {
        Value::String(text) => expand(name, text, env, faults),
        Value::Array(values) => Value::Array(values.iter().map(|value| resolve_value(name, value, env, faults)).collect()),
        Value::Table(table) => match table.get("file").and_then(Value::as_str).filter(|_| table.len() == 1) {
            Some(path) => from_file(name, path, faults),
            None => Value::Table(resolve_table(table, env, faults)),
        },
        other => other.clone(),
    }
}

fn expand(name: &str, text: &str, env: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Value {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((variable, after)) = after.split_once('}') else { break };
        expanded.push_str(before);
        match env.get(variable).cloned().or_else(|| std::env::var(variable).ok()) {
            Some(value) => expanded.push_str(&value),
            None => faults.push(
                Fault::new(SECRET_MISSING, format!("option `{name}` needs the variable `{variable}`"))
                    .hint("set it in the environment of the process, or override the option in the hub's configuration"),
            ),
        }
        rest = after;
    }
    Value::String(expanded + rest)
}

/// A mounted secret; one line end at its end does not belong to it.
fn from_file(name: &str, path: &str, faults: &mut Vec<Fault>) -> Value {
    match std::fs::read_to_string(path) {
        Ok(text) => Value::String(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            let fault = Fault::new(SECRET_MISSING, format!("option `{name}` needs the file `{path}`: {}", error.kind()));
            faults.push(fault.hint("mount the secret, and let the process read it"));
            Value::String(String::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_files_are_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let table = format!("url = 'db://${{HUB_USER}}@x'\ntoken = {{ file = '{}' }}\nn = 1", path.display());
        let env = BTreeMap::from([("HUB_USER".to_owned(), "u".to_owned())]);
        let resolved = resolve(&table.parse().unwrap(), &env).unwrap();
        assert_eq!((resolved["url"].as_str(), resolved["token"].as_str()), (Some("db://u@x"), Some("s3cret")));
    }

    #[test]
    fn all_missing_secrets_are_named() {
        let table = "a = '${HUB_NO_SUCH_A}'\nb = ['${HUB_NO_SUCH_B}']\nc = { file = '/no/such' }".parse().unwrap();
        let faults = resolve(&table, &BTreeMap::new()).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [SECRET_MISSING; 3]);
    }
}
