//! What Headcount is to reach, and whether it does.

use std::fmt::Write as _;

use super::medians::Medians;
use crate::cores::Placement;
use crate::peers::{FLOOR, HEADCOUNT, peer};
use crate::results::{Deliver, Leave, Million, Rooms};

/// One target, and what was measured, if it was.
pub(super) struct Target {
    what: String,
    at_most: f64,
    measured: Option<f64>,
}

pub(super) fn all(medians: &Medians) -> Vec<Target> {
    let Some(headcount) = peer(HEADCOUNT) else { return Vec::new() };
    let crowd = medians.crowd(headcount);
    let target = |what: &str, at_most, measured| Target { what: what.into(), at_most, measured };
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
        let of = |rooms| medians.rooms(HEADCOUNT, rooms, Rooms::server_cpu_us);
        Some(of(many)? / of(few)?)
    });
    let million = first_and_last(medians.million_sizes(HEADCOUNT));
    let flat = million.and_then(|(least, most)| {
        let of = |size| medians.million(HEADCOUNT, size, |m: &Million| m.memory.of_a_stream());
        Some(of(most)? / of(least)?)
    });
    let most = million.map_or("the largest".into(), |(_, most)| super::tables::thousands(most));
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
    ]
}

/// The targets as a table, or nothing if none of them was measured.
pub(super) fn table(targets: &[Target]) -> String {
    if targets.iter().all(|target| target.measured.is_none()) {
        return String::new();
    }
    let mut table = String::from("| what | target | measured | |\n|---|---|---|---|\n");
    for Target { what, at_most, measured } in targets {
        let (measured, verdict) = match measured {
            None => ("–".into(), "not measured"),
            Some(measured) if measured <= at_most => (format!("{measured:.2}"), "met"),
            Some(measured) => (format!("{measured:.2}"), "not met"),
        };
        let _ = writeln!(table, "| {what} | ≤ {at_most:.2} | {measured} | {verdict} |");
    }
    table
}
