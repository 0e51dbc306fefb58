//! The gate: how many connections there may be, and which one is closed when there is no
//! room for one more. That is the one that was idle for longest or, if none is idle, the one
//! that was being answered for longest; never one that has a stream.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::Network;
use crate::tally::Crowded;

/// How long a connection may be idle before it is closed rather than one that is being
/// answered: a client that was just let in has not had the time to ask.
const NEW: Duration = Duration::from_secs(1);

/// No connection is closed for another before it has stayed this long, whatever happens, so
/// that a client has time to shake hands and ask.
const LEAST_STAY: Duration = Duration::from_millis(250);

/// How many are closed at once, or which part of the limit if that is less.
const AT_ONCE: usize = 8;
const PART: usize = 64;

/// The way in.
#[derive(Debug)]
pub(super) struct Gate {
    max: usize,
    max_per_address: Option<usize>,
    /// Connections from these networks carry many clients, and have no limit of their own.
    proxies: Vec<IpNet>,
    crowded: Arc<Crowded>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    /// How many were told to go and are still there.
    closing: usize,
    /// Connections that may be closed for another, in the order in which they came to stand so.
    idle: BTreeMap<u64, Closable>,
    busy: BTreeMap<u64, Closable>,
    next: u64,
    /// Kept only if there is a limit for each address.
    by_address: HashMap<Network, OfAddress>,
}

#[derive(Debug)]
struct Closable {
    address: Option<Network>,
    since: Instant,
    close: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct OfAddress {
    connections: usize,
    idle: BTreeSet<u64>,
}

/// How a connection stands when one has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has nothing under way. It goes first.
    Idle,
    /// It is being answered.
    Busy,
    /// It has a stream. It stays.
    Streaming,
}

/// A connection that was just let in.
#[derive(Debug)]
pub(super) struct Entered {
    /// Boxed, because it is passed from one step of the connection's life to the next.
    pub(super) pass: Box<Pass>,
    /// Resolves when this connection must go.
    pub(super) closed: oneshot::Receiver<()>,
}

/// A connection that was let in, until this is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    address: Option<Network>,
    place: Place,
}

/// Where the sender that closes the connection is.
#[derive(Debug)]
enum Place {
    Idle(u64),
    Busy(u64),
    Streaming(oneshot::Sender<()>),
    /// It was used: the connection was told to go.
    Closed,
    /// It is not needed any more.
    Stays,
}

