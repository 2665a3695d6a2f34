//! Sends spans to the collector, in batches, and gives up what it does not take.

use std::time::Duration;

use reqwest::{
    header::{CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use tokio::sync::{mpsc, oneshot};
use url::Url;

use super::{Span, otlp};
use crate::telemetry::record;

/// Longest wait for the collector.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// Spans of one request.
const MOST: usize = 512;
/// Longest time that a span waits for others.
const LINGER: Duration = Duration::from_millis(500);

pub(super) enum Order {
    Span(Box<Span>),
    /// Answer when everything before it is sent or given up.
    Flush(oneshot::Sender<()>),
}

pub(super) async fn run(url: Url, role: String, mut orders: mpsc::Receiver<Order>) {
    let Ok(http) = reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(LIMIT).build() else {
        tracing::warn!("no traces are exported: TLS cannot start");
        return;
    };
    let mut well = true;
    while let Some(first) = orders.recv().await {
        let (mut spans, mut flushes) = (Vec::new(), Vec::new());
        take(first, &mut spans, &mut flushes);
        let deadline = tokio::time::Instant::now() + LINGER;
        while spans.len() < MOST && flushes.is_empty() {
            match tokio::time::timeout_at(deadline, orders.recv()).await {
                Ok(Some(order)) => take(order, &mut spans, &mut flushes),
                _ => break,
            }
        }
        let sent = spans.is_empty() || post(&http, &url, otlp::request(&role, &spans)).await;
        if !sent {
            record::spans_dropped(spans.len() as u64);
        }
        if sent != well {
            well = sent;
            tracing::warn!(records = spans.len(), state = if sent { "back" } else { "away" }, "the collector of traces");
        }
        for flushed in flushes {
            let _ = flushed.send(());
        }
    }
}

fn take(order: Order, spans: &mut Vec<Span>, flushes: &mut Vec<oneshot::Sender<()>>) {
    match order {
        Order::Span(span) => spans.push(*span),
        Order::Flush(done) => flushes.push(done),
    }
}

async fn post(http: &reqwest::Client, url: &Url, body: Vec<u8>) -> bool {
    let request = http.post(url.clone()).header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")).body(body);
    request.send().await.is_ok_and(|answer| answer.status().is_success())
}
