//! Visitors who come over TLS, are told the number, and leave, one after the other: what
//! the handshake costs, with a ticket of an earlier visit and without.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;

use super::{GATHERING, PATH};
use crate::certificate::Key;
use crate::load::{Handshake, Load};
use crate::process::cpu_of_this_thread;
use crate::results::Joins;
use crate::server::Server;

/// How many are there at a time: enough that the server always has something to do.
pub(super) const AT_ONCE: usize = 8;

/// So many come before it counts.
const FIRST: usize = 100;

pub(super) fn run(
    load: &mut Load,
    server: &Server,
    key: Key,
    handshake: Handshake,
    joins: usize,
) -> anyhow::Result<Joins> {
    let request = load.request(PATH);
    let mut visitors = VecDeque::new();
    come_and_go(load, &mut visitors, &request, FIRST)?;
    if handshake == Handshake::Resumed {
        // Everybody was here once. Servers give one ticket at least to each.
        let mut visits = 0;
        while load.tickets() < joins {
            ensure!(visits <= joins, "only {} tickets for {visits} visits", load.tickets());
            come_and_go(load, &mut visitors, &request, FIRST)?;
            visits += FIRST;
        }
        load.use_tickets();
    }

    let (start, resumed) = (Instant::now(), load.resumed());
    let (server_before, client_before) = (server.tree().cpu()?, cpu_of_this_thread()?);
    come_and_go(load, &mut visitors, &request, joins)?;
    Ok(Joins {
        key,
        handshake,
        joins,
        resumed: load.resumed() - resumed,
        seconds: start.elapsed().as_secs_f64(),
        server_cpu_s: (server.tree().cpu()? - server_before).as_secs_f64(),
        client_cpu_s: (cpu_of_this_thread()? - client_before).as_secs_f64(),
    })
}

fn come_and_go(
    load: &mut Load,
    visitors: &mut VecDeque<crate::load::Key>,
    request: &Rc<[u8]>,
    joins: usize,
) -> anyhow::Result<()> {
    for _ in 0..joins {
        visitors.push_back(load.open(request.clone())?);
        if visitors.len() < AT_ONCE {
            continue;
        }
        if let Some(first) = visitors.pop_front() {
            load.until("told", GATHERING, |load| load.told().is_told(first))?;
            load.close(first);
        }
    }
    Ok(())
}