impl Gate {
    pub(super) fn new(
        max: usize,
        max_per_address: Option<usize>,
        proxies: Vec<IpNet>,
        crowded: Arc<Crowded>,
    ) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, proxies, crowded, inside: Mutex::default() })
    }

    /// Whether there is room for one more. If not, this closes some that have no stream, so
    /// there will be room, unless the gate [is full](Self::is_full).
    pub(super) fn has_room(&self) -> bool {
        let mut inside = self.lock();
        let room = inside.connections < self.max;
        if !room {
            self.crowded.closed_by_max.add(inside.close_some(self.at_once()));
        }
        room
    }

    fn at_once(&self) -> usize {
        (self.max / PART).clamp(1, AT_ONCE)
    }

    /// Whether every connection has a stream.
    pub(super) fn is_full(&self) -> bool {
        let inside = self.lock();
        let stay = inside.closing == 0 && inside.idle.is_empty() && inside.busy.is_empty();
        inside.connections >= self.max && stay
    }

    /// Lets a connection in, for which another one of its address may have to go; `None` if
    /// there is no room.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Entered> {
        let peer = peer.to_canonical();
        let is_limited = self.max_per_address.is_some()
            && !self.proxies.iter().any(|proxies| proxies.contains(&peer));
        let address = is_limited.then(|| Network::of(peer));
        let mut inside = self.lock();
        if let (Some(address), Some(max)) = (&address, self.max_per_address)
            && let Some(of_address) = inside.by_address.get(address)
            && of_address.connections >= max
        {
            let Some(longest_idle) = of_address.idle.first().copied() else {
                self.crowded.refused_by_max_per_ip.count();
                return None;
            };
            inside.close_idle(longest_idle);
            inside.closing += 1;
            self.crowded.closed_by_max_per_ip.count();
        }
        if inside.connections >= self.max {
            self.crowded.refused_by_max.count();
            return None;
        }
        inside.connections += 1;
        if let Some(address) = address {
            inside.by_address.entry(address).or_default().connections += 1;
        }
        let (close, closed) = oneshot::channel();
        let place = inside.add(Standing::Idle, Closable { address, since: Instant::now(), close });
        drop(inside);
        Some(Entered { pass: Box::new(Pass { gate: self.clone(), address, place }), closed })
    }

    /// Closes some connections that have no stream, and returns whether any are being closed.
    pub(super) fn make_room(&self) -> bool {
        let mut inside = self.lock();
        self.crowded.closed_by_descriptors.add(inside.close_some(self.at_once()));
        inside.closing > 0
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn add(&mut self, standing: Standing, mut closable: Closable) -> Place {
        closable.since = Instant::now();
        let nth = self.next;
        self.next += 1;
        match standing {
            Standing::Idle => {
                if let Some(of_address) = closable.address.and_then(|a| self.by_address.get_mut(&a))
                {
                    of_address.idle.insert(nth);
                }
                self.idle.insert(nth, closable);
                Place::Idle(nth)
            }
            Standing::Busy => {
                self.busy.insert(nth, closable);
                Place::Busy(nth)
            }
            Standing::Streaming => Place::Streaming(closable.close),
        }
    }

    fn remove_idle(&mut self, nth: u64) -> Option<Closable> {
        let closable = self.idle.remove(&nth)?;
        if let Some(of_address) = closable.address.and_then(|a| self.by_address.get_mut(&a)) {
            of_address.idle.remove(&nth);
        }
        Some(closable)
    }

    /// Closes up to this many that have no stream, unless some are being closed already.
    /// Returns how many it has closed.
    fn close_some(&mut self, number: usize) -> u64 {
        if self.closing > 0 {
            return 0;
        }
        self.closing = (0..number).take_while(|_| self.close_one()).count();
        self.closing as u64
    }

    /// Closes one that has no stream, if one has stood so for long enough.
    fn close_one(&mut self) -> bool {
        let first = |all: &BTreeMap<u64, Closable>| {
            let (nth, closable) = all.first_key_value()?;
            Some((*nth, closable.since.elapsed())).filter(|(_, stood)| *stood >= LEAST_STAY)
        };
        match (first(&self.idle), first(&self.busy)) {
            (Some((idle, stood)), busy)
                if stood > NEW || busy.is_none_or(|(busy, _)| idle < busy) =>
            {
                self.close_idle(idle);
            }
            (_, Some((busy, _))) => {
                if let Some(busy) = self.busy.remove(&busy) {
                    let _it_listens = busy.close.send(());
                }
            }
            (_, None) => return false,
        }
        true
    }

    fn close_idle(&mut self, nth: u64) {
        if let Some(idle) = self.remove_idle(nth) {
            let _it_listens = idle.close.send(());
        }
    }
}

impl Pass {
    /// Notes how the connection stands from now on.
    pub(super) fn stand(&mut self, standing: Standing) {
        let stands_so = match self.place {
            Place::Idle(_) => standing == Standing::Idle,
            Place::Busy(_) => standing == Standing::Busy,
            Place::Streaming(_) => standing == Standing::Streaming,
            Place::Closed | Place::Stays => true,
        };
        if !stands_so {
            self.stand_anew(standing);
        }
    }

    /// Notes how the connection stands from now on, even if it stood so before: it stood
    /// otherwise in between.
    pub(super) fn stand_anew(&mut self, standing: Standing) {
        if let Place::Closed | Place::Stays = self.place {
            return;
        }
        let mut inside = self.gate.lock();
        let closable = match std::mem::replace(&mut self.place, Place::Closed) {
            Place::Idle(nth) => inside.remove_idle(nth),
            Place::Busy(nth) => inside.busy.remove(&nth),
            Place::Streaming(close) => {
                Some(Closable { address: self.address, since: Instant::now(), close })
            }
            Place::Closed | Place::Stays => None,
        };
        if let Some(closable) = closable {
            self.place = inside.add(standing, closable);
        }
    }

