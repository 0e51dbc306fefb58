//! One count over several nodes: the protocol by which they share their numbers through
//! Redis, without any IO of its own.
//!
//! Each node writes down how many people it has in each room, in a hash of its own, and
//! publishes what has changed. A room's count is the people here plus those
//! [`elsewhere`]. Nodes don't know each other's addresses and never wait for one another:
//! Redis is the only place where their [`share`]s meet.
//!
//! - A node has a fresh id for each boot, and its share has a [`lease`]: the node writes at
//!   least once a second, and the others drop its share 10 s after they last heard from it,
//!   each by its own monotonic clock. Clocks are never compared with one another.
//! - All numbers are absolute. A [`write`](mod@write) carries everything that is not
//!   acknowledged yet, and takes effect as a whole or not at all, so it may be lost,
//!   repeated or late.
//! - Each write is published as one [`frame`]. A hash's version rises by one with each
//!   change, so a reader notices when it has missed one. It then [catches up](catch_up): it
//!   reads all hashes again.
//! - People who come back to another node with the token of their seat are [claimed](claim):
//!   the script of that node's next write moves them from the old node's hash to its own.
//!
//! [`member`] is one node's part in this: it takes what happens as
//! [`Input`](member::Input)s, each with the time, and answers with
//! [`Output`](member::Output)s. One driver of it talks to Redis; the simulation in
//! `tests/cluster` is another. [`script`] is what Redis runs; [`json`] and [`reply`] are how
//! a node talks to it.
//!
//! # What a number says
//!
//! A number that is not partial is right, except for changes that are still on their way.
//! When it is partial, people may be missing. People are counted twice only where no node
//! can know better:
//!
//! - A node is cut off, and one of its guests goes to another node and comes back with that
//!   node's token before the first has noticed that they left. It counts them twice until it
//!   notices the lost connection or Redis is back, and is partial for that time.
//! - Redis forgets who was moved where (a failover, a `FLUSHALL`), and the node that could
//!   say so again is dead too. The people whom that node had claimed may be counted in the
//!   share of another dead node until the lease of that share is over.
//! - A node was started while Redis was away. The tokens that it gave out before Redis was
//!   back are unknown to the others, so people who bring one of them are new there: they are
//!   counted twice until their former connection is noticed to be lost, or the lease of their
//!   dead node is over.
//!
//! Somebody who comes back to another node for other rooms than before is still counted in
//! the rooms that they left until the former node hears of it or, if it is dead, until its
//! lease is over.
//!
//! # What is in Redis
//!
//! All keys share a prefix with a hash tag (`{headcount}:`), so that they lie in one slot of
//! a Redis Cluster. `N` is a node's id, `S` the number of one of its seats.
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

/// How long a node's share counts after the node was last heard.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// The longest that a node keeps silent. Each write renews its lease and, because its frame
/// comes back to the node itself, proves that the node hears.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// How long another node may be silent before its numbers are in doubt.
pub(crate) const SILENCE: Duration = Duration::from_secs(4);

/// How long a node may fail to hear itself before it considers itself cut off, whatever
/// TCP says.
pub(crate) const DEAF: Duration = Duration::from_secs(2);

/// A process that was not called for this long has been asleep, so what waits in its sockets
/// is old. It asks to be called at least every [`BEAT`].
pub(crate) const ASLEEP: Duration = Duration::from_secs(2);

/// How long changes wait to be merged into one write. The first change after a quiet time
/// doesn't wait, nor does a claim.
pub(crate) const TICK: Duration = Duration::from_millis(25);

/// How long somebody who comes back waits for their claim to be confirmed.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// The pause after a write or a catch-up that failed.
pub(crate) const RETRY: Duration = Duration::from_millis(250);

/// How long a node has to write its share anew after Redis has lost it.
pub(crate) const REASSERT: Duration = Duration::from_secs(2);

/// How long claims are remembered: longer than a process usually sleeps.
pub(crate) const MEMORY: Duration = Duration::from_secs(60);

/// How long Redis remembers that somebody left. Their client may be on its way to another
/// node, with a token that must not take somebody else's place. Browsers take 2 to 5 s.
pub(crate) const LEFT_MEMORY: Duration = Duration::from_secs(20);

/// How many claims one write carries, so that its script doesn't keep Redis for long.
pub(crate) const MOST_CLAIMS: usize = 500;

/// How many people who left are remembered while they can't be written.
pub(crate) const MOST_LEFT: usize = 65_536;

/// How many people who left one write carries, so that its script doesn't keep Redis for long.
pub(crate) const MOST_LEFT_AT_ONCE: usize = 1_000;

/// How many more rooms than the node has may wait to be written. With more than that, the
/// whole share is written.
pub(crate) const SPARE_ROOMS: usize = 1_000;

/// How many bytes a frame may have. The whole share of a node with 100,000 rooms, whose names
/// have the greatest length, takes half of that; Redis itself cuts off subscribers for whom
/// more than this waits.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// How many frames are kept during one catch-up. With more than that, it starts again.
pub(crate) const MOST_FRAMES: usize = 10_000;
