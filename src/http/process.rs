//! What the process takes, as `/metrics` tells it.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Opts, Result};

const CPU: &str = "process_cpu_seconds_total";

/// What [`ProcessCollector`] tells, with a more precise CPU time. The collector tells whole
/// seconds, whose rate over half a minute is wrong by several percent of a core.
pub(super) struct Process {
    collector: ProcessCollector,
    cpu: Counter,
}

impl Process {
    /// What this process has used so far.
    pub(super) fn now() -> Result<Self> {
        let cpu =
            Counter::with_opts(Opts::new(CPU, "Total user and system CPU time spent in seconds."))?;
        let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(std::io::Error::from)?;
        cpu.inc_by(seconds(usage.user_time()) + seconds(usage.system_time()));
        Ok(Self { collector: ProcessCollector::for_self(), cpu })
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.collector.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.collector.collect();
        families.retain(|family| family.name() != CPU);
        families.extend(self.cpu.collect());
        families
    }
}
