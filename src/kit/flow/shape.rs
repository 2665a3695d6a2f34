//! [`Shape`]: what is known of a value before any row is there: the source fields it is made from, and its own fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};

/// Most alternatives of a list's items that are told apart.
const MAX_ITEMS: usize = 48;

/// Any name, or any place of a list.
pub const ANY: &str = "*";

/// A field of the row, such as `MEMBERS[].NAME`, or a fact beside it, such as `%header.PCH`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Beside the row, below `%`.
    pub meta: bool,
    /// Names; [`ANY`] for every item of a list.
    pub parts: Vec<String>,
}

impl Path {
    /// A field of the row.
    pub fn row(parts: Vec<String>) -> Self {
        Self { meta: false, parts }
    }

    /// This path and one name more.
    pub fn join(&self, part: &str) -> Self {
        let mut parts = self.parts.clone();
        parts.push(part.to_owned());
        Self { meta: self.meta, parts }
    }

    /// Whether both may mean the same place, or one a part of the other.
    pub fn meets(&self, other: &Self) -> bool {
        let same = |(a, b): (&String, &String)| a == b || a == ANY || b == ANY;
        self.meta == other.meta && self.parts.iter().zip(&other.parts).all(same)
    }

    /// Whether `other` is this place or a part of it.
    pub fn covers(&self, other: &Self) -> bool {
        self.parts.len() <= other.parts.len() && self.meets(other)
    }

    /// The last name.
    pub fn last(&self) -> &str {
        self.parts.iter().rev().find(|part| *part != ANY).map_or("", String::as_str)
    }

    /// Reads `MEMBERS[].NAME` and `%header.PCH`.
    pub fn parse(text: &str) -> Self {
        let (meta, text) = text.strip_prefix('%').map_or((false, text), |rest| (true, rest));
        let mut parts = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let name = part.trim_end_matches("[]");
            parts.push(name.to_owned());
            parts.extend((0..(part.len() - name.len()) / 2).map(|_| ANY.to_owned()));
        }
        Self { meta, parts }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.meta {
            f.write_str("%")?;
        }
        for (place, part) in self.parts.iter().enumerate() {
            match part.as_str() {
                ANY if place > 0 => f.write_str("[]")?,
                part if place > 0 => write!(f, ".{part}")?,
                part => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// A field that a program gives an object, with the places where it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    pub shape: Shape,
    pub spans: BTreeSet<(usize, usize)>,
}

/// What is known of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Source fields it is made from.
    pub from: BTreeSet<Path>,
    /// Source fields that decided on it, where none went into it.
    pub by: BTreeSet<Path>,
    /// Source fields that it is, unchanged.
    pub is: BTreeSet<Path>,
    /// Texts it may be, as far as they stand in the program.
    pub texts: BTreeSet<String>,
    pub fields: BTreeMap<String, Member>,
    /// Kinds of items of a list.
    pub items: Vec<Shape>,
    /// Fields were added whose names are not known.
    pub open: bool,
}

impl Shape {
    /// The field of the source itself.
    pub fn source(path: Path) -> Self {
        Self { from: [path.clone()].into(), is: [path].into(), ..Self::default() }
    }

    /// A value that is made from these fields.
    pub fn made(from: BTreeSet<Path>) -> Self {
        Self { from, ..Self::default() }
    }

    /// A value that is made from these values.
    pub fn made_of<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut made = Self::default();
        for part in parts {
            made.from.extend(part.all());
            made.by.extend(part.by.iter().cloned());
        }
        made
    }

    pub fn text(text: &str) -> Self {
        Self { texts: [text.to_owned()].into(), ..Self::default() }
    }

    /// Every source field in it, also in its fields and items.
    pub fn all(&self) -> BTreeSet<Path> {
        let mut all = self.from.clone();
        for member in self.fields.values() {
            all.extend(member.shape.all());
        }
        for item in &self.items {
            all.extend(item.all());
        }
        all
    }

    /// One of its fields, `None` for any.
    pub fn field(&self, name: &str) -> Self {
        let mut shape = self.fields.get(name).map(|member| member.shape.clone()).unwrap_or_default();
        let known = self.fields.contains_key(name);
        if !known || !self.is.is_empty() {
            shape.join(&self.below(name));
        }
        if name == ANY {
            self.fields.values().for_each(|member| shape.join(&member.shape));
        }
        shape
    }

    /// Any of its items.
    pub fn item(&self) -> Self {
        let mut shape = Self::default();
        self.items.iter().for_each(|item| shape.join(item));
        if self.items.is_empty() || !self.is.is_empty() {
            shape.join(&self.below(ANY));
        }
        shape
    }

    /// A part of what the source gave, or of a result whose inside is not known.
    fn below(&self, part: &str) -> Self {
        let is: BTreeSet<Path> = self.is.iter().map(|path| path.join(part)).collect();
        let made = self.from.difference(&self.is).cloned();
        let by = self.by.clone();
        Self { from: is.iter().cloned().chain(made).collect(), by, is, open: self.open, ..Self::default() }
    }

    /// This value or the other.
    pub fn join(&mut self, other: &Self) {
        self.from.extend(other.from.iter().cloned());
        self.by.extend(other.by.iter().cloned());
        self.is.extend(other.is.iter().cloned());
        self.texts.extend(other.texts.iter().cloned());
        self.open |= other.open;
        for (name, member) in &other.fields {
            let mine = self.fields.entry(name.clone()).or_default();
            mine.shape.join(&member.shape);
            mine.spans.extend(member.spans.iter().copied());
        }
        other.items.iter().for_each(|item| self.push(item.clone()));
    }

    /// One more kind of item.
    pub fn push(&mut self, item: Self) {
        if self.items.contains(&item) {
            return;
        }
        let full = self.items.len() >= MAX_ITEMS;
        match self.items.last_mut().filter(|_| full) {
            Some(last) => last.join(&item),
            None => self.items.push(item),
        }
    }

    /// Sets what lies at `path`; an empty path is the value itself.
    pub fn set(&mut self, path: &[String], value: Self, span: &Range<usize>) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if first == ANY {
            // Which item is written is not known: each may be.
            for item in &mut self.items {
                let mut written = item.clone();
                written.set(rest, value.clone(), span);
                item.join(&written);
            }
            if self.items.is_empty() {
                let mut item = Self::default();
                item.set(rest, value, span);
                self.items.push(item);
            }
            return;
        }
        let member = self.fields.entry(first.clone()).or_default();
        member.spans.insert((span.start, span.end));
        member.shape.set(rest, value, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_they_are_read() {
        for text in ["SFZH", "MEMBERS[].NAME", "%header.PCH", "applicant.idCard", "a[][].b"] {
            assert_eq!(Path::parse(text).to_string(), text);
        }
        assert!(Path::parse("M[].A").meets(&Path::parse("M[]")) && !Path::parse("M[].A").meets(&Path::parse("M[].B")));
        assert!(Path::parse("M").covers(&Path::parse("M[].A")) && !Path::parse("M[].A").covers(&Path::parse("M")));
        assert!(!Path::parse("%a").meets(&Path::parse("a")));
    }

    #[test]
    fn parts_of_sources_are_sources() {
        let row = Shape::source(Path::default());
        assert_eq!(row.field("M").item().field("A").is, [Path::parse("M[].A")].into());
        let mut shape = Shape::made([Path::parse("x")].into());
        shape.set(&["a".into(), "b".into()], Shape::text("t"), &(1..2));
        assert_eq!((shape.field("a").field("b").texts.len(), shape.field("c").from.len()), (1, 1));
    }
}
