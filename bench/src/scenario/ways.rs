//! A crowd that came by one of the ways: what it takes in memory, and what it costs to
//! tell it of a visitor.

use std::slice::from_ref;
use std::time::Duration;

use super::crowd::warm_up;
use super::{Base, IN_FLIGHT, PATH, deliver};
use crate::load::Load;
use crate::results::{Deliver, Memory};
use crate::server::Server;

/// How long the crowd may take to gather. Node tells each join to everybody: two million
/// events until 2,000 are there.
const GATHERING: Duration = Duration::from_secs(300);

pub(super) fn run(
    load: &mut Load,
    server: &Server,
    streams: usize,
    rounds: usize,
) -> anyhow::Result<(Memory, Deliver)> {
    warm_up(load)?;
    let base = Base::of(server)?;
    load.fill(PATH, streams, IN_FLIGHT, GATHERING)?;
    load.watch(streams);
    load.until_all_know(GATHERING)?;
    let memory = base.with(load, server.tree())?;
    Ok((memory, deliver::rounds(load, from_ref(server), rounds)?))
}
