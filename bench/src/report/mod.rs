//! The report, made from the raw figures alone: `report.md` and its pictures.

mod medians;
mod plots;
mod tables;
mod targets;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::peers::{HEADCOUNT, Peer, peer};
use crate::results::Results;
use medians::Medians;

/// Writes the report and its pictures into `folder`.
///
/// # Errors
/// If they can't be written.
pub fn write(results: &Results, folder: &Path) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let medians = Medians::of(results);
    for plot in plots::all(&medians) {
        write(plot.file, &plot.svg)?;
    }
    // A full run has its report in `results`, others have theirs in folders of that.
    let below = folder.parent().is_some_and(|parent| parent.ends_with("results"));
    let readme = if below { "../../README.md" } else { "../README.md" };
    write("report.md", &markdown(results, &medians, readme))
}

fn markdown(results: &Results, medians: &Medians, readme: &str) -> String {
    let mut report = String::from("# What a live count costs\n\n");
    let _ = writeln!(report, "{}\n", preface(results, readme));
    let shown: Vec<_> = plots::all(medians).into_iter().map(|plot| plot.file).collect();
    let mut section = |title: &str, prose: String, plot: Option<&str>, table: String| {
        if table.is_empty() {
            return;
        }
        let _ = writeln!(report, "## {title}\n");
        if !prose.is_empty() {
            // A comparison with nobody leaves a gap.
            let prose = prose.replace("  ", " ");
            let _ = writeln!(report, "{}\n", prose.trim_end());
        }
        if let Some(plot) = plot.filter(|plot| shown.contains(plot)) {
            let _ = writeln!(report, "![{title}]({plot})\n");
        }
        let _ = writeln!(report, "{table}");
    };
    let targets = targets::all(medians);
    section("Targets", String::new(), None, targets::table(&targets));
    section(
        "Cost of a delivery",
        format!(
            "The server's CPU time, divided by the events that the clients received while a \
             visitor came and went. {}",
            compared(medians, |peer| medians.cost_ratio(peer), "A delivery costs")
        ),
        Some(plots::COST),
        tables::cost(medians),
    );
    section(
        "How soon everybody knows",
        format!(
            "From the moment the visitor's request is sent to each stream that is told. {}",
            compared(medians, |peer| medians.last_ratio(peer), "The last of them is told after")
        ),
        Some(plots::LATENCY),
        tables::latency(medians),
    );
    section(
        "Memory of a stream",
        format!(
            "The growth of the server's resident memory, divided by the streams. {} Beside it \
             the growth of the kernel's own memory, which has the clients' ends in it and is \
             not the server's choice.",
            compared_to_headcount(medians)
        ),
        Some(plots::MEMORY),
        tables::memory(medians),
    );
    section(
        "A storm of joins",
        format!(
            "All connect at once: the time from the first connection until every stream shows \
             the number. {}",
            compared(medians, |peer| medians.storm_ratio(peer), "It takes")
        ),
        Some(plots::STORM),
        tables::storm(medians),
    );
    section(
        "Everybody leaves, and nobody moves",
        "All but one close at once, until the one who stays is told 1; and the share of a core \
         that open streams take while nothing happens."
            .into(),
        None,
        tables::leave_and_idle(medians),
    );
    section("Many rooms", String::new(), None, tables::rooms(medians));
    section(
        "Two cores",
        "The same rounds with server and clients on both cores.".into(),
        None,
        tables::cores(medians),
    );
    section(
        "As many streams as there can be",
        "A crowd that grows, over HTTP/2 with a hundred streams on each connection, as far as \
         file descriptors and memory allow (its target is a million)."
            .into(),
        None,
        tables::million(medians),
    );
    section(
        "Memory by the way taken",
        "Browsers speak HTTP/2 over TLS where a server has it. Each stream has a connection of \
         its own, except where a hundred share one. A server that tells each join to everybody \
         (Node) has a smaller crowd, once."
            .into(),
        Some(plots::WAYS_MEMORY),
        tables::ways_memory(medians),
    );
    section(
        "A delivery by the way taken",
        "To the same crowds, measured as above.".into(),
        Some(plots::WAYS_COST),
        tables::ways_cost(medians),
    );
    section(
        "Joins over TLS",
        "Eight visitors at a time come over TLS and HTTP/2, are told, and leave: with a ticket \
         of an earlier visit the handshake is short, and nothing has to be signed. Joins a \
         second are by the clock, and fewer than the server can take wherever something else \
         was busy too."
            .into(),
        None,
        tables::joins(medians),
    );
    section(
        "A crowd on several nodes",
        "Nodes that share a count through Redis, each with as much of the crowd; a visitor comes \
         to the first of them and goes, as in `deliver`. All nodes and Redis are on one core. \
         CPU time is that of all nodes, less what they take while nothing happens."
            .into(),
        None,
        tables::nodes(medians),
    );
    section(
        "Rooms on several nodes",
        "One of a room's three people is at each node. One more node has nobody and hears of \
         each change."
            .into(),
        None,
        tables::rooms_of_nodes(medians),
    );
    section(
        "Redis alone",
        "Written to as nodes do, by their script, each 40 times a second; every other change is \
         that somebody left."
            .into(),
        None,
        tables::writes(medians),
    );
    section("Not run", String::new(), None, tables::not_run(results));
    section("The machine", String::new(), None, tables::machine(results));
    report
}

