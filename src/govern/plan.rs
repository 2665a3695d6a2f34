//! [`Plan`]: the fields of one agreement as a tree, so that a record is projected in one walk.
//!
//! The projection builds up from nothing. Only a leaf named in the agreement is copied, and only if it is a scalar or
//! a list of scalars: a structure never travels under its own name, so a field that a later version of a schema adds
//! inside it stays at home until an agreement lists it.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Map, Value};

use super::form::{self, Context, Form, Kind};

/// Why a field is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The agreement does not list it.
    NotListed,
    /// The agreement lists it, but it holds an object: its inner fields must be listed one by one.
    Structure,
    /// The value has no such form (text that is no date, division or amount cannot be made coarse).
    NoSuchForm,
    /// The source deleted the object: only its key is delivered.
    Deleted,
}

impl Reason {
    /// For people: completes "the field is withheld, because …".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotListed => "the agreement does not list it",
            Self::Structure => "it holds an object; list its inner fields",
            Self::NoSuchForm => "the value has no such form",
            Self::Deleted => "the object is deleted; only its key is delivered",
        }
    }
}

/// The most withheld fields that are named for one record: a hostile record must not fill the memory.
const MOST_WITHHELD: usize = 256;

/// The withheld fields of one record, by dotted name, each once.
pub(super) type Withheld = Vec<(String, Reason)>;

/// A field plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    root: FxHashMap<String, Node>,
    leaves: FxHashSet<String>,
    key: FxHashSet<String>,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf { form: Form, kind: Kind, path: String },
    Branch(FxHashMap<String, Node>),
}

impl Plan {
    /// `key` are the top-level fields that a deletion carries.
    pub fn new(fields: &BTreeMap<String, Form>, key: &[String]) -> Self {
        let mut plan = Self { key: key.iter().cloned().collect(), ..Self::default() };
        for (path, form) in fields {
            plan.leaves.insert(path.clone());
            insert(&mut plan.root, path, path, *form);
        }
        plan
    }

    /// The top-level fields that a deletion carries.
    pub fn key(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(String::as_str)
    }

    /// The record as the partner may see it, and what is left out.
    pub fn project(&self, record: &Value, deleted: bool, context: &Context<'_>) -> (Value, Withheld) {
        let mut withheld = Withheld::new();
        let Value::Object(fields) = record else { return (Value::Object(Map::new()), withheld) };
        let mut walk = Walk { context, withheld: &mut withheld, key: deleted.then_some(&self.key) };
        let shown = walk.object(&self.root, fields, "");
        (Value::Object(shown), withheld)
    }

    /// Whether a quality remark about this field (dotted or JSON pointer, with or without indexes) may travel.
    pub fn shows(&self, field: &str, withheld: &Withheld) -> bool {
        if self.leaves.contains(field) {
            return !withheld.iter().any(|(name, _)| name == field);
        }
        let separators: &[char] = &['.', '/', '[', ']'];
        let is_name = |part: &&str| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit());
        let name = field.split(separators).filter(is_name).collect::<Vec<_>>().join(".");
        self.leaves.contains(&name) && !withheld.iter().any(|(other, _)| *other == name)
    }
}

fn insert(tree: &mut FxHashMap<String, Node>, rest: &str, path: &str, form: Form) {
    let Some((head, rest)) = rest.split_once('.') else {
        tree.insert(rest.to_owned(), Node::Leaf { form, kind: Kind::of(path), path: path.to_owned() });
        return;
    };
    // A leaf and a branch of one name cannot both be: the loader refuses such agreements; here the narrower one holds.
    let node = tree.entry(head.to_owned()).or_insert_with(|| Node::Branch(FxHashMap::default()));
    if matches!(node, Node::Leaf { .. }) {
        *node = Node::Branch(FxHashMap::default());
    }
    if let Node::Branch(inner) = node {
        insert(inner, rest, path, form);
    }
}

/// One walk through one record.
struct Walk<'a> {
    context: &'a Context<'a>,
    withheld: &'a mut Withheld,
    /// For a deletion: the only fields that travel.
    key: Option<&'a FxHashSet<String>>,
}

impl Walk<'_> {
    fn object(&mut self, tree: &FxHashMap<String, Node>, fields: &Map<String, Value>, prefix: &str) -> Map<String, Value> {
        let mut shown = Map::new();
        for (name, value) in fields {
            if self.key.is_some_and(|key| prefix.is_empty() && !key.contains(name)) {
                self.withhold(prefix, name, Reason::Deleted);
                continue;
            }
            let result = match tree.get(name) {
                None => Err(Reason::NotListed),
                Some(Node::Leaf { form, kind, path }) => self.leaf(*form, *kind, path, value),
                Some(Node::Branch(inner)) => self.branch(inner, value, &join(prefix, name)),
            };
            match result {
                Ok(value) => {
                    shown.insert(name.clone(), value);
                }
                Err(reason) => self.withhold(prefix, name, reason),
            }
        }
        shown
    }

    fn leaf(&self, form: Form, kind: Kind, path: &str, value: &Value) -> Result<Value, Reason> {
        match value {
            Value::Object(_) => Err(Reason::Structure),
            Value::Array(items) => items.iter().map(|item| self.leaf(form, kind, path, item)).collect(),
            scalar => form::apply(form, kind, path, scalar, self.context).ok_or(Reason::NoSuchForm),
        }
    }

    fn branch(&mut self, tree: &FxHashMap<String, Node>, value: &Value, path: &str) -> Result<Value, Reason> {
        match value {
            Value::Object(fields) => Ok(Value::Object(self.object(tree, fields, path))),
            Value::Array(items) => {
                // Elements keep their number and order; one that is not an object holds nothing that is listed.
                let mut shown = Vec::with_capacity(items.len());
                for item in items {
                    shown.push(self.branch(tree, item, path)?);
                }
                Ok(Value::Array(shown))
            }
            Value::Null => Ok(Value::Null),
            _ => Err(Reason::NotListed),
        }
    }

    fn withhold(&mut self, prefix: &str, name: &str, reason: Reason) {
        if self.withheld.len() == MOST_WITHHELD {
            return;
        }
        let path = join(prefix, name);
        // Only inside lists can a name come twice.
        if prefix.is_empty() || !self.withheld.iter().any(|(other, _)| *other == path) {
            self.withheld.push((path, reason));
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
