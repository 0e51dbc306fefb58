//! What Headcount is to reach, and whether it does.

use std::fmt::{self, Write as _};

use super::medians::Medians;
use crate::certificate::Key;
use crate::cores::Placement;
use crate::peers::{FLOOR, HEADCOUNT, NCHAN, peer};
use crate::results::{Besides, Deliver, Leave, Million, OfWay, Rooms};
use crate::way::Way;

/// One target, and what was measured, if it was.
pub(super) struct Target {
    what: String,
    bound: Bound,
    measured: Option<f64>,
}

/// What a figure is to be.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

pub(super) fn all(medians: &Medians) -> Vec<Target> {
    let Some(headcount) = peer(HEADCOUNT) else { return Vec::new() };
    let crowd = medians.crowd(headcount);
    let target = |what: &str, at_most, measured| Target {
        what: what.into(),
        bound: Bound::AtMost(at_most),
        measured,
    };
    let first_and_last = |sizes: std::collections::BTreeSet<usize>| {
        Some((*sizes.first()?, *sizes.last()?)).filter(|(first, last)| first != last)
    };

    let leave = crowd.and_then(|crowd| {
        let of = |name| medians.leave(name, crowd, |leave: &Leave| leave.seconds);
        Some(of(HEADCOUNT)? / of(FLOOR)?)
    });
    let cores = |placement| medians.cores(HEADCOUNT, placement, Deliver::server_cpu_us);
    let cores = || Some(cores(Placement::Together)? / cores(Placement::Apart)?);
    let rooms = first_and_last(medians.room_counts(HEADCOUNT)).and_then(|(few, many)| {
        let of = |rooms| medians.rooms(HEADCOUNT, rooms, Besides::Nothing, Rooms::server_cpu_us);
        Some(of(many)? / of(few)?)
    });
    let seats = medians.room_counts(HEADCOUNT).first().and_then(|few| {
        let of = |besides| medians.rooms(HEADCOUNT, *few, besides, Rooms::server_cpu_us);
        Some(of(Besides::Seats)? / of(Besides::Nothing)?)
    });
    let watched = medians.room_counts(HEADCOUNT).last().and_then(|many| {
        let of = |besides| medians.rooms(HEADCOUNT, *many, besides, Rooms::server_cpu_us);
        Some(of(Besides::Watched)? / of(Besides::Nothing)?)
    });
    let million = first_and_last(medians.million_sizes(HEADCOUNT));
    let flat = million.and_then(|(least, most)| {
        let of = |size| medians.million(HEADCOUNT, size, |m: &Million| m.memory.of_a_stream());
        Some(of(most)? / of(least)?)
    });
    let most = million.map_or("the largest".into(), |(_, most)| super::tables::thousands(most));
    let kilobytes = |way| Some(medians.way(HEADCOUNT, way, OfWay::of_a_stream)? / 1000.0);
    let against = |(other, to): (&str, Way), way, figure: fn(&OfWay) -> f64| {
        Some(medians.way(HEADCOUNT, way, figure)? / medians.way(other, to, figure)?)
    };
    let nchan = (NCHAN, Way::TlsHttp2);
    let resumed = |key: Key| Target {
        what: format!("joins for the same CPU with tickets, against without ({})", key.title()),
        bound: Bound::AtLeast(3.0),
        measured: medians.resumption(HEADCOUNT, key),
    };
    vec![
        target("CPU per delivered event, against the floor", 1.10, medians.cost_ratio(headcount)),
        target(
            "memory of a stream, in kB",
            1.2,
            crowd.and_then(|crowd| medians.memory(HEADCOUNT, crowd)).map(|bytes| bytes / 1000.0),
        ),
        target(
            "a storm of joins until every stream shows the number, against the floor",
            1.1,
            medians.storm_ratio(headcount),
        ),
        target(
            "one join until the last stream is told, against the floor",
            1.15,
            medians.last_ratio(headcount),
        ),
        target("all leave until the one who stays is told, against the floor", 1.2, leave),
        target("CPU per delivery with two cores, against one", 1.10, cores()),
        target(
            &format!("memory of a stream over HTTP/2 with {most}, against the smallest crowd"),
            1.10,
            flat,
        ),
        target(
            "idle streams, in per cent of a core",
            1.0,
            medians.idle(HEADCOUNT, |idle| 100.0 * idle.server_cpu_s / idle.seconds),
        ),
        target("CPU per join or leave in many rooms, against few", 1.10, rooms),
        target("CPU per join or leave with `--seats`, against without", 1.03, seats),
        target(
            "CPU per join or leave with `--history` and three dashboards, against without",
            1.03,
            watched,
        ),
        target(
            "CPU per delivered event over TLS and HTTP/1.1, against HTTP/1.1 alone",
            1.15,
            against((HEADCOUNT, Way::Http1), Way::TlsHttp1, OfWay::server_cpu_us),
        ),
        target("memory of a stream over TLS and HTTP/1.1, in kB", 6.0, kilobytes(Way::TlsHttp1)),
        target(
            "CPU per delivered event over TLS and HTTP/2, against nginx + nchan",
            0.8,
            against(nchan, Way::TlsHttp2, OfWay::server_cpu_us),
        ),
        target(
            "memory of a stream over TLS and HTTP/2, against nginx + nchan",
            0.5,
            against(nchan, Way::TlsHttp2, OfWay::of_a_stream),
        ),
        target(
            "memory of a stream over HTTP/2, a hundred on a connection, in kB",
            3.0,
            kilobytes(Way::SharedHttp2),
        ),
        resumed(Key::P256),
        resumed(Key::Rsa2048),
    ]
}

/// The targets as a table, or nothing if none of them was measured.
pub(super) fn table(targets: &[Target]) -> String {
    if targets.iter().all(|target| target.measured.is_none()) {
        return String::new();
    }
    let mut table = String::from("| what | target | measured | |\n|---|---|---|---|\n");
    for Target { what, bound, measured } in targets {
        let (measured, verdict) = match measured {
            None => ("–".into(), "not measured"),
            Some(measured) if bound.is_met(*measured) => (format!("{measured:.2}"), "met"),
            Some(measured) => (format!("{measured:.2}"), "not met"),
        };
        let _ = writeln!(table, "| {what} | {bound} | {measured} | {verdict} |");
    }
    table
}

impl Bound {
    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most:.2}"),
            Self::AtLeast(least) => write!(f, "≥ {least:.2}"),
        }
    }
}