fn preface(results: &Results, readme: &str) -> String {
    let runs = results.records.iter().map(|record| record.run + 1).max().unwrap_or(0);
    let kind = if results.quick {
        "A quick run, with small crowds: for a first look, not for comparison."
    } else {
        "A full run."
    };
    format!(
        "{kind} Made by `bench` from `results.json`, which has the figures of every run; here \
         are medians of {runs}. The servers ran in turn, each started anew for each figure, on \
         one core, the load client on another. Logging was off for all of them. How it is \
         measured, and what isn't fair, is told in [bench/README.md]({readme})."
    )
}

/// "A delivery costs, against the floor, 1.10 × with Headcount and 2.00 × with plain axum."
fn compared(medians: &Medians, ratio: impl Fn(&Peer) -> Option<f64>, beginning: &str) -> String {
    let ratios: Vec<_> = medians
        .peers()
        .filter(|peer| peer.name != crate::peers::FLOOR)
        .filter_map(|peer| Some(format!("{:.2} × with {}", ratio(peer)?, peer.title)))
        .collect();
    if ratios.is_empty() {
        return String::new();
    }
    format!("{beginning}, against the floor, {}.", listed(&ratios))
}

fn compared_to_headcount(medians: &Medians) -> String {
    let of = |peer: &Peer| medians.memory(peer.name, medians.crowd(peer)?);
    let Some(base) = peer(HEADCOUNT).and_then(of) else { return String::new() };
    let others =
        medians.peers().filter(|peer| ![crate::peers::FLOOR, HEADCOUNT].contains(&peer.name));
    let ratios: Vec<_> = others
        .filter_map(|peer| Some(format!("{:.1} × with {}", of(peer)? / base, peer.title)))
        .collect();
    if ratios.is_empty() {
        return String::new();
    }
    format!("Against a stream of Headcount, it is {}.", listed(&ratios))
}

/// "a, b and c".
fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures that are easy to check by head: see the JSON.
    const FIXED: &str = include_str!("fixed.json");

    fn fixed() -> Results {
        serde_json::from_str(FIXED).expect("results")
    }

    #[test]
    fn the_report_is_made_from_the_figures() {
        let results = fixed();
        let report = markdown(&results, &Medians::of(&results), "../README.md");
        for line in [
            // 2 µs, of runs with 1, 2 and 9, against the floor's 1.
            "| Headcount | 100 | 2.00 | 2.00 | 0.50 |",
            "| CPU per delivered event, against the floor | ≤ 1.10 | 2.00 | not met |",
            "| memory of a stream, in kB | ≤ 1.20 | 1.00 | met |",
            "| plain axum | 100 | 20.00 |",
            "2.00 × with Headcount and 4.00 × with plain axum.",
            "| Bun | anything | there is no bench/peers/bun/run |",
            "| TLS, HTTP/2 | Headcount | 100 | 20.00 | 0.50 |",
            "| TLS, HTTP/2 | Headcount | 100 | 3.00 | 1.50 | 0.75 | 0.50 |",
            "| TLS, HTTP/2 | nginx + nchan | 100 | 4.00 | 2.00 | 1.00 | 0.50 |",
            "| CPU per delivered event over TLS and HTTP/2, against nginx + nchan | ≤ 0.80 | 0.75 | met |",
            "| memory of a stream over TLS and HTTP/2, against nginx + nchan | ≤ 0.50 | 0.50 | met |",
            "| Headcount | RSA 2048 | 900.00 | 400.00 | 2.25 | 1,000 | 2,000 | 100.00, 100.00 |",
            "| joins for the same CPU with tickets, against without (RSA 2048) | ≥ 3.00 | 2.25 | not met |",
            "| joins for the same CPU with tickets, against without (P-256) | ≥ 3.00 | – | not measured |",
            // 2.2 s, of which 0.2 s are those of 10 s in which nothing happens.
            "| 4 | 25 | 2.00 | 0.50 | 51.00 | 100.00 | 101.00 | 0.20 | 4.00 | 500.00 | 10.00 |",
            "| 3 | 1,000 | 2,000 | 100.00 | 3.00 | 10.00 | 2.00 | 120.00 | 4000.00 | 500.00 |",
            "| 1 | 3 | 1,000 | 40 | 1.00 | 10.00 | 250.00 | 100.00 | 300.00 |",
        ] {
            assert!(report.contains(line), "{line} is missing in:\n{report}");
        }
        assert!(!report.contains("Two cores"), "what was not measured is not in the report");
    }

    #[test]
    fn a_report_and_its_pictures_are_files() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&fixed(), folder.path()).expect("written");
        let report = fs::read_to_string(folder.path().join("report.md")).expect("a report");
        let files =
            [plots::COST, plots::MEMORY, plots::LATENCY, plots::WAYS_MEMORY, plots::WAYS_COST];
        for file in files {
            assert!(report.contains(&format!("({file})")));
            let svg = fs::read_to_string(folder.path().join(file)).expect("a picture");
            assert!(svg.starts_with("<svg") && svg.contains("Headcount"));
        }
        assert!(!report.contains(plots::STORM), "there was no storm");
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.json");
        fixed().write(&path).expect("written");
        let again = Results::read(&path).expect("read");
        assert_eq!(format!("{:?}", fixed()), format!("{again:?}"));
    }
}
