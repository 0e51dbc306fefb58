//! Small rooms, few or many, in which people come and go at a steady rate.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{GATHERING, IN_FLIGHT, TELLING, cpu};
use crate::load::{Key, Load};
use crate::plan::Sizes;
use crate::results::Rooms;
use crate::server::Server;

/// How many people are in a room, besides who comes and goes.
const PEOPLE: usize = 3;

/// How many visitors there are at a time. Enough that each was told of its own arrival
/// long before it leaves.
const VISITORS: usize = 40;

/// How much later than planned a change may be made.
const LATE: Duration = Duration::from_secs(1);

/// Fills the rooms and changes them. Of each room's people the first goes to the first of
/// the servers, the second to the second, and so do the visitors.
pub(super) fn run(
    load: &mut Load,
    servers: &[Server],
    rooms: usize,
    sizes: &Sizes,
) -> anyhow::Result<Rooms> {
    let mut visitors = gather(load, servers, rooms)?;
    change(load, servers, rooms, sizes, &mut visitors)
}

/// Fills the rooms, and says who the visitors are.
pub(super) fn gather(
    load: &mut Load,
    servers: &[Server],
    rooms: usize,
) -> anyhow::Result<VecDeque<Key>> {
    let mut addresses = servers.iter().map(Server::address).cycle();
    for address in addresses.clone().take(PEOPLE) {
        load.turn_to(address);
        for room in 0..rooms {
            load.until("open", GATHERING, |load| load.told().silent() < IN_FLIGHT)?;
            load.open(request(load, room))?;
        }
    }
    let mut visitors = VecDeque::new();
    for (room, address) in (0..rooms).cycle().zip(&mut addresses).take(VISITORS) {
        load.turn_to(address);
        visitors.push_back(load.open(request(load, room))?);
    }
    load.until("told", GATHERING, |load| load.told().silent() == 0)?;
    Ok(visitors)
}

/// Has visitors come and go.
pub(super) fn change(
    load: &mut Load,
    servers: &[Server],
    rooms: usize,
    sizes: &Sizes,
    visitors: &mut VecDeque<Key>,
) -> anyhow::Result<Rooms> {
    let requests: Vec<_> = (0..rooms).map(|room| request(load, room)).collect();
    let mut addresses = servers.iter().map(Server::address).cycle();
    let (start, before) = (Instant::now(), cpu(servers)?);
    for change in 0..sizes.changes {
        let due = start + Duration::from_secs(1) * change as u32 / sizes.changes_per_second;
        load.rest(due.saturating_duration_since(Instant::now()))?;
        ensure!(
            due.elapsed() < LATE,
            "so many joins and leaves a second are more than it can take"
        );
        // A leave for every join, and every room has its turn.
        if change % 2 == 0 {
            load.turn_to(addresses.next().context("no server")?);
            visitors.push_back(load.open(requests[(VISITORS + change / 2) % rooms].clone())?);
        } else if let Some(visitor) = visitors.pop_front() {
            load.close(visitor);
        }
    }
    load.until("told", TELLING, |load| load.told().silent() == 0)?;
    Ok(Rooms {
        rooms,
        seats: false,
        watched: false,
        people: PEOPLE,
        changes: sizes.changes,
        seconds: start.elapsed().as_secs_f64(),
        server_cpu_s: (cpu(servers)? - before).as_secs_f64(),
    })
}

fn request(load: &Load, room: usize) -> Rc<[u8]> {
    load.request(&format!("/events?room=room-{room}"))
}
