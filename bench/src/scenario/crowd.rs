//! A crowd that gathers without haste: what it takes in memory, what it costs when
//! nothing happens, when one comes and goes, and when all go at once.

use std::slice::from_ref;
use std::time::{Duration, Instant};

use super::{Base, GATHERING, IN_FLIGHT, PATH, TELLING, deliver};
use crate::load::Load;
use crate::results::{Figures, Idle, Leave};
use crate::server::Server;

/// So many come and go before memory is looked at, but for the first of them …
const FIRST: usize = 100;
/// … and so much later.
const QUIET: Duration = Duration::from_secs(2);

/// What is measured of it.
pub(super) struct Parts {
    pub(super) memory: bool,
    pub(super) idle: Option<Duration>,
    pub(super) deliver: Option<usize>,
    pub(super) leave: bool,
}

pub(super) fn run(
    load: &mut Load,
    server: &Server,
    sizes: &[usize],
    parts: &Parts,
    keep: &mut impl FnMut(Figures),
) -> anyhow::Result<()> {
    if parts.memory {
        warm_up(load)?;
    }
    let base = Base::of(server)?;
    for size in sizes {
        load.fill(PATH, *size, IN_FLIGHT, GATHERING)?;
        load.watch(*size);
        load.until_all_know(GATHERING)?;
        if parts.memory {
            keep(Figures::Memory(base.with(load, server.tree())?));
        }
    }
    if let Some(window) = parts.idle {
        keep(Figures::Idle(idle(load, server, window)?));
    }
    if let Some(rounds) = parts.deliver {
        keep(Figures::Deliver(deliver::rounds(load, from_ref(server), rounds)?));
    }
    if parts.leave {
        keep(Figures::Leave(leave(load, server)?));
    }
    Ok(())
}

/// What a server sets up with its first clients is not what a stream takes.
pub(super) fn warm_up(load: &mut Load) -> anyhow::Result<()> {
    load.fill(PATH, FIRST * load.of_a_connection(), IN_FLIGHT, GATHERING)?;
    load.watch(load.of_a_connection());
    load.close_all_but_the_first();
    load.until_all_know(GATHERING)?;
    load.rest(QUIET)
}

fn idle(load: &mut Load, server: &Server, window: Duration) -> anyhow::Result<Idle> {
    let (start, before) = (Instant::now(), server.tree().cpu()?);
    load.rest(window)?;
    Ok(Idle {
        streams: load.told().open(),
        seconds: start.elapsed().as_secs_f64(),
        server_cpu_s: (server.tree().cpu()? - before).as_secs_f64(),
    })
}

fn leave(load: &mut Load, server: &Server) -> anyhow::Result<Leave> {
    let (streams, before) = (load.told().open(), server.tree().cpu()?);
    load.watch(1);
    load.close_all_but_the_first();
    load.until_all_know(TELLING)?;
    Ok(Leave {
        streams,
        seconds: load.told().since().elapsed().as_secs_f64(),
        server_cpu_s: (server.tree().cpu()? - before).as_secs_f64(),
    })
}