    /// Notes that the connection is a stream from now on, and nothing else.
    pub(super) fn stays(&mut self) {
        self.stand(Standing::Streaming);
        if let Place::Closed = self.place {
            // It was told to go just as its stream moved to a task of its own.
            self.gate.lock().closing -= 1;
        }
        self.place = Place::Stays;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.connections -= 1;
        let was_closed = match self.place {
            Place::Idle(nth) => inside.remove_idle(nth).is_none(),
            Place::Busy(nth) => inside.busy.remove(&nth).is_none(),
            Place::Closed => true,
            Place::Streaming(_) | Place::Stays => false,
        };
        inside.closing -= usize::from(was_closed);
        if let Some(address) = self.address
            && let Some(of_address) = inside.by_address.get_mut(&address)
        {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                inside.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn enter(gate: &Arc<Gate>) -> Entered {
        gate.enter(ip("192.0.2.1")).expect("there is room")
    }

    fn is_closed(entered: &mut Entered) -> bool {
        entered.closed.try_recv().is_ok()
    }

    /// Lets one more in, for which others may have to go. Which of `all` went?
    async fn one_more(gate: &Arc<Gate>, all: &mut Vec<Entered>) -> Vec<usize> {
        let mut gone = Vec::new();
        for _ in 0..100 {
            if gate.has_room() {
                return gone;
            }
            advance(LEAST_STAY / 10).await;
            for nth in (0..all.len()).rev() {
                if is_closed(&mut all[nth]) {
                    drop(all.remove(nth));
                    gone.push(nth);
                }
            }
        }
        gone
    }

    #[tokio::test(start_paused = true)]
    async fn for_one_more_the_longest_idle_go() {
        let gate = Gate::new(200, None, Vec::new(), Arc::default());
        let mut all: Vec<_> = (0..200).map(|_| enter(&gate)).collect();
        all[0].pass.stand(Standing::Busy);
        all[0].pass.stand(Standing::Idle);
        all[2].pass.stand(Standing::Idle);
        assert_eq!(one_more(&gate, &mut all).await, [3, 2, 1]);
    }

    #[test]
    fn who_stands_anew_is_the_last_to_have_come_to_stand_so() {
        let gate = Gate::new(100, Some(3), Vec::new(), Arc::default());
        let mut all: Vec<_> = (0..3).map(|_| enter(&gate)).collect();
        all[0].pass.stand_anew(Standing::Idle);
        all[1].pass.stand(Standing::Idle);
        let _more = [enter(&gate), enter(&gate)];
        assert_eq!(all.iter_mut().map(is_closed).collect::<Vec<_>>(), [false, true, true]);
        // It is being closed, and that can't be undone.
        all[1].pass.stand_anew(Standing::Idle);
        drop(all);
        assert_eq!(gate.lock().idle.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_just_came_stays_for_a_moment_and_longer_than_who_is_being_answered_already() {
        let gate = Gate::new(2, None, Vec::new(), Arc::default());
        let mut all = vec![enter(&gate)];
        all[0].pass.stand(Standing::Busy);
        advance(LEAST_STAY).await;
        all.push(enter(&gate));
        assert!(!gate.has_room());
        assert!(is_closed(&mut all[0]) && !is_closed(&mut all[1]));
        assert!(!gate.is_full(), "one more may go soon");
        all.remove(0);
        assert!(gate.has_room());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_being_answered_goes_after_all_idle_ones_and_who_has_a_stream_never() {
        let gate = Gate::new(3, None, Vec::new(), Arc::default());
        let mut all: Vec<_> = (0..3).map(|_| enter(&gate)).collect();
        all[0].pass.stand(Standing::Streaming);
        all[1].pass.stand(Standing::Busy);
        advance(NEW * 2).await;
        for nth in [2, 1] {
            assert!(!gate.has_room());
            assert!(is_closed(&mut all[nth]));
            assert!(!gate.has_room(), "until it is gone");
            assert!(!is_closed(&mut all[0]));
            drop(all.remove(nth));
            all.push(enter(&gate));
            all.last_mut().expect("it").pass.stand(Standing::Streaming);
        }
        all[1].pass.stays();
        assert!(!gate.has_room() && gate.is_full());
        assert!(gate.enter(ip("192.0.2.1")).is_none());
        assert!(!gate.make_room());
        assert!(!all.iter_mut().any(is_closed));
        all[0].pass.stand(Standing::Idle);
        assert!(!gate.is_full());
        advance(LEAST_STAY).await;
        assert!(gate.make_room());
        assert!(is_closed(&mut all[0]));
    }

    #[test]
    fn what_is_dropped_makes_room() {
        let gate = Gate::new(1, Some(1), Vec::new(), Arc::default());
        for standing in [Standing::Idle, Standing::Busy, Standing::Streaming] {
            let Entered { mut pass, closed: _closed } = enter(&gate);
            pass.stand(standing);
            drop(pass);
        }
        let inside = gate.lock();
        assert_eq!((inside.connections, inside.by_address.len()), (0, 0));
        assert_eq!((inside.idle.len(), inside.busy.len(), inside.closing), (0, 0, 0));
    }

    #[test]
    fn an_address_has_a_limit_of_its_own_but_for_proxies() {
        let gate =
            Gate::new(100, Some(2), vec!["10.0.0.0/8".parse().expect("a network")], Arc::default());
        let mut first = enter(&gate);
        let mut second = enter(&gate);
        let _other = gate.enter(ip("192.0.2.2")).expect("another address");
        let mut third = enter(&gate);
        assert!(is_closed(&mut first), "it was the longest idle");
        drop(first);
        second.pass.stand(Standing::Streaming);
        third.pass.stand(Standing::Busy);
        assert!(gate.enter(ip("::ffff:192.0.2.1")).is_none(), "none of its own can go");
        let _proxied: Vec<_> = (0..3).map(|_| gate.enter(ip("10.0.0.1")).expect("room")).collect();
    }
}
