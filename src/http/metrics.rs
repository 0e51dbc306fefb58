//! `GET /metrics`: what happens here, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Rooms are not labels: their number is the visitors' to choose, and every one
//! would be a time series for ever.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::Shared;
use super::refusal::Refusals;
use crate::ending::Reason;

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    // The names below are right, or the tests fail; the rest reads /proc.
    match render(&shared) {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, prometheus::TEXT_FORMAT),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn render(shared: &Shared) -> prometheus::Result<String> {
    let page = Registry::new();
    let counter = |name: &str, help: &str, value: u64| {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        page.register(Box::new(counter))
    };
    let gauge = |name: &str, help: &str, value: usize| {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        page.register(Box::new(gauge))
    };
    let by_reason = |name: &str, help: &str, values: Vec<(String, u64)>| {
        let counters = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
        for (reason, value) in values {
            counters.with_label_values(&[reason]).inc_by(value);
        }
        page.register(Box::new(counters))
    };

    let tally = shared.rooms().tally();
    let (changes, published) = (tally.changes.get(), tally.published.get());
    gauge("headcount_streams", "Streams that are open.", tally.streams.get())?;
    gauge(
        "headcount_places",
        "Places for streams that are taken: by open ones, and by seats kept for their clients.",
        shared.streams.places(),
    )?;
    gauge("headcount_rooms", "Rooms that have someone in them.", shared.rooms().len())?;
    counter("headcount_joins_total", "Streams that were opened.", tally.joins.get())?;
    let ends = Reason::ALL.map(|r| (r.as_str().replace(' ', "_"), tally.ends(r).get()));
    by_reason("headcount_ends_total", "Streams that ended, by reason.", ends.into())?;
    by_reason(
        "headcount_refusals_total",
        "Streams that were refused, by reason.",
        Refusals::LABELS.map(|l| (l.to_owned(), shared.refusals.of(l).get())).into(),
    )?;
    counter("headcount_changes_total", "Changes of a room's count.", changes)?;
    counter("headcount_events_published_total", "Events that told of changes.", published)?;
    counter(
        "headcount_events_merged_total",
        "Changes that were told together with others, or to nobody.",
        changes.saturating_sub(published),
    )?;
    counter(
        "headcount_deliveries_total",
        "Events that were handed to a stream.",
        tally.deliveries.get(),
    )?;
    counter(
        "headcount_lagged_total",
        "Times that a stream had fallen behind and skipped to the newest number.",
        tally.lagged.get(),
    )?;
    page.register(Box::new(ProcessCollector::for_self()))?;
    TextEncoder::new().encode_to_string(&page.gather())
}
