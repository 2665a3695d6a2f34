//! The signature base: the text over which a message is signed (RFC 9421, section 2.5).

use axum::http::HeaderMap;

use super::{
    Error,
    structured::{Bare, Item, Parameters, write_item, write_list},
};

/// What of a message may be signed.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    pub method: &'a str,
    /// `https` or `http`.
    pub scheme: &'a str,
    /// Host and, if it is not the usual one, port.
    pub authority: &'a str,
    pub path: &'a str,
    /// Without the question mark.
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// Of an answer.
    pub status: Option<u16>,
}

/// The longest base that is built: headers are limited before.
const LONGEST: usize = 64 << 10;

impl Message<'_> {
    /// The text that is signed.
    pub fn base(&self, components: &[Item], parameters: &Parameters) -> Result<String, Error> {
        let mut base = String::new();
        let mut seen: Vec<String> = Vec::with_capacity(components.len());
        for component in components {
            let identifier = write_item(component);
            if seen.contains(&identifier) {
                return Err(Error::Component);
            }
            base.push_str(&identifier);
            base.push_str(": ");
            base.push_str(&self.value(component)?);
            base.push('\n');
            seen.push(identifier);
            if base.len() > LONGEST {
                return Err(Error::Component);
            }
        }
        base.push_str("\"@signature-params\": ");
        base.push_str(&write_list(components, parameters));
        Ok(base)
    }

    fn value(&self, component: &Item) -> Result<String, Error> {
        let Bare::String(name) = &component.bare else { return Err(Error::Component) };
        if name == "@query-param" {
            return self.query_parameter(&component.parameters);
        }
        // `sf`, `bs`, `key`, `tr` and `req` are not needed by any client of the hub: what is not understood is refused.
        if !component.parameters.is_empty() {
            return Err(Error::Component);
        }
        let query = || self.query.map(|query| format!("?{query}"));
        Ok(match name.as_str() {
            "@status" => self.status.ok_or(Error::Component)?.to_string(),
            "@method" if self.status.is_none() => self.method.to_owned(),
            "@authority" => self.authority.to_ascii_lowercase(),
            "@scheme" => self.scheme.to_ascii_lowercase(),
            "@path" => self.path.to_owned(),
            "@query" => query().unwrap_or_else(|| "?".to_owned()),
            "@request-target" => format!("{}{}", self.path, query().unwrap_or_default()),
            "@target-uri" => {
                let (scheme, authority) = (self.scheme, self.authority.to_ascii_lowercase());
                format!("{scheme}://{authority}{}{}", self.path, query().unwrap_or_default())
            }
            name if name.starts_with('@') || name.bytes().any(|byte| byte.is_ascii_uppercase()) => return Err(Error::Component),
            name => self.field(name)?,
        })
    }

    /// All lines of a field, in order, joined; line folding and outer spaces are gone.
    fn field(&self, name: &str) -> Result<String, Error> {
        let mut lines = Vec::new();
        for value in self.headers.get_all(name) {
            lines.push(value.to_str().map_err(|_| Error::Component)?.trim().to_owned());
        }
        if lines.is_empty() { Err(Error::Component) } else { Ok(lines.join(", ")) }
    }

    fn query_parameter(&self, parameters: &Parameters) -> Result<String, Error> {
        let [(key, Bare::String(name))] = parameters.as_slice() else { return Err(Error::Component) };
        if key != "name" {
            return Err(Error::Component);
        }
        let query = self.query.unwrap_or_default();
        let mut found = url::form_urlencoded::parse(query.as_bytes()).filter(|(other, _)| encode(other) == *name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(encode(&value)),
            _ => Err(Error::Component),
        }
    }
}

/// Percent-encoding of section 2.2.8: everything but letters, digits and `*-._`; a space is `%20`.
fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
