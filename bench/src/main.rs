//! The bench: runs the scenarios, keeps their figures, and writes the report.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum as _};
use headcount_bench::cores::{Cores, Placement};
use headcount_bench::machine::Machine;
use headcount_bench::peers::Peer;
use headcount_bench::plan::{self, FULL, QUICK, Scenario, Sizes, Step};
use headcount_bench::progress::Progress;
use headcount_bench::results::{NotRun, Record, Results};
use headcount_bench::{descriptors, report, scenario, server};

#[derive(Parser)]
#[command(about = "Headcount measured beside other servers that do the same")]
struct Arguments {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// Smaller crowds and fewer rounds, in under a minute
    #[arg(long, global = true)]
    quick: bool,
    /// Measure these servers only
    #[arg(long, value_name = "PEER,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Do these scenarios only
    #[arg(long, value_name = "SCENARIO,…", value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// How often each is measured; odd, or the median is none of them
    #[arg(long, value_name = "NUMBER")]
    runs: Option<usize>,
    /// Where the figures and the report go
    #[arg(long, value_name = "DIR", global = true)]
    results: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Instead {
    /// Write the report anew from the figures that are there
    Report,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let results = arguments.results.clone().unwrap_or_else(|| {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        if arguments.quick { results.join("quick") } else { results }
    });
    let raw = results.join("results.json");
    if arguments.instead.is_none() {
        std::fs::create_dir_all(&results)?;
        measure(&arguments)?.write(&raw)?;
    }
    report::write(&Results::read(&raw)?, &results)?;
    println!("{}", results.join("report.md").display());
    Ok(())
}

fn measure(arguments: &Arguments) -> anyhow::Result<Results> {
    let mut sizes = if arguments.quick { QUICK } else { FULL };
    sizes.runs = arguments.runs.unwrap_or(sizes.runs);
    let scenarios = match &arguments.scenario[..] {
        [] => Scenario::value_variants(),
        some => some,
    };
    let (peers, not_run) = those_there(plan::peers(&arguments.only, arguments.quick)?);
    let steps = plan::steps(&sizes, &peers, scenarios);

    let descriptors = descriptors::raise()?;
    let cores = Cores::of_this_process()?;
    let machine = Machine::here(cores.count(), descriptors);
    server::end_on_interrupt()?;
    cores.be_client(Placement::Apart)?;
    let mut results = Results { machine, quick: arguments.quick, records: Vec::new(), not_run };
    carry_out(&steps, &sizes, &cores, &mut results);
    Ok(results)
}

/// Sorts out the peers that aren't installed.
fn those_there(peers: Vec<&'static Peer>) -> (Vec<&'static Peer>, Vec<NotRun>) {
    let mut not_run = Vec::new();
    let there = peers.into_iter().filter(|peer| match peer.is_there() {
        Ok(()) => true,
        Err(why) => {
            let (peer, what, why) = (peer.name.into(), "anything".into(), why.to_string());
            not_run.push(NotRun { peer, what, why });
            false
        }
    });
    (there.collect(), not_run)
}

/// Does one step after the other. What fails once is not tried again in a later run.
fn carry_out(steps: &[Step], sizes: &Sizes, cores: &Cores, results: &mut Results) {
    let mut progress = Progress::new(steps, sizes);
    for step in steps {
        progress.begin(step);
        let (peer, what) = (step.peer.name.to_owned(), step.what());
        if !results.not_run.iter().any(|failed| (&failed.peer, &failed.what) == (&peer, &what)) {
            let records = &mut results.records;
            let mut keep = |figures| {
                records.push(Record { peer: peer.clone(), run: step.run, figures });
            };
            if let Err(error) = scenario::run(step, sizes, cores, &mut keep) {
                let why = format!("{error:#}");
                progress.warn(&format!("{}: {what}: {why}", step.peer.title));
                results.not_run.push(NotRun { peer, what, why });
            }
        }
        progress.done();
    }
    progress.finish();
}
