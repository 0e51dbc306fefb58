//! One visitor who joins and leaves, so many times, while everybody is told.

use std::time::Duration;

use super::{PATH, TELLING, cpu};
use crate::figures::percentiles;
use crate::load::Load;
use crate::process::cpu_of_this_thread;
use crate::results::Deliver;
use crate::server::Server;

/// How long everybody rests after a change, for each stream: each change is to come
/// after a quiet moment, for every server, whatever it does to merge changes. Headcount's
/// pause lasts for three times what telling them took and for 100 µs at most, of which a
/// third has passed once all are told.
const REST: Duration = Duration::from_micros(70);
const SHORTEST_REST: Duration = Duration::from_millis(20);

pub(super) fn rounds(
    load: &mut Load,
    servers: &[Server],
    rounds: usize,
) -> anyhow::Result<Deliver> {
    let request = load.request(PATH);
    let streams = load.told().open();
    let rest = (REST * u32::try_from(streams)?).max(SHORTEST_REST);
    load.rest(rest)?;

    let (mut latencies, mut last_us, mut telling) = (Vec::new(), Vec::new(), Duration::ZERO);
    let (server_before, client_before) = (cpu(servers)?, cpu_of_this_thread()?);
    load.forget_figures();
    for _ in 0..rounds {
        let visitor = load.connect(TELLING)?;
        load.watch(streams + load.of_a_connection());
        load.ask(visitor, &request)?;
        load.until_all_know(TELLING)?;
        let last = load.told().latencies().last().copied().unwrap_or_default();
        last_us.push(last.as_secs_f64() * 1e6);
        telling += last;
        latencies.extend_from_slice(load.told().latencies());
        load.rest(rest)?;

        load.watch(streams);
        load.close(visitor);
        load.until_all_know(TELLING)?;
        telling += load.told().latencies().last().copied().unwrap_or_default();
        load.rest(rest)?;
    }
    Ok(Deliver {
        streams,
        rounds,
        deliveries: load.told().events(),
        server_cpu_s: (cpu(servers)? - server_before).as_secs_f64(),
        client_cpu_s: (cpu_of_this_thread()? - client_before).as_secs_f64(),
        telling_s: telling.as_secs_f64(),
        latency_us: percentiles(&latencies),
        last_us,
    })
}
