//! The allocator of the binary: jemalloc, told to give memory back.
//!
//! When all clients come at once, each connection takes some 17 kB until its stream has
//! left hyper. With these settings an open stream takes 1 kB afterwards. jemalloc with its
//! defaults, or mimalloc, keeps so much after such a storm that it is several times as much
//! (`bench/README.md`).

use tikv_jemalloc_ctl::{Access, AsName, Error, background_thread};
use tikv_jemallocator::Jemalloc;
use tracing::warn;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Unused memory goes back to the system after a second; by default, after ten.
const SETTINGS: &[u8] = b"dirty_decay_ms:1000,muzzy_decay_ms:1000\0";
const DECAY_MS: isize = 1000;

/// The settings of the arena that exists from the start, and of all that are made later.
const DECAYS: [&[u8]; 4] = [
    b"arena.0.dirty_decay_ms\0",
    b"arena.0.muzzy_decay_ms\0",
    b"arenas.dirty_decay_ms\0",
    b"arenas.muzzy_decay_ms\0",
];

/// Where jemalloc looks for the settings of the program that it is part of: `const
/// char *malloc_conf` (<https://jemalloc.net/jemalloc.3.html>, "TUNING"), with the
/// prefix that tikv-jemallocator gives to all of its names.
///
/// This is the only place in Headcount that the compiler can't vouch for: it doesn't know
/// what else has this name, or what is read from it. It is sound because jemalloc's own
/// `_rjem_malloc_conf` is a weak symbol, meant to be replaced like this; because an
/// `Option` of a reference to an array is a pointer, as in C; and because jemalloc only
/// reads the string, which is static and ends with a zero.
#[allow(unsafe_code)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: Option<&[u8; SETTINGS.len()]> = SETTINGS.first_chunk();

/// Starts the allocator's own thread, which gives memory back in quiet times too. Warns if
/// that fails or if other settings are in force.
///
/// `background_thread:true` in [`SETTINGS`] would start it as well, but then nobody
/// would learn of a failure: jemalloc only reports it here.
pub(crate) fn give_back_soon() {
    if let Err(error) = background_thread::write(true) {
        warn!(
            %error,
            "the allocator's background thread does not run, so memory of streams that ended \
             may never be given back; see how many threads this process may have (`ulimit -u`)"
        );
    }
    for name in DECAYS {
        let decay: Result<isize, Error> = name.name().read();
        if decay != Ok(DECAY_MS) {
            warn!(
                setting = %String::from_utf8_lossy(name).trim_end_matches('\0'),
                wanted = DECAY_MS,
                found = ?decay,
                "the allocator has another setting, so memory of streams that ended may be \
                 given back late; unset _RJEM_MALLOC_CONF unless it is meant to be so"
            );
        }
    }
}
