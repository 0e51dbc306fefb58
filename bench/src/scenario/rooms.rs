//! Small rooms, few or many, in which people come and go at a steady rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{GATHERING, IN_FLIGHT, TELLING};
use crate::load::Load;
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

pub(super) fn run(
    load: &mut Load,
    server: &Server,
    rooms: usize,
    sizes: &Sizes,
) -> anyhow::Result<Rooms> {
    let requests: Vec<_> =
        (0..rooms).map(|room| load.request(&format!("/events?room=room-{room}"))).collect();
    for _ in 0..PEOPLE {
        for request in &requests {
            load.until("open", GATHERING, |load| load.told().silent() < IN_FLIGHT)?;
            load.open(request.clone())?;
        }
    }
    let mut visitors = VecDeque::new();
    for request in requests.iter().cycle().take(VISITORS) {
        visitors.push_back(load.open(request.clone())?);
    }
    load.until("told", GATHERING, |load| load.told().silent() == 0)?;

    let (start, before) = (Instant::now(), server.tree().cpu()?);
    for change in 0..sizes.changes {
        let due = start + Duration::from_secs(1) * change as u32 / sizes.changes_per_second;
        load.rest(due.saturating_duration_since(Instant::now()))?;
        ensure!(
            due.elapsed() < LATE,
            "so many joins and leaves a second are more than it can take"
        );
        // A leave for every join, and every room has its turn.
        if change % 2 == 0 {
            visitors.push_back(load.open(requests[(VISITORS + change / 2) % rooms].clone())?);
        } else if let Some(visitor) = visitors.pop_front() {
            load.close(visitor);
        }
    }
    load.until("told", TELLING, |load| load.told().silent() == 0)?;
    Ok(Rooms {
        rooms,
        seats: false,
        people: PEOPLE,
        changes: sizes.changes,
        seconds: start.elapsed().as_secs_f64(),
        server_cpu_s: (server.tree().cpu()? - before).as_secs_f64(),
    })
}
