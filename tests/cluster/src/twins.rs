//! The model of Redis beside a real one: both are given the same writes, drawn at random
//! from so few nodes, seats and rooms that they meet all the time.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::chance::Chance;
use crate::cluster::claim::Claim;
use crate::cluster::frame::{Frame, Version};
use crate::cluster::place::{NodeId, Place, SeatNumber};
use crate::cluster::script;
use crate::cluster::share::Snapshot;
use crate::cluster::write::{Answer, Write};
use crate::name::Name;
use crate::real::Real;
use crate::redis::Redis;

const PREFIX: &str = "{headcount}:";

/// What is kept is kept for so many ms, longer than this takes: nothing ends by itself.
const KEPT: &str = "600000";
const KEPT_AS_TIME: Duration = Duration::from_secs(600);

/// What the model takes for now, all the time.
const NOW: Duration = Duration::from_secs(1_000);

const NODES: usize = 4;
const SEATS: usize = 10;

/// Has a real `redis-server` and the model carry out `writes` random writes.
///
/// # Errors
/// The first write after which they differ, or why the real one can't be asked.
pub fn compare(seed: u64, writes: usize) -> Result<(), Box<dyn Error>> {
    let mut twins = Twins {
        real: Real::start()?,
        model: Redis::default(),
        chance: Chance::new(seed),
        rooms: ["lobby", "/a/b", "\"\\", "Крамниця"]
            .iter()
            .map(|room| Name::new(room))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?,
        written: HashMap::new(),
        seen: HashMap::new(),
    };
    for nth in 0..writes {
        twins.step().map_err(|error| format!("seed {seed}, write {nth}: {error}"))?;
    }
    twins.check_that_all_ends()?;
    let kinds = ["done", "moved", "lost", "late", "read", "missing"];
    match kinds.iter().find(|kind| twins.seen.get(*kind).is_none_or(|seen| *seen < writes / 100)) {
        Some(rare) => Err(format!("hardly anything was `{rare}`: {:?}", twins.seen).into()),
        None => Ok(()),
    }
}

struct Twins {
    real: Real,
    model: Redis,
    chance: Chance,
    rooms: Vec<Name>,
    /// The last write of each node, and its generation.
    written: HashMap<NodeId, (u64, u32)>,
    /// How often what was seen.
    seen: HashMap<&'static str, usize>,
}

