//! Structured field values (RFC 8941) as far as signatures and digests need them: dictionaries of items and inner lists.

/// A bare item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bare {
    Integer(i64),
    String(String),
    Token(String),
    Bytes(Vec<u8>),
    Boolean(bool),
}

/// Parameters in the order in which they are written.
pub type Parameters = Vec<(String, Bare)>;

/// An item with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub bare: Bare,
    pub parameters: Parameters,
}

/// A member of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    Item(Item),
    List(Vec<Item>, Parameters),
}

/// Reads a dictionary; `None` if the text is none. A key that comes twice makes it unreadable: the standard lets the last one
/// win, and two readers that disagree are what an attacker looks for.
pub fn dictionary(text: &str) -> Option<Vec<(String, Member)>> {
    let mut reader = Reader { bytes: text.trim_matches(' ').as_bytes(), at: 0 };
    let mut members: Vec<(String, Member)> = Vec::new();
    while reader.at < reader.bytes.len() {
        let key = reader.key()?;
        let member = if reader.eat(b'=') {
            reader.member()?
        } else {
            Member::Item(Item { bare: Bare::Boolean(true), parameters: reader.parameters()? })
        };
        if members.iter().any(|(other, _)| *other == key) || members.len() == MOST {
            return None;
        }
        members.push((key, member));
        reader.spaces(b" \t");
        if reader.at == reader.bytes.len() {
            break;
        }
        if !reader.eat(b',') {
            return None;
        }
        reader.spaces(b" \t");
        if reader.at == reader.bytes.len() {
            return None;
        }
    }
    Some(members)
}

/// The most members, items or parameters that are read.
const MOST: usize = 64;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn spaces(&mut self, spaces: &[u8]) {
        while self.peek().is_some_and(|byte| spaces.contains(&byte)) {
            self.at += 1;
        }
    }

    fn take(&mut self, fits: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()
    }

    fn key(&mut self) -> Option<String> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*') {
            return None;
        }
        Some(self.take(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)))
    }

    fn member(&mut self) -> Option<Member> {
        if !self.eat(b'(') {
            return Some(Member::Item(self.item()?));
        }
        let mut items = Vec::new();
        loop {
            self.spaces(b" ");
            if self.eat(b')') {
                return Some(Member::List(items, self.parameters()?));
            }
            if items.len() == MOST {
                return None;
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Item> {
        Some(Item { bare: self.bare()?, parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut parameters = Parameters::new();
        while self.eat(b';') {
            self.spaces(b" ");
            let key = self.key()?;
            let value = if self.eat(b'=') { self.bare()? } else { Bare::Boolean(true) };
            if parameters.iter().any(|(other, _)| *other == key) || parameters.len() == MOST {
                return None;
            }
            parameters.push((key, value));
        }
        Some(parameters)
    }

    fn bare(&mut self) -> Option<Bare> {
        match self.peek()? {
            b'"' => self.string(),
            b':' => self.bytes(),
            b'?' => self.boolean(),
            b'-' | b'0'..=b'9' => self.integer(),
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                Some(Bare::Token(self.take(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))))
            }
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Bare> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(Bare::String(text)),
                b'\\' => {
                    let escaped = self.peek().filter(|byte| b"\"\\".contains(byte))?;
                    self.at += 1;
                    text.push(char::from(escaped));
                }
                0x20..=0x7e => text.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<Bare> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        self.at += 1;
        let text = self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if !self.eat(b':') {
            return None;
        }
        STANDARD.decode(text).ok().map(Bare::Bytes)
    }

    fn boolean(&mut self) -> Option<Bare> {
        self.at += 1;
        let value = self.peek().filter(|byte| b"01".contains(byte))?;
        self.at += 1;
        Some(Bare::Boolean(value == b'1'))
    }

    /// Decimals do not occur in what is read here.
    fn integer(&mut self) -> Option<Bare> {
        let negative = self.eat(b'-');
        let digits = self.take(|byte| byte.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 || self.peek() == Some(b'.') {
            return None;
        }
        let number: i64 = digits.parse().ok()?;
        Some(Bare::Integer(if negative { -number } else { number }))
    }
}

/// Writes an inner list with its parameters, as the standard writes it.
pub fn write_list(items: &[Item], parameters: &Parameters) -> String {
    let inner: Vec<String> = items.iter().map(write_item).collect();
    format!("({}){}", inner.join(" "), write_parameters(parameters))
}

/// Writes an item with its parameters.
pub fn write_item(item: &Item) -> String {
    format!("{}{}", write_bare(&item.bare), write_parameters(&item.parameters))
}

fn write_parameters(parameters: &Parameters) -> String {
    let one = |(key, value): &(String, Bare)| match value {
        Bare::Boolean(true) => format!(";{key}"),
        value => format!(";{key}={}", write_bare(value)),
    };
    parameters.iter().map(one).collect()
}

fn write_bare(bare: &Bare) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match bare {
        Bare::Integer(number) => number.to_string(),
        Bare::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Bare::Token(token) => token.clone(),
        Bare::Bytes(bytes) => format!(":{}:", STANDARD.encode(bytes)),
        Bare::Boolean(value) => format!("?{}", u8::from(*value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let text = r#"("date" "@query-param";name="Pet" "x";sf);created=1618884473;keyid="a\"b";alg="ed25519";tag=tok;ok=?0"#;
        let members = dictionary(&format!("sig1={text}, other=:AQI=:")).unwrap();
        let (_, Member::List(items, parameters)) = &members[0] else { panic!("no list") };
        assert_eq!(write_list(items, parameters), text);
        assert_eq!(members[1].1, Member::Item(Item { bare: Bare::Bytes(vec![1, 2]), parameters: vec![] }));
        assert_eq!(dictionary("").unwrap(), []);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for text in [
            "=1",
            "a=",
            "a=(",
            "a=(\"x\"",
            "a=(\"x\"\"y\")",
            "a=\"",
            "a=\"\u{e9}\"",
            "a=:AQI",
            "a=:!:",
            "a=1.5",
            "a=1 b=2",
            "a=1,",
            "a=1, a=2",
            "A=1",
            "a=?2",
            "a=1;;",
            "a=9999999999999999",
        ] {
            assert_eq!(dictionary(text), None, "{text}");
        }
    }
}
