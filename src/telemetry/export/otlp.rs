//! The body of an OTLP request: `ExportTraceServiceRequest` of opentelemetry-proto 1.x as protobuf, and only its fields that are
//! used here.

use super::{Attribute, Span};

/// Wire types of protobuf.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

/// Status code of a span that ended in a fault.
const ERROR: u64 = 2;

/// One request with these spans.
pub(super) fn request(role: &str, spans: &[Span]) -> Vec<u8> {
    let mut resource = Message::default();
    for (key, value) in [("service.name", "civilhub"), ("service.version", env!("CARGO_PKG_VERSION")), ("civilhub.role", role)] {
        resource.message(1, &attribute(key, &Attribute::Text(value.to_owned())));
    }
    resource.message(1, &attribute("process.pid", &Attribute::Number(std::process::id().into())));
    let mut scope = Message::default();
    scope.text(1, "civilhub");
    let mut scoped = Message::default();
    scoped.message(1, &scope);
    for one in spans {
        scoped.message(2, &span(one));
    }
    let mut of_resource = Message::default();
    of_resource.message(1, &resource);
    of_resource.message(2, &scoped);
    let mut request = Message::default();
    request.message(1, &of_resource);
    request.0
}

fn span(span: &Span) -> Message {
    let mut message = Message::default();
    message.bytes(1, &hex::decode(&span.trace).unwrap_or_default());
    message.bytes(2, &hex::decode(&span.id).unwrap_or_default());
    message.bytes(4, &hex::decode(&span.parent).unwrap_or_default());
    message.text(5, span.name);
    message.number(6, span.kind as u64);
    message.fixed(7, span.lap.start);
    message.fixed(8, span.lap.end);
    for (key, value) in &span.attributes {
        message.message(9, &attribute(key, value));
    }
    if let Some(code) = span.fault {
        message.message(9, &attribute("error.type", &Attribute::Text(code.to_string())));
        let mut status = Message::default();
        status.number(3, ERROR);
        message.message(15, &status);
    }
    message
}

fn attribute(key: &str, value: &Attribute) -> Message {
    let mut inner = Message::default();
    match value {
        Attribute::Text(text) => inner.text(1, text),
        Attribute::Number(number) => inner.number(3, number.cast_unsigned()),
    }
    let mut message = Message::default();
    message.text(1, key);
    message.message(2, &inner);
    message
}

/// A message of protobuf while it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn number(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(number);
    }

    fn fixed(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    /// The examples of the protobuf documentation.
    #[test]
    fn as_documented() {
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.0, [0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.text(2, "testing");
        assert_eq!(message.0, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
    }
}
