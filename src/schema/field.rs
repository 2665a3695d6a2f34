//! The flat list of a dataset's fields: what agreements, lake columns and documents need to know.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    codes::CodeSource,
    person::{self, PersonSlot},
};
use crate::error::{Code, Fault};

/// A leaf property has no `x-sensitivity`: nobody could say who may see it.
pub const NO_SENSITIVITY: Code = Code::new(4006);
/// `x-codes` names a code list that does not exist.
pub const NO_SUCH_LIST: Code = Code::new(4007);

/// What kind of value a field holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    String,
    Integer,
    Number,
    /// Yuan as text with two decimals.
    Money,
    Date,
    DateTime,
    Boolean,
    /// Text out of the named code list.
    Code(String),
    Object,
    Array,
}

/// One property of a dataset, nested ones included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// JSON pointer with `*` for list items: `/members/*/name`.
    pub pointer: String,
    /// Chinese name; empty when the schema gives none.
    pub name_zh: String,
    /// 0 public, 1 internal, 2 personal, 3 sensitive personal; of an object the highest of its fields.
    pub sensitivity: u8,
    pub kind: Kind,
    /// Required whenever its parent is there.
    pub required: bool,
    /// Who fills it after the adapter.
    pub filled_by: Option<String>,
    /// False for objects and lists whose own fields follow in the list.
    pub leaf: bool,
}

impl Field {
    /// Last segment of the pointer.
    pub fn name(&self) -> &str {
        self.pointer.rsplit('/').find(|segment| *segment != "*").unwrap_or_default()
    }
}

/// A schema together with the members of its `allOf`, which all hold for the same value.
pub(super) struct Layers<'a>(Vec<&'a Map<String, Value>>);

impl<'a> Layers<'a> {
    pub(super) fn of(schema: &'a Value) -> Self {
        let mut layers = Vec::new();
        collect(schema, &mut layers);
        Self(layers)
    }

    pub(super) fn first(&self, keyword: &str) -> Option<&'a Value> {
        self.0.iter().find_map(|layer| layer.get(keyword))
    }

    fn text(&self, keyword: &str) -> Option<&'a str> {
        self.first(keyword).and_then(Value::as_str)
    }

    fn maps(&self, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.0.iter().filter_map(move |layer| layer.get(keyword)?.as_object()).flatten()
    }

    pub(super) fn has_property(&self, name: &str) -> bool {
        self.maps("properties").any(|(known, _)| known == name)
    }

    fn requires(&self, name: &str) -> bool {
        let lists = self.0.iter().filter_map(|layer| layer.get("required")?.as_array());
        lists.flatten().any(|required| required.as_str() == Some(name))
    }

    /// The first type that is not null.
    fn kind(&self) -> Kind {
        let kind = match self.first("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            Some(kind) => kind.as_str(),
            None => None,
        };
        match kind {
            Some("object") => Kind::Object,
            Some("array") => Kind::Array,
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            _ => self.kind_of_text(),
        }
    }

    fn kind_of_text(&self) -> Kind {
        if let Some(list) = self.text("x-codes") {
            return Kind::Code(list.to_owned());
        }
        match (self.text("format"), self.text("pattern")) {
            (Some("date"), _) => Kind::Date,
            (Some("date-time"), _) => Kind::DateTime,
            (Some("money"), _) => Kind::Money,
            (_, Some(pattern)) if pattern.ends_with(r"\.\d{2}$") || pattern.ends_with(r"\.[0-9]{2}$") => Kind::Money,
            _ => Kind::String,
        }
    }
}

fn collect<'a>(schema: &'a Value, layers: &mut Vec<&'a Map<String, Value>>) {
    let Value::Object(keywords) = schema else { return };
    layers.push(keywords);
    let members = |keyword: &str| keywords.get(keyword).and_then(Value::as_array).into_iter().flatten();
    for member in members("allOf") {
        collect(member, layers);
    }
    // "null or this" is this.
    for keyword in ["anyOf", "oneOf"] {
        let mut others = members(keyword).filter(|member| member.get("type").and_then(Value::as_str) != Some("null"));
        if let (Some(only), None) = (others.next(), others.next()) {
            collect(only, layers);
        }
    }
}

/// Walks an inlined schema and notes fields, person slots and faults.
pub(super) struct Walk<'a> {
    pub(super) codes: &'a dyn CodeSource,
    pub(super) fields: Vec<Field>,
    pub(super) persons: Vec<PersonSlot>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(codes: &'a dyn CodeSource) -> Self {
        Self { codes, fields: Vec::new(), persons: Vec::new(), faults: Vec::new() }
    }

    /// Notes the properties of an object schema; answers the highest sensitivity among them.
    pub(super) fn object(&mut self, pointer: &str, layers: &Layers<'_>) -> u8 {
        let slots = person::slots(pointer, layers, &mut self.faults);
        self.persons.extend(slots);
        let mut highest = 0;
        for (name, schema) in layers.maps("properties") {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            // `allOf` members may tighten a property that another member defines: the first one names it.
            if self.fields.iter().any(|field| field.pointer == pointer) {
                continue;
            }
            highest = highest.max(self.property(pointer, &Layers::of(schema), layers.requires(name)));
        }
        highest
    }

    fn property(&mut self, pointer: String, layers: &Layers<'_>, required: bool) -> u8 {
        let place = self.fields.len();
        self.fields.push(Field {
            pointer: pointer.clone(),
            name_zh: layers.text("x-name").unwrap_or_default().to_owned(),
            sensitivity: 0,
            kind: layers.kind(),
            required,
            filled_by: layers.text("x-filled-by").map(str::to_owned),
            leaf: false,
        });
        let items = layers.first("items").map(Layers::of);
        self.list_exists(&pointer, layers);
        let below = match (&self.fields[place].kind, &items) {
            (Kind::Object, _) => self.object(&pointer, layers),
            (Kind::Array, Some(items)) => {
                self.list_exists(&pointer, items);
                self.object(&format!("{pointer}/*"), items)
            }
            _ => 0,
        };
        let leaf = self.fields.len() == place + 1;
        let stated = layers
            .first("x-sensitivity")
            .or_else(|| items.and_then(|items| items.first("x-sensitivity")))
            .and_then(Value::as_u64);
        if leaf && stated.is_none() {
            let fault = Fault::new(NO_SENSITIVITY, format!("the property `{pointer}` has no `x-sensitivity`"));
            self.faults.push(fault.at_pointer(&pointer).expected("0 public, 1 internal, 2 personal or 3 sensitive personal"));
        }
        let sensitivity = below.max(stated.and_then(|stated| u8::try_from(stated).ok()).unwrap_or_default());
        self.fields[place].leaf = leaf;
        self.fields[place].sensitivity = sensitivity;
        sensitivity
    }

    fn list_exists(&mut self, pointer: &str, layers: &Layers<'_>) {
        let Some(list) = layers.text("x-codes") else { return };
        if self.codes.has(list, "").is_none() {
            let fault = Fault::new(NO_SUCH_LIST, format!("there is no code list `{list}`"));
            self.faults.push(fault.at_pointer(pointer).hint("add the list to `config/codes/` or correct its name"));
        }
    }
}
