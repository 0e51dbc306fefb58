//! So many clients that connect at once, as fast as the load client can.

use super::{GATHERING, PATH};
use crate::figures::percentiles;
use crate::load::Load;
use crate::results::Storm;
use crate::server::Server;

pub(super) fn run(load: &mut Load, server: &Server, streams: usize) -> anyhow::Result<Storm> {
    let before = server.tree().cpu()?;
    load.watch(streams);
    load.fill(PATH, streams, usize::MAX, GATHERING)?;
    load.until_all_know(GATHERING)?;
    Ok(Storm {
        streams,
        converged_s: load.told().since().elapsed().as_secs_f64(),
        server_cpu_s: (server.tree().cpu()? - before).as_secs_f64(),
        deliveries: load.told().events(),
        first_event_us: percentiles(load.told().first_events()),
    })
}
