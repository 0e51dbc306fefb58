//! The allocator of the binary: jemalloc, told to give memory back.
//!
//! When all come at once, each connection takes some 17 kB until its stream has
//! left hyper. With these settings an open stream takes 1 kB afterwards; with what
//! jemalloc keeps by default, or mimalloc, of such a storm, it is several times as much
//! (`bench/README.md`).

use tikv_jemalloc_ctl::{Access, AsName, Error, background_thread};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// After so many milliseconds unused memory goes back to the system, by default
/// 10,000.
const DECAY_MS: isize = 1000;

/// The settings of the arenas to come, and (4096 stands for all) of those that
/// are there (<https://jemalloc.net/jemalloc.3.html>, `MALLCTL NAMESPACE`).
const DECAYS: [&[u8]; 4] = [
    b"arenas.dirty_decay_ms\0",
    b"arenas.muzzy_decay_ms\0",
    b"arena.4096.dirty_decay_ms\0",
    b"arena.4096.muzzy_decay_ms\0",
];

/// Has unused memory given back soon, by a thread of the allocator's own, so that
/// it is given back in quiet times too.
pub(crate) fn give_back_soon() -> Result<(), Error> {
    for decay in DECAYS {
        decay.name().write(DECAY_MS)?;
    }
    background_thread::write(true)
}
