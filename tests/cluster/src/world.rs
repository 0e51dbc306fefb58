//! The world: virtual time, and all that happens in it, one event after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::chance::Chance;
use crate::check::NEWS;
use crate::cluster::member::{Input, Output};
use crate::cluster::place::{NodeId, Place};
use crate::cluster::write::Answer;
use crate::link::{Command, Link, Message};
use crate::name::Name;
use crate::node::Node;
use crate::person::{Person, Sitting};
use crate::plan::{ACTIVE, END, Fault, Plan};
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
    pub(crate) seen: Seen,
    pub(crate) wrong: Option<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(seed, &mut chance);
        let names = ["lobby", "a", "b", "c"].iter().filter_map(|name| Name::new(name).ok());
        let rooms: Vec<Name> = names.collect();
        let people = (0..plan.people).map(|_| {
            let first = chance.below(rooms.len());
            let count = if chance.percent(70) { 1 } else { 2 };
            let own = (first..first + count).map(|nth| rooms[nth % rooms.len()].clone());
            Person {
                rooms: own.collect(),
                token: None,
                at: None,
                seats: Vec::new(),
                left: None,
                stood_up: None,
                died: None,
                is_coming: false,
                is_astray: false,
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

    // ---- a node and its driver

    fn input(&mut self, slot: usize, input: Input) {
        let now = self.now;
        let Some(node) = &mut self.nodes[slot] else { return };
        node.is_called = true;
        node.member.handle(node.clock(now), input);
        let id = node.id;
        let mut has_changed = false;
        while let Some(output) = self.nodes[slot].as_mut().and_then(|node| node.member.next()) {
            match output {
                Output::Write(write) => self.ask(slot, Command::Write(write)),
                Output::List { catch_up } => self.ask(slot, Command::List { catch_up }),
                Output::Read { catch_up, node } => self.ask(slot, Command::Read { catch_up, node }),
                Output::Reopen => {
                    self.hang_up(slot);
                    let delay = self.chance.millis(10..100);
                    self.after(delay, Event::Open(slot, id));
                }
                Output::Seat(seat) => {
                    has_changed = true;
                    self.let_in(slot, Place { node: id, seat });
                }
                Output::Token(seat) => self.tell(Place { node: id, seat }),
                Output::GiveUp(seat) => {
                    has_changed = true;
                    self.seen.moves += 1;
                    self.unseat(slot, Place { node: id, seat }, false);
                }
                Output::Elsewhere(..) => has_changed = true,
                Output::Partial(is_partial) => {
                    has_changed = true;
                    if let Some(node) = self.nodes[slot].as_mut().filter(|_| is_partial) {
                        node.doubt = now;
                    }
                }
            }
        }
        if has_changed {
            self.check(slot);
        }
        let Some(node) = &mut self.nodes[slot] else { return };
        self.seen.backlog = self.seen.backlog.max(node.member.backlog());
        let due = node.when(node.member.due()).max(now);
        if node.timer.is_none_or(|at| due < at) {
            node.timer = Some(due);
            self.at(due, Event::Timer(slot, id));
        }
    }

    fn hang_up(&mut self, slot: usize) {
        let Some(node) = &mut self.nodes[slot] else { return };
        node.asked.clear();
        if let Some(link) = node.link.take().and_then(|link| self.links.get_mut(&link)) {
            link.is_open = false;
        }
    }

    fn open(&mut self, slot: usize, id: NodeId) {
        let link = self.next_link;
        let Some(node) = self.node(slot, id) else { return };
        if node.link.is_some() {
            return;
        }
        node.link = Some(link);
        self.next_link += 1;
        self.links.insert(link, Link::new(slot, id));
        self.ask(slot, Command::Subscribe);
    }

    fn ask(&mut self, slot: usize, command: Command) {
        let nth = self.next_command;
        let Some(node) = &mut self.nodes[slot] else { return };
        node.asked.insert(nth, command.clone());
        let (id, link) = (node.id, node.link);
        self.next_command += 1;
        self.after(TIMEOUT, Event::Timeout(slot, id, nth));
        if let Some(link) = link {
            self.send_up(link, nth, command);
        }
    }

    fn delay(&mut self) -> Duration {
        match self.chance.below(50) {
            0 => self.chance.millis(5..100),
            _ => Duration::from_micros(self.chance.within(50..2_000) as u64),
        }
    }

    fn send_up(&mut self, link: usize, nth: u64, command: Command) {
        let delay = self.delay();
        let Some(it) = self.links.get_mut(&link) else { return };
        if self.cuts[it.slot].0 > 0 {
            it.stalled_up.push((nth, command));
            return;
        }
        it.up = it.up.max(self.now + delay);
        let at = it.up;
        self.at(at, Event::Up(link, nth, command));
    }

    fn send_down(&mut self, link: usize, message: Message) {
        let delay = self.delay();
        let Some(it) = self.links.get_mut(&link) else { return };
        if !it.is_open && !matches!(message, Message::Closed) {
            return;
        }
        if self.cuts[it.slot].1 > 0 {
            it.stalled_down.push(message);
            return;
        }
        it.down = it.down.max(self.now + delay);
        let at = it.down;
        self.at(at, Event::Down(link, message));
    }

    /// What the driver says of a command that was not answered.
    fn fail(&mut self, slot: usize, command: Command) {
        match command {
            Command::Subscribe => {
                self.hang_up(slot);
                if let Some(id) = self.nodes[slot].as_ref().map(|node| node.id) {
                    let delay = self.chance.millis(10..250);
                    self.after(delay, Event::Open(slot, id));
                }
            }
            Command::Write(write) => {
                self.input(slot, Input::Written { seq: write.seq, answer: None });
            }
            Command::List { catch_up } => self.input(slot, Input::Listed { catch_up, nodes: None }),
            Command::Read { catch_up, node } => {
                self.input(slot, Input::Read { catch_up, node, snapshot: None });
            }
        }
    }

    fn deliver(&mut self, link: usize, message: Message) {
        let Some(it) = self.links.get(&link) else { return };
        let (slot, id) = (it.slot, it.id);
        let Some(node) = self.nodes[slot].as_mut().filter(|node| node.id == id) else { return };
        if node.link != Some(link) {
            return;
        }
        let is_awaited = match &message {
            Message::Written(nth, ..) | Message::Listed(nth, ..) | Message::Read(nth, ..) => {
                // Now and then an answer comes twice.
                node.asked.remove(nth).is_some() || self.chance.percent(10)
            }
            Message::Subscribed => {
                node.asked.retain(|_, command| !matches!(command, Command::Subscribe));
                true
            }
            Message::Frame(_) | Message::Closed => true,
        };
        if !is_awaited {
            return;
        }
        let input = match message {
            Message::Subscribed => Input::Opened,
            Message::Frame(frame) => Input::Frame(frame),
            Message::Written(_, seq, answer) => Input::Written { seq, answer: Some(answer) },
            Message::Listed(_, catch_up, nodes) => Input::Listed { catch_up, nodes: Some(nodes) },
            Message::Read(_, catch_up, node, snapshot) => {
                Input::Read { catch_up, node, snapshot: Some(snapshot) }
            }
            Message::Closed => {
                self.hang_up(slot);
                let delay = self.chance.millis(10..100);
                self.after(delay, Event::Open(slot, id));
                Input::Lost
            }
        };
        self.input(slot, input);
    }

    // ---- Redis

    fn arrive(&mut self, link: usize, nth: u64, command: Command) {
        if self.stops > 0 {
            return self.send_down(link, Message::Closed);
        }
        if self.stalls > 0 {
            return self.waiting.push((link, nth, command));
        }
        self.execute(link, nth, command);
    }

    fn execute(&mut self, link: usize, nth: u64, command: Command) {
        let now = self.now;
        let Some(it) = self.links.get_mut(&link) else { return };
        let id = it.id;
        let message = match command {
            Command::Subscribe => {
                it.is_subscribed = it.is_open;
                Message::Subscribed
            }
            Command::List { catch_up } => Message::Listed(nth, catch_up, self.redis.list()),
            Command::Read { catch_up, node } => {
                Message::Read(nth, catch_up, node, self.redis.read(node, now))
            }
            Command::Write(write) => {
                let answer = self.redis.write(id, &write, now);
                if let Answer::Done(frame, _) = &answer {
                    let is_heard = |(nth, link): (&usize, &Link)| {
                        (link.is_open && link.is_subscribed).then_some(*nth)
                    };
                    let mut listeners: Vec<_> = self.links.iter().filter_map(is_heard).collect();
                    listeners.sort_unstable();
                    for listener in listeners {
                        if let Some(link) = self.links.get_mut(&listener)
                            && link.drops > 0
                        {
                            link.drops -= 1;
                            continue;
                        }
                        self.send_down(listener, Message::Frame(frame.clone()));
                    }
                }
                Message::Written(nth, write.seq, answer)
            }
        };
        // Now and then an answer is lost, or comes twice.
        let is_write = matches!(message, Message::Written(..));
        if is_write && self.now < ACTIVE && self.chance.below(500) == 0 {
            return;
        }
        if self.chance.below(100) == 0 {
            self.send_down(link, message.clone());
        }
        self.send_down(link, message);
    }

    fn close_all(&mut self) {
        let mut all: Vec<_> = self.links.keys().copied().collect();
        all.sort_unstable();
        for link in all {
            self.close(link);
        }
    }

    fn close(&mut self, link: usize) {
        if let Some(it) = self.links.get_mut(&link) {
            it.is_subscribed = false;
            self.send_down(link, Message::Closed);
        }
    }

    // ---- faults

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { slot, .. }
            | Fault::Sleep { slot, .. }
            | Fault::Cut { slot, .. }
            | Fault::Close { slot }
            | Fault::Deafen { slot }
            | Fault::Drop { slot, .. } => {
                self.health[slot].0 += 1;
                if self.nodes[slot].is_none() {
                    return self.after(Duration::ZERO, Event::Heal(Fault::Close { slot }));
                }
            }
            _ => self.redis_health.0 += 1,
        }
        let link = |world: &Self, slot: usize| world.nodes[slot].as_ref().and_then(|it| it.link);
        let length = match fault {
            Fault::Kill { slot, back } => {
                self.kill(slot);
                self.after(back, Event::Boot(slot));
                back
            }
            Fault::Sleep { slot, length } => {
                if let Some(node) = &mut self.nodes[slot] {
                    node.is_asleep = true;
                    node.is_called = false;
                }
                self.scatter(slot, 50);
                length
            }
            Fault::Cut { slot, up, down, length } => {
                self.cuts[slot].0 += usize::from(up);
                self.cuts[slot].1 += usize::from(down);
                self.scatter(slot, 30);
                length
            }
            Fault::Close { slot } => {
                if let Some(link) = link(self, slot) {
                    self.close(link);
                }
                Duration::ZERO
            }
            Fault::Deafen { slot } => {
                if let Some(link) = link(self, slot).and_then(|link| self.links.get_mut(&link)) {
                    link.is_subscribed = false;
                }
                Duration::ZERO
            }
            Fault::Drop { slot, frames } => {
                if let Some(link) = link(self, slot).and_then(|link| self.links.get_mut(&link)) {
                    link.drops = frames;
                }
                Duration::ZERO
            }
            Fault::Stall { length } => {
                self.stalls += 1;
                length
            }
            Fault::Restart { length } => {
                self.stops += 1;
                self.waiting.clear();
                self.close_all();
                length
            }
            Fault::Flush => {
                self.redis = Redis::default();
                Duration::ZERO
            }
            Fault::Failover { length, .. } => {
                self.stops += 1;
                self.waiting.clear();
                self.close_all();
                length
            }
        };
        self.after(length, Event::Heal(fault));
    }

    fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { slot, .. }
            | Fault::Sleep { slot, .. }
            | Fault::Cut { slot, .. }
            | Fault::Close { slot }
            | Fault::Deafen { slot }
            | Fault::Drop { slot, .. } => {
                self.health[slot].0 -= 1;
                self.is_well_by(slot, self.now + GRACE);
            }
            _ => {
                self.redis_health.0 -= 1;
                let is_stall = matches!(fault, Fault::Stall { .. });
                let grace = if is_stall { GRACE } else { GRACE_AFTER_LOSS };
                self.is_amnesic |= !is_stall;
                if self.is_amnesic {
                    self.amnesia = self.now + GRACE;
                }
                self.is_amnesic &= self.redis_health.0 > 0;
                self.redis_health.1 = self.redis_health.1.max(self.now + grace);
            }
        }
        match fault {
            Fault::Sleep { slot, .. } => {
                if let Some(node) = &mut self.nodes[slot] {
                    node.is_asleep = false;
                }
            }
            Fault::Cut { slot, up, down, .. } => {
                self.cuts[slot].0 -= usize::from(up);
                self.cuts[slot].1 -= usize::from(down);
                self.unstall(slot);
            }
            Fault::Stall { .. } => {
                self.stalls -= 1;
                if self.stalls == 0 && self.stops == 0 {
                    for (link, nth, command) in std::mem::take(&mut self.waiting) {
                        self.execute(link, nth, command);
                    }
                }
            }
            Fault::Restart { .. } => {
                self.stops -= 1;
                self.redis = Redis::default();
            }
            Fault::Failover { .. } => {
                self.stops -= 1;
                self.redis = self.replica.clone();
            }
            _ => (),
        }
    }

    /// Sends what waited for the network: what the node had written before it gave the
    /// connection up comes through too, or never.
    fn unstall(&mut self, slot: usize) {
        let mut own: Vec<_> =
            self.links.iter().filter(|(_, link)| link.slot == slot).map(|(nth, _)| *nth).collect();
        own.sort_unstable();
        for link in own {
            let is_lost = self.chance.percent(50);
            let Some(it) = self.links.get_mut(&link) else { continue };
            let (up, down) =
                (std::mem::take(&mut it.stalled_up), std::mem::take(&mut it.stalled_down));
            let is_dead = !it.is_open && is_lost;
            if self.cuts[slot].0 > 0 || self.cuts[slot].1 > 0 || is_dead {
                continue;
            }
            for (nth, command) in up {
                self.send_up(link, nth, command);
            }
            for message in down {
                self.send_down(link, message);
            }
        }
    }

    fn kill(&mut self, slot: usize) {
        let Some(node) = self.nodes[slot].take() else { return };
        if let Some(link) = node.link.and_then(|link| self.links.get_mut(&link)) {
            link.is_open = false;
        }
        let seats = node.seated.iter().chain(&node.waiting);
        for (_, who) in seats {
            let person = &mut self.people[*who];
            person.seats.retain(|sitting| sitting.node != node.id);
            person.died = Some(self.now);
            if person.at.is_some_and(|at| at.node == node.id) {
                self.set_out(*who, 5_000);
            }
        }
    }

    /// Some of the people of a node that doesn't answer go elsewhere.
    fn scatter(&mut self, slot: usize, percent: usize) {
        let Some(id) = self.nodes[slot].as_ref().map(|node| node.id) else { return };
        for who in 0..self.people.len() {
            if let Some(at) = self.people[who].at
                && at.node == id
                && self.chance.percent(percent)
            {
                self.vanish(who, at);
            }
        }
    }

    // ---- people

    fn act(&mut self, who: usize) {
        let Some(at) = self.people[who].at else {
            if self.people[who].is_coming || self.now < ACTIVE {
                self.come(who);
            }
            return;
        };
        if self.now >= ACTIVE {
            return;
        }
        let leaves = if self.plan.do_people_leave { 40 } else { 0 };
        match self.chance.below(100) {
            dice if dice < leaves => {
                self.people[who].at = None;
                self.people[who].token = None;
                self.people[who].is_coming = false;
                let is_late = dice % 4 == 0;
                self.leave_seat(who, at, is_late);
                let away = self.chance.millis(0..10_000);
                self.after(away, Event::Person(who));
            }
            _ => self.vanish(who, at),
        }
    }

    /// Somebody leaves one node for another.
    fn vanish(&mut self, who: usize, at: Place) {
        let is_noticed = self.plan.are_moves_noticed && self.chance.percent(50);
        self.leave_seat(who, at, !is_noticed);
        self.set_out(who, 4_000);
    }

    fn set_out(&mut self, who: usize, within: usize) {
        self.people[who].at = None;
        self.people[who].is_coming = true;
        let away = self.chance.millis(0..within);
        self.after(away, Event::Person(who));
    }

    /// Their connection is gone; it may take the node some time to notice.
    fn leave_seat(&mut self, who: usize, at: Place, is_late: bool) {
        let delay = if is_late { self.chance.millis(3_000..20_000) } else { Duration::ZERO };
        self.after(delay, Event::Notice(who, at));
    }

    fn notice(&mut self, who: usize, place: Place) {
        // They may be back on the very seat.
        if self.people[who].at == Some(place) {
            return;
        }
        if let Some(slot) = self.slot_of(place.node) {
            self.unseat(slot, place, true);
            self.input(slot, Input::Leave { seat: place.seat });
        }
    }

    fn unseat(&mut self, slot: usize, place: Place, is_left: bool) {
        let Some(node) = &mut self.nodes[slot] else { return };
        let seated = node.seated.remove(&place.seat);
        let Some(who) = seated.or_else(|| node.waiting.remove(&place.seat)) else { return };
        let person = &mut self.people[who];
        person.seats.retain(|it| it.node != place.node || it.seat != place.seat);
        if is_left || person.seats.is_empty() {
            person.left = Some((self.now, slot));
        }
        if is_left {
            person.stood_up = Some((self.now, slot));
        }
        if person.at == Some(place) {
            // The node ends a stream that it has lost to another one.
            self.set_out(who, 3_000);
        }
    }

    fn come(&mut self, who: usize) {
        let awake = |(slot, node): (usize, &Option<Node>)| {
            node.as_ref().is_some_and(|node| !node.is_asleep).then_some(slot)
        };
        let open: Vec<_> = self.nodes.iter().enumerate().filter_map(awake).collect();
        if open.is_empty() {
            return self.after(Duration::from_millis(200), Event::Person(who));
        }
        let slot = open[self.chance.below(open.len())];
        let person = &self.people[who];
        let may_be_counted = (0..self.nodes.len()).any(|slot| self.may_count(person, slot));
        if person.token.is_none() && may_be_counted {
            // To a node, they are somebody else now. To the check they would be the same.
            return self.after(NEWS, Event::Person(who));
        }
        if let Some(token) = person.token
            && self.nodes[slot].as_ref().is_some_and(|node| node.id == token.node)
            && person.tokens_used.contains(&token)
        {
            // They claimed their seat from another node, came back before that could tell
            // this one, and have not heard of their new seat. Then their old one is ended
            // under them, and they come once more: but for the moment in which nobody
            // counts them, nothing is to be seen here.
            return self.after(NEWS, Event::Person(who));
        }
        let Some(node) = &mut self.nodes[slot] else { return };
        let person = &mut self.people[who];
        person.is_coming = false;
        if let Some(token) = person.token
            && token.node == node.id
            && node.seated.contains_key(&token.seat)
        {
            // The seat is there still.
            person.at = Some(token);
        } else {
            let seat = node.next_seat;
            node.next_seat += 1;
            let place = Place { node: node.id, seat };
            person.at = Some(place);
            let last = person.seats.iter().max_by_key(|sitting| sitting.since);
            person.is_astray = last.is_some_and(|last| Some(last.place()) != person.token);
            person.seats.push(Sitting { slot, node: node.id, seat, since: self.now });
            let rooms = person.rooms.clone();
            if let Some(from) = person.token {
                person.tokens_used.insert(from);
                node.waiting.insert(seat, who);
                self.input(slot, Input::Return { seat, rooms, from });
            } else {
                node.waiting.insert(seat, who);
                self.let_in(slot, place);
                self.input(slot, Input::Join { seat, rooms });
            }
        }
        let stay = self.chance.millis(300..12_000);
        self.after(stay, Event::Person(who));
    }

    /// Somebody's stream begins.
    fn let_in(&mut self, slot: usize, place: Place) {
        let Some(node) = &mut self.nodes[slot] else { return };
        let Some(who) = node.waiting.remove(&place.seat) else { return };
        node.seated.insert(place.seat, who);
        if self.people[who].token.is_none() {
            self.people[who].token = Some(place);
        }
    }

    /// Somebody who has come back hears of the token of their new seat, if the event gets
    /// through.
    fn tell(&mut self, place: Place) {
        let is_here = |person: &Person| person.at == Some(place);
        let Some(who) = self.people.iter().position(is_here) else { return };
        if self.chance.percent(15) {
            // It does not: they come again with the old one.
            self.vanish(who, place);
        } else {
            self.people[who].token = Some(place);
        }
    }
}
