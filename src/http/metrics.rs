//! `GET /metrics`: what happens here, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Rooms are not labels: visitors choose how many there are, and each would be a time series
//! forever.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shared;
#[cfg(feature = "server")]
use super::cluster;
use super::exposition::Exposition;
#[cfg(feature = "server")]
use super::history;
#[cfg(all(feature = "server", target_os = "linux"))]
use super::process::Process;
use super::refusal;
use crate::ending::Reason;

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    // If this fails, /proc can't be read, or a name below is wrong, which the tests would show.
    match render(&shared) {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, prometheus::TEXT_FORMAT),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, text).into_response()
        }
        Err(error) => refusal::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn render(shared: &Shared) -> prometheus::Result<String> {
    let page = Exposition::new();
    page.info(
        "headcount_build_info",
        "The version that runs, as a label; always 1.",
        "version",
        env!("CARGO_PKG_VERSION"),
    )?;
    let tally = shared.rooms().tally();
    page.gauge("headcount_streams", "Streams that are open.", tally.streams.get())?;
    page.gauge(
        "headcount_places",
        "Places for streams that are taken: by open ones, and by seats kept for their clients.",
        shared.streams.places(),
    )?;
    page.gauge("headcount_rooms", "Rooms that have someone in them.", shared.rooms().len())?;
    page.gauge(
        "headcount_partial",
        "1 while the numbers are partial: some people may be missing from them.",
        shared.rooms().is_partial().into(),
    )?;
    page.counter("headcount_joins_total", "Streams that were opened.", tally.joins.get())?;
    let ends = Reason::ALL.iter().map(|reason| (reason.as_str(), tally.ends(*reason).get()));
    page.by_reason("headcount_ends_total", "Streams that ended, by reason.", ends)?;
    page.by_reason(
        "headcount_refusals_total",
        "Streams that were refused, by reason.",
        shared.refusals.by_reason(),
    )?;
    page.counter("headcount_changes_total", "Changes of a room's count.", tally.changes.get())?;
    page.counter(
        "headcount_events_published_total",
        "Events that told of one change or of several.",
        tally.published.get(),
    )?;
    page.counter(
        "headcount_events_merged_total",
        "Changes without an event of their own: the event of an earlier change told them too, \
         or nobody was left to tell.",
        tally.merged.get(),
    )?;
    page.counter(
        "headcount_deliveries_total",
        "Events that were handed to a stream.",
        tally.deliveries.get(),
    )?;
    page.counter(
        "headcount_lagged_total",
        "Times that a stream had fallen behind and skipped to the newest number.",
        tally.lagged.get(),
    )?;
    #[cfg(feature = "server")]
    if let Some(crowded) = &shared.crowded {
        page.by_reason(
            "headcount_connections_closed_total",
            "Connections without a stream that were closed for others, by the limit that was reached.",
            [
                ("max_connections", crowded.closed_by_max.get()),
                ("max_connections_per_ip", crowded.closed_by_max_per_ip.get()),
                ("file_descriptors", crowded.closed_by_descriptors.get()),
            ],
        )?;
        page.by_reason(
            "headcount_connections_refused_total",
            "Connections that were refused, by the limit that was reached.",
            [
                ("max_connections", crowded.refused_by_max.get()),
                ("max_connections_per_ip", crowded.refused_by_max_per_ip.get()),
            ],
        )?;
    }
    #[cfg(feature = "server")]
    if let Some(node) = shared.streams.node() {
        cluster::register(&page, node, shared.rooms())?;
    }
    #[cfg(feature = "server")]
    if let Some(history) = shared.history.as_ref().filter(|history| history.has_file()) {
        history::register(&page, history)?;
    }
    #[cfg(all(feature = "server", target_os = "linux"))]
    page.add(Process::now()?)?;
    page.text()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::response::Response;
    use tokio::time::sleep;
    use tower::ServiceExt;

    use crate::{Ending, Name, Options, Rooms, router};

    async fn ask(rooms: &Rooms, options: Options) -> Response {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let Ok(answer) = router(rooms.clone(), options).oneshot(request).await;
        answer
    }

    /// Every sample of a page of `/metrics`, by its name and labels.
    async fn samples(rooms: &Rooms) -> BTreeMap<String, f64> {
        let answer = ask(rooms, Options::default()).await;
        let page = to_bytes(answer.into_body(), usize::MAX).await.expect("the whole page");
        let page = String::from_utf8(page.into()).expect("text");
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                (name.to_owned(), value.parse().expect("a number"))
            })
            .collect()
    }

    /// The samples of a crowd that is told with pauses, after each thing that happens in it.
    async fn samples_of_a_busy_room() -> Vec<BTreeMap<String, f64>> {
        let rooms = Rooms::default();
        let join = || rooms.join(&Name::default(), Ending::default()).expect("a room");
        let mut crowd: Vec<_> = (0..1000).map(|_| join()).collect();
        let mut pages = Vec::new();
        for _ in 0..2 {
            sleep(Duration::from_secs(1)).await;
            for people in [1001, 1002, 1003, 1001] {
                crowd.truncate(people);
                crowd.resize_with(people, join);
                pages.push(samples(&rooms).await);
            }
        }
        drop(crowd);
        sleep(Duration::from_secs(1)).await;
        pages.push(samples(&rooms).await);
        pages
    }

    #[tokio::test(start_paused = true)]
    async fn no_total_ever_falls() {
        for pages in samples_of_a_busy_room().await.windows(2) {
            for (name, before) in pages[0].iter().filter(|(name, _)| name.contains("_total")) {
                let now = pages[1][name];
                assert!(now >= *before, "{name} fell from {before} to {now}");
            }
        }
    }

    #[tokio::test]
    async fn a_router_can_leave_it_out() {
        let without = Options { metrics: false, ..Default::default() };
        assert_eq!(ask(&Rooms::default(), without).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(&Rooms::default(), Options::default()).await.status(), StatusCode::OK);
    }

    #[cfg(all(feature = "server", target_os = "linux"))]
    #[tokio::test]
    async fn cpu_time_has_fractions_of_a_second() {
        let seconds = samples(&Rooms::default()).await["process_cpu_seconds_total"];
        assert!(seconds > 0.0 && seconds.fract() > 0.0, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn every_change_was_published_or_merged_once_all_is_told() {
        let pages = samples_of_a_busy_room().await;
        let last = pages.last().expect("some pages");
        let of = |name: &str| last[&format!("headcount_{name}_total")];
        assert_eq!(of("changes"), of("events_published") + of("events_merged"));
        assert!(of("events_merged") > 0.0);
    }
}