impl Twins {
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        self.forget()?;
        let node = self.node();
        let write = self.write(node);
        let json = write.to_json(node)?;
        let key = format!("{PREFIX}node:{}", node.0);
        let reply = self.real.command(&[
            "EVAL",
            script::WRITE,
            "1",
            &key,
            PREFIX,
            KEPT,
            KEPT,
            KEPT,
            &json,
        ])?;
        let real = in_order(Answer::parse(&reply)?);
        let model = in_order(self.model.write(node, &write, NOW));
        if real != model {
            return Err(format!("{json}\nreal: {real:?}\nmodel: {model:?}").into());
        }
        let kind = match &real {
            Answer::Done(frame, _) => {
                self.see(if frame.moves.is_empty() { "done" } else { "moved" });
                self.written.insert(node, (write.seq, write.whole.unwrap_or_default()));
                None
            }
            Answer::Lost(_) => Some("lost"),
            Answer::Late => Some("late"),
        };
        kind.into_iter().for_each(|kind| self.see(kind));
        let other = self.node();
        self.read(node)?;
        self.read(other)?;
        self.list()
    }

    fn see(&mut self, kind: &'static str) {
        *self.seen.entry(kind).or_default() += 1;
    }

    fn node(&mut self) -> NodeId {
        // An id has all of its 32 bits.
        NodeId(u32::MAX - self.chance.below(NODES) as u32)
    }

    fn seat(&mut self) -> SeatNumber {
        self.chance.within(1..SEATS) as SeatNumber
    }

    fn seats(&mut self) -> Vec<SeatNumber> {
        let seats = (0..self.chance.below(3)).map(|_| self.seat());
        seats.collect()
    }

    fn some_rooms(&mut self) -> Vec<Name> {
        let rooms = self.rooms.clone();
        rooms.into_iter().filter(|_| self.chance.percent(40)).collect()
    }

    fn write(&mut self, node: NodeId) -> Write {
        let (seq, generation) = self.written.get(&node).copied().unwrap_or_default();
        let is_whole = self.chance.percent(20);
        let next = (seq + self.chance.within(1..3) as u64).saturating_sub(
            // Now and then it is late.
            if self.chance.percent(10) { 2 } else { 0 },
        );
        let base = if self.chance.percent(95) { seq } else { seq + 1 };
        let rooms = self.some_rooms();
        let claims = (0..self.chance.below(4)).map(|_| self.claim()).collect();
        Write {
            seq: next,
            base,
            whole: is_whole.then_some(generation + 1),
            rooms: rooms.into_iter().map(|room| (room, self.chance.below(6) as u32)).collect(),
            left: self.seats(),
            seen: self.seats(),
            claims,
        }
    }

    fn claim(&mut self) -> Claim {
        let unless = self.chance.percent(30).then(|| Version {
            generation: self.chance.within(0..4) as u32,
            number: self.chance.within(0..12) as u64,
        });
        Claim {
            from: Place { node: self.node(), seat: self.seat() },
            to: self.seat(),
            rooms: self.some_rooms().into(),
            unless,
        }
    }

    /// What time does, key by key: it ends the lease of a node, or what is known of those
    /// who went. And Redis may forget everything.
    fn forget(&mut self) -> Result<(), Box<dyn Error>> {
        let node = self.node();
        match self.chance.below(100) {
            0..5 => {
                self.real.command(&["DEL", &format!("{PREFIX}node:{}", node.0)])?;
                self.model.forget_hash(node);
            }
            5..7 => {
                self.real.command(&["DEL", &format!("{PREFIX}taken:{}", node.0)])?;
                self.model.forget_taken(node);
            }
            7..30 => {
                let place = Place { node, seat: self.seat() };
                let key = format!("{PREFIX}gone:{}:{}", node.0, place.seat);
                self.real.command(&["DEL", &key])?;
                self.model.forget_gone(place);
            }
            30 if self.chance.percent(30) => {
                self.real.command(&["FLUSHALL"])?;
                self.model = Redis::default();
            }
            _ => (),
        }
        Ok(())
    }

    fn read(&mut self, node: NodeId) -> Result<(), Box<dyn Error>> {
        let key = format!("{PREFIX}node:{}", node.0);
        let remaining = self.real.command(&["EVAL", LIFE, "1", &key])?;
        let remaining = String::from_utf8(remaining.concat())?.parse()?;
        let fields = self.real.command(&["HGETALL", &key])?;
        let pairs: Vec<_> = fields.chunks(2).map(|pair| (&pair[0], &pair[1])).collect();
        let real = Snapshot::parse(remaining, &pairs)?;
        let model = self.model.read(node, NOW);
        let of = |snapshot: &Snapshot| {
            let mut rooms = snapshot.rooms.clone();
            rooms.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
            (snapshot.version, rooms)
        };
        let is_kept = |real: &Snapshot| (KEPT_AS_TIME / 2..=KEPT_AS_TIME).contains(&real.remaining);
        if !real.as_ref().is_none_or(is_kept) {
            return Err(format!("node {} has a lease of another length: {real:?}", node.0).into());
        }
        self.see(if real.is_some() { "read" } else { "missing" });
        if real.as_ref().map(of) != model.as_ref().map(of) {
            return Err(format!("node {} reads\nreal: {real:?}\nmodel: {model:?}", node.0).into());
        }
        Ok(())
    }

    /// Nobody cleans up behind a node that is gone.
    fn check_that_all_ends(&mut self) -> Result<(), Box<dyn Error>> {
        let endless = self.real.command(&["EVAL", ENDLESS, "0"])?;
        match endless.first() {
            Some(key) => Err(format!("{} never ends", String::from_utf8_lossy(key)).into()),
            None => Ok(()),
        }
    }

    fn list(&mut self) -> Result<(), Box<dyn Error>> {
        let reply = self.real.command(&["ZRANGE", &format!("{PREFIX}nodes"), "0", "-1"])?;
        let mut real = NodeId::parse_list(&reply)?;
        real.sort_unstable();
        let model = self.model.list();
        if real != model {
            return Err(format!("the list\nreal: {real:?}\nmodel: {model:?}").into());
        }
        Ok(())
    }
}

/// How long a key has to live, as text.
const LIFE: &str = "return tostring(redis.call('PTTL', KEYS[1]))";

/// The keys that never end.
const ENDLESS: &str = "
    local endless = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
      if redis.call('TTL', key) < 0 then
        endless[#endless + 1] = key
      end
    end
    return endless";

/// The same, with those things in order that have none.
fn in_order(answer: Answer) -> Answer {
    match answer {
        Answer::Done(frame, mut unseen) => {
            let mut frame = Frame::clone(&frame);
            for part in &mut frame.shares {
                part.rooms.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
            }
            unseen.sort_unstable();
            Answer::Done(Arc::new(frame), unseen)
        }
        Answer::Lost(mut unseen) => {
            unseen.sort_unstable();
            Answer::Lost(unseen)
        }
        Answer::Late => Answer::Late,
    }
}
