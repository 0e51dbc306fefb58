//! As many streams as there can be: over HTTP/2, where a connection carries a hundred.

use std::time::{Duration, Instant};

use super::{Base, PATH};
use crate::descriptors;
use crate::kernel;
use crate::load::{Load, Protocol};
use crate::results::{Figures, Million};
use crate::server::Server;
use crate::way::OF_A_CONNECTION;

/// Which share of the streams is on its way at once: with few of them, most of the time
/// would go into telling those who are there already. A tenth of a million comes on a
/// thousand connections, for which a listener's queue has room.
const IN_FLIGHT: f64 = 0.1;

/// How long so many may take to gather and to be told.
const PATIENCE: Duration = Duration::from_secs(240);

/// The largest share of the memory that was free which may be taken.
const SHARE: f64 = 0.7;

/// File descriptors that are no connections, on either side.
const RESERVE: u64 = 300;

pub(super) fn run(
    load: &mut Load,
    server: &Server,
    sizes: &[usize],
    keep: &mut impl FnMut(Figures),
) -> anyhow::Result<()> {
    let available = kernel::available()?;
    let base = Base::of(server)?;
    let mut visitor = Load::new(server.address(), Protocol::EventStream)?;
    for size in sizes {
        let size = (*size).min(allowed(available, load.told().open())?);
        if size <= load.told().open() {
            break;
        }
        let opening = Instant::now();
        load.watch(size);
        load.fill(PATH, size, (size as f64 * IN_FLIGHT) as usize, PATIENCE)?;
        load.until_all_know(PATIENCE)?;
        let opening_s = opening.elapsed().as_secs_f64();
        let memory = base.with(load, server.tree())?;

        let before = server.tree().cpu()?;
        let key = visitor.connect(PATIENCE)?;
        load.watch(size + 1);
        visitor.ask(key, &visitor.request(PATH))?;
        load.until_all_know(PATIENCE)?;
        let telling_s = load.told().since().elapsed().as_secs_f64();
        let cpu = server.tree().cpu()? - before;
        let server_cpu_us = cpu.as_secs_f64() * 1e6 / size as f64;
        keep(Figures::Million(Million { memory, opening_s, telling_s, server_cpu_us }));

        visitor.close(key);
        load.watch(size);
        load.until_all_know(PATIENCE)?;
    }
    Ok(())
}

/// How many streams the machine has room for: by file descriptors, and by memory, if
/// each takes what the `open` ones have taken since `available` was free.
fn allowed(available: u64, open: usize) -> anyhow::Result<usize> {
    let descriptors = descriptors::raise()?.unwrap_or(u64::MAX).saturating_sub(RESERVE);
    let by_descriptors = descriptors.saturating_mul(OF_A_CONNECTION.into());
    let by_descriptors = usize::try_from(by_descriptors).unwrap_or(usize::MAX);
    if open < 10_000 {
        return Ok(by_descriptors);
    }
    let of_a_stream = available.saturating_sub(kernel::available()?) as f64 / open as f64;
    let by_memory = (available as f64 * SHARE / of_a_stream.max(1.0)) as usize;
    Ok(round(by_memory.min(by_descriptors)))
}

/// Down to two digits, and whole connections.
fn round(streams: usize) -> usize {
    let unit = 10_usize.pow(streams.max(1000).ilog10() - 1);
    streams / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_two_digits_and_whole_connections() {
        assert_eq!(
            [1_000_000, 873_999, 12_345, 1999].map(round),
            [1_000_000, 870_000, 12_000, 1900]
        );
    }
}
