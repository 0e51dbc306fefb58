//! What `/metrics` shows, one metric after the other.

#[cfg(feature = "server")]
use prometheus::Gauge;
use prometheus::core::Collector;
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result, TextEncoder,
};

/// A page of metrics that is being filled.
pub(super) struct Exposition(Registry);

impl Exposition {
    pub(super) fn new() -> Self {
        Self(Registry::new())
    }

    /// A number that only rises.
    pub(super) fn counter(&self, name: &str, help: &str, value: u64) -> Result<()> {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        self.add(counter)
    }

    /// A number that rises and falls.
    pub(super) fn gauge(&self, name: &str, help: &str, value: usize) -> Result<()> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.add(gauge)
    }

    /// A time, which is given in microseconds.
    #[cfg(feature = "server")]
    pub(super) fn seconds(&self, name: &str, help: &str, micros: usize) -> Result<()> {
        let seconds = Gauge::new(name, help)?;
        seconds.set(micros as f64 / 1e6);
        self.add(seconds)
    }

    /// A text, as the label of a metric that is always 1.
    pub(super) fn info(&self, name: &str, help: &str, label: &str, text: &str) -> Result<()> {
        let info = IntGaugeVec::new(Opts::new(name, help), &[label])?;
        info.with_label_values(&[text]).set(1);
        self.add(info)
    }

    /// Numbers that only rise, each with its reason as a label.
    pub(super) fn by_reason<'a>(
        &self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<()> {
        let counters = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
        for (reason, value) in values {
            counters.with_label_values(&[reason.replace(' ', "_")]).inc_by(value);
        }
        self.add(counters)
    }

    pub(super) fn add(&self, metrics: impl Collector + 'static) -> Result<()> {
        self.0.register(Box::new(metrics))
    }

    /// The page in Prometheus' text format.
    pub(super) fn text(&self) -> Result<String> {
        TextEncoder::new().encode_to_string(&self.0.gather())
    }
}
