//! One count over several nodes: the protocol by which they share their numbers through
//! Redis, without any IO of its own.
//!
//! Each node writes down how many people it has in each room, in a hash of its own, and
//! publishes what has changed. A room's count is the people here and those
//! [`elsewhere`]. Nodes don't know each other's addresses and never wait for one another:
//! Redis is the only place where their [`share`]s meet.
//!
//! - A node has an id that is fresh for each boot, and its share a [`lease`]: it writes at
//!   least once a second, and 10 s after its last word the others drop its share, each by
//!   its own monotonic clock. No clock is ever compared with another one.
//! - All numbers are absolute. A [`write`](mod@write) carries whatever is not acknowledged yet, and is
//!   carried out as a whole or not at all, so it may be lost, repeated or late.
//! - Each write is published as one [`frame`]. Each time that a hash changes, its version
//!   rises by one, so a reader notices that it has missed something. It then
//!   [catches up](catch_up): it reads all hashes again.
//! - People who come back to another node with the token of their seat are [claimed](claim):
//!   the script of that node's next write moves them from the one hash to the other.
//!
//! [`member`] is one node's part in this: it takes what happens as
//! [`Input`](member::Input)s, each with the time, and answers with
//! [`Output`](member::Output)s. Redis is one driver of it; the simulation in
//! `tests/cluster` is another. What Redis does is in [`script`]; how it is talked to, in
//! [`json`] and [`reply`].
//!
//! # What a number says
//!
//! A node whose number is not partial is right, but for what is on its way. Where it is
//! partial, people may be missing. Nobody is counted twice, but where no node can know:
//!
//! - A node is cut off, and one of its guests leaves it for another node and comes back with
//!   that one's token, before it has noticed that they left. It counts both until their
//!   lost connection is noticed or Redis is back, and is partial for that time.
//! - Redis forgets who was moved where (a failover, a `FLUSHALL`), and the node that could
//!   say so again is dead too. Whoever it had claimed may be counted in the share of a dead
//!   node until that one's lease is over.
//! - A node was started while Redis was away. The others don't know the tokens that it gave
//!   out until then, so whoever goes to them with one is new there, until their former
//!   connection is noticed to be lost or the lease of their dead node is over.
//!
//! Somebody who comes back to another node for other rooms than before is counted in those
//! that they left until the former node has heard of it, or for its lease if it is dead.
//!
//! # What is in Redis
//!
//! All keys have one prefix with a hash tag, so that they lie in one slot of a Redis
//! Cluster (`{headcount}:`). `N` is a node's id, `S` the number of one of its seats.
//!
//! | key | what it is | it ends |
//! |---|---|---|
//! | `node:N` | hash: `seq` (number of the last write), `generation` and `version`, and for each room, after a colon, how many people are there: `:lobby` | with the lease |
//! | `nodes` | sorted set of the ids, by the time of their last write | with the last node's lease |
//! | `taken:N` | hash: seats claimed from N that N has yet to acknowledge, and their rooms | after [`MEMORY`] |
//! | `gone:N:S` | where the seat's person went: `N:S`, or nothing if they just left | after [`MEMORY`] or [`LEFT_MEMORY`] |
//! | `secret` | what makes a token good at every node | never |
//! | `frames` | the channel | |

use std::time::Duration;

pub(crate) mod catch_up;
pub(crate) mod claim;
pub(crate) mod elsewhere;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod lease;
pub(crate) mod member;
pub(crate) mod outbox;
pub(crate) mod place;
pub(crate) mod reply;
pub(crate) mod script;
pub(crate) mod share;
pub(crate) mod write;

/// How long a node's share counts after its last word.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// How long a node keeps silent at most. Each word renews its lease and, as it comes back
/// to the node itself, proves that the node hears.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// How long another node may be silent before its numbers are in doubt.
pub(crate) const SILENCE: Duration = Duration::from_secs(4);

/// How long a node may fail to hear itself before it takes itself for cut off, whatever
/// TCP says.
pub(crate) const DEAF: Duration = Duration::from_secs(2);

/// A process that was not asked for so long has been asleep: what waits in its sockets is
/// old. It asks to be called at least every [`BEAT`].
pub(crate) const ASLEEP: Duration = Duration::from_secs(2);

/// How long changes wait to be merged into one write. The first one after a quiet time
/// doesn't wait, and no claim does.
pub(crate) const TICK: Duration = Duration::from_millis(25);

/// How long somebody who comes back waits for their claim.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// The pause after a write or a catch-up that failed.
pub(crate) const RETRY: Duration = Duration::from_millis(250);

/// How long a node has to write its share anew after Redis has lost it.
pub(crate) const REASSERT: Duration = Duration::from_secs(2);

/// How long claims are remembered: longer than a process sleeps, usually.
pub(crate) const MEMORY: Duration = Duration::from_secs(60);

/// How long Redis remembers that somebody left. Their client may be on its way to another
/// node, with a token that must not take somebody else's place. Browsers take 2 to 5 s.
pub(crate) const LEFT_MEMORY: Duration = Duration::from_secs(20);

/// How many claims one write carries, so that its script doesn't keep Redis for long.
pub(crate) const MOST_CLAIMS: usize = 500;

/// How many people who left are remembered while they can't be written.
pub(crate) const MOST_LEFT: usize = 65_536;

/// How many of them one write carries, for the same reason.
pub(crate) const MOST_LEFT_AT_ONCE: usize = 1_000;

/// So many rooms more than there are may wait to be written. With more, the whole share is.
pub(crate) const SPARE_ROOMS: usize = 1_000;

/// How many bytes a frame may have. The whole share of a node with 100,000 rooms, whose names
/// are as long as may be, has half as many; Redis itself cuts off subscribers for whom more
/// than this waits.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// How many frames are kept during one catch-up. With more it begins anew.
pub(crate) const MOST_FRAMES: usize = 10_000;
