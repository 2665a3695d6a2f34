//! A collector of traces on loopback: takes OTLP requests and reads them with a decoder of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};

/// One span as it came.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the process that sent it.
    pub process: BTreeMap<String, String>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

pub struct Collector {
    pub address: SocketAddr,
    spans: Spans,
}

impl Collector {
    pub async fn start() -> Self {
        let spans = Spans::default();
        let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, spans }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

async fn take(State(spans): State<Spans>, body: Bytes) -> StatusCode {
    for of_resource in all(&fields(&body), 1) {
        let of_resource = fields(of_resource);
        let process: BTreeMap<_, _> = all(&of_resource, 1).flat_map(|resource| attributes(&fields(resource), 1)).collect();
        for scope in all(&of_resource, 2) {
            let read: Vec<Span> = all(&fields(scope), 2).map(|bytes| span(bytes, &process)).collect();
            spans.lock().unwrap().extend(read);
        }
    }
    StatusCode::OK
}

fn span(bytes: &[u8], process: &BTreeMap<String, String>) -> Span {
    let fields = fields(bytes);
    let bytes = |number| all(&fields, number).next().unwrap_or_default();
    let fixed = |number| fields.iter().find(|field| field.0 == number).map_or(0, |field| field.1);
    Span {
        trace: hex::encode(bytes(1)),
        id: hex::encode(bytes(2)),
        parent: hex::encode(bytes(4)),
        name: String::from_utf8(bytes(5).to_vec()).unwrap(),
        start: fixed(7),
        end: fixed(8),
        attributes: attributes(&fields, 9).into_iter().collect(),
        process: process.clone(),
    }
}

fn attributes(of: &[Field<'_>], number: u64) -> Vec<(String, String)> {
    let read = |bytes: &[u8]| {
        let pair = fields(bytes);
        let key = String::from_utf8(all(&pair, 1).next().unwrap().to_vec()).unwrap();
        let value = fields(all(&pair, 2).next().unwrap());
        let text = value.iter().find(|field| field.0 == 1).map(|field| String::from_utf8(field.2.to_vec()).unwrap());
        (key, text.unwrap_or_else(|| value.iter().find(|field| field.0 == 3).map_or(0, |field| field.1).to_string()))
    };
    all(of, number).map(read).collect()
}

/// Number, value of a number, bytes of the rest.
type Field<'a> = (u64, u64, &'a [u8]);

fn all<'a>(fields: &[Field<'a>], number: u64) -> impl Iterator<Item = &'a [u8]> {
    let found: Vec<&'a [u8]> = fields.iter().filter(|field| field.0 == number).map(|field| field.2).collect();
    found.into_iter()
}

fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => (tag >> 3, varint(&mut bytes), &bytes[..0]),
            1 => {
                let (number, rest) = bytes.split_first_chunk::<8>().unwrap();
                bytes = rest;
                (tag >> 3, u64::from_le_bytes(*number), &rest[..0])
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                (tag >> 3, 0, value)
            }
            other => panic!("wire type {other}"),
        };
        fields.push(field);
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    number
}
