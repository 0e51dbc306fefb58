//! The world: virtual time, and all that happens in it, one event after the other.

mod driver;
mod faults;
mod people;
mod server;

use std::array;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::chance::Chance;
use crate::cluster::member::Input;
use crate::cluster::place::{NodeId, Place};
use crate::link::{Command, Link, Message};
use crate::name::Name;
use crate::node::Node;
use crate::person::{Person, ROOMS};
use crate::plan::{END, Fault, Plan};
use crate::redis::Redis;

/// How long a driver waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often everything is looked at, whether it changed or not.
const WATCH: Duration = Duration::from_millis(100);

/// How long after a fault a node may need to be right again: it has to notice, to open a
/// link and to catch up.
const GRACE: Duration = Duration::from_secs(3);

/// The same, if Redis has forgotten who went where: people who are on their way come back
/// meanwhile.
const GRACE_AFTER_LOSS: Duration = Duration::from_secs(8);

/// What was seen with one seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events that were simulated.
    pub events: u64,
    /// Numbers that were checked.
    pub checks: u64,
    /// Seats that were given up for another node.
    pub moves: u64,
    /// The longest backlog of a node, in pieces.
    pub backlog: usize,
}

/// Simulates what follows from `seed`.
///
/// # Errors
/// What was wrong first, and when.
pub fn run(seed: u64) -> Result<Seen, String> {
    let mut world = World::new(seed);
    world.run();
    match world.wrong {
        Some(wrong) => Err(format!("seed {seed}: {wrong}\n{:?}", world.plan)),
        None => Ok(world.seen),
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A node opens a link.
    Open(usize, NodeId),
    /// A command reaches Redis.
    Up(usize, u64, Command),
    /// Something reaches a node.
    Down(usize, Message),
    /// A node is to be called.
    Timer(usize, NodeId),
    /// An answer has taken too long.
    Timeout(usize, NodeId, u64),
    /// Somebody does something.
    Person(usize),
    /// A node notices that somebody has left this seat.
    Notice(usize, Place),
    Fault(Fault),
    /// A fault is over.
    Heal(Fault),
    /// A node is started.
    Boot(usize),
    /// A replica has heard of everything until now.
    Replicate,
    Watch,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    nth: u64,
    events: BTreeMap<(Duration, u64), Event>,
    chance: Chance,
    pub(crate) plan: Plan,
    redis: Redis,
    replica: Redis,
    /// How many faults keep Redis from working.
    stalls: usize,
    stops: usize,
    waiting: Vec<(usize, u64, Command)>,
    links: HashMap<usize, Link>,
    next_link: usize,
    next_command: u64,
    pub(crate) nodes: Vec<Option<Node>>,
    cuts: Vec<(usize, usize)>,
    pub(crate) people: Vec<Person>,
    pub(crate) rooms: Vec<Name>,
    /// For each node, how many faults it has, and when it must be right again.
    pub(crate) health: Vec<(usize, Duration)>,
    /// The same for Redis.
    pub(crate) redis_health: (usize, Duration),
    /// Until when somebody may be counted twice, because Redis has forgotten who went where.
    pub(crate) amnesia: Duration,
    /// Whether it has, and is not back yet.
    is_amnesic: bool,
    /// Until when a dead node's share may have people whom it had claimed, or who were claimed
    /// from it, if Redis has forgotten that.
    ghosts: Duration,
    /// When a node last died.
    death: Duration,
    pub(crate) seen: Seen,
    pub(crate) wrong: Option<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(seed, &mut chance);
        let names: [_; ROOMS] = ["lobby", "a", "b", "c"];
        let names = names.iter().filter_map(|name| Name::new(name).ok());
        let rooms: Vec<Name> = names.collect();
        let people = (0..plan.people).map(|_| {
            let first = chance.below(rooms.len());
            let count = if chance.percent(70) { 1 } else { 2 };
            let own = (first..first + count).map(|nth| rooms[nth % rooms.len()].clone());
            let own: Arc<[Name]> = own.collect();
            Person {
                is_in: array::from_fn(|nth| own.contains(&rooms[nth])),
                rooms: own,
                token: None,
                at: None,
                seats: Vec::new(),
                left: None,
                stood_up: None,
                died: None,
                is_coming: false,
                tokens_used: BTreeSet::new(),
            }
        });
        let mut world = Self {
            now: Duration::ZERO,
            nth: 0,
            events: BTreeMap::new(),
            people: people.collect(),
            redis: Redis::default(),
            replica: Redis::default(),
            stalls: 0,
            stops: 0,
            waiting: Vec::new(),
            links: HashMap::new(),
            next_link: 0,
            next_command: 0,
            nodes: (0..plan.nodes).map(|_| None).collect(),
            cuts: vec![(0, 0); plan.nodes],
            health: vec![(0, Duration::ZERO); plan.nodes],
            redis_health: (0, Duration::ZERO),
            amnesia: Duration::ZERO,
            ghosts: Duration::ZERO,
            death: Duration::ZERO,
            is_amnesic: false,
            rooms,
            seen: Seen::default(),
            wrong: None,
            chance,
            plan,
        };
        for slot in 0..world.plan.nodes {
            let at = world.chance.millis(0..500);
            world.at(at, Event::Boot(slot));
        }
        for who in 0..world.plan.people {
            let at = world.chance.millis(500..10_000);
            world.at(at, Event::Person(who));
        }
        for (at, fault) in world.plan.faults.clone() {
            world.at(at, Event::Fault(fault));
            if let Fault::Failover { lag, .. } = fault {
                world.at(at.saturating_sub(lag), Event::Replicate);
            }
        }
        world.at(WATCH, Event::Watch);
        world
    }

    fn run(&mut self) {
        while self.wrong.is_none()
            && let Some(((now, _), event)) = self.events.pop_first()
            && now <= END
        {
            self.now = now;
            self.seen.events += 1;
            self.happen(event);
        }
        self.check_end();
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.nth += 1;
        self.events.insert((at.max(self.now), self.nth), event);
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn happen(&mut self, event: Event) {
        // A process that sleeps finds everything when it wakes.
        let slot = match &event {
            Event::Open(slot, _) | Event::Timer(slot, _) | Event::Timeout(slot, ..) => Some(*slot),
            Event::Notice(_, place) => self.slot_of(place.node),
            Event::Down(link, _) => self.links.get(link).map(|link| link.slot),
            _ => None,
        };
        if let Some(slot) = slot
            && self.nodes[slot].as_ref().is_some_and(|node| node.is_asleep)
        {
            return self.after(Duration::from_millis(50), event);
        }
        match event {
            Event::Open(slot, id) => self.open(slot, id),
            Event::Up(link, nth, command) => self.arrive(link, nth, command),
            Event::Down(link, message) => self.deliver(link, message),
            Event::Timer(slot, id) => {
                let now = self.now;
                if let Some(node) = self.node(slot, id)
                    && node.timer.is_some_and(|at| at <= now)
                {
                    node.timer = None;
                    self.input(slot, Input::Time);
                }
            }
            Event::Timeout(slot, id, nth) => {
                if let Some(node) = self.node(slot, id)
                    && let Some(command) = node.asked.remove(&nth)
                {
                    self.fail(slot, command);
                }
            }
            Event::Person(who) => self.act(who),
            Event::Notice(who, place) => self.notice(who, place),
            Event::Fault(fault) => self.fault(fault),
            Event::Heal(fault) => self.heal(fault),
            Event::Boot(slot) => self.boot(slot),
            Event::Replicate => self.replica = self.redis.clone(),
            Event::Watch => {
                for slot in 0..self.nodes.len() {
                    self.check(slot);
                }
                self.after(WATCH, Event::Watch);
            }
        }
    }

    fn node(&mut self, slot: usize, id: NodeId) -> Option<&mut Node> {
        self.nodes[slot].as_mut().filter(|node| node.id == id)
    }

    fn slot_of(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.as_ref().is_some_and(|node| node.id == id))
    }

    fn boot(&mut self, slot: usize) {
        if self.nodes[slot].is_some() {
            return;
        }
        let id = NodeId(self.chance.number() as u32);
        let offset = self.chance.millis(0..100_000_000);
        let rate = 0.999 + self.chance.below(2_000) as f64 / 1e6;
        self.nodes[slot] = Some(Node::new(id, offset, rate, self.now));
        self.is_well_by(slot, self.now + GRACE);
        self.after(Duration::ZERO, Event::Open(slot, id));
        self.input(slot, Input::Time);
    }

    fn is_well_by(&mut self, slot: usize, at: Duration) {
        self.health[slot].1 = self.health[slot].1.max(at);
    }
}
