//! The limits: how many streams there may be in total, and how many streams and rooms one
//! address may have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::name::Name;

/// The places for streams.
#[derive(Debug)]
pub(crate) struct Limits {
    max_streams: usize,
    max_streams_per_address: Option<usize>,
    max_rooms_per_address: Option<usize>,
    taken: Mutex<Taken>,
}

/// The places that are taken. An address is kept only as long as it has a place, and only
/// with what is limited.
#[derive(Debug, Default)]
struct Taken {
    places: usize,
    by_address: HashMap<Network, usize>,
    rooms: HashMap<Network, usize>,
    by_room: HashMap<(Network, Name), usize>,
}

/// Why there is no place for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The limit on streams is reached.
    Streams,
    /// This address has reached its limit on streams.
    StreamsOfAddress,
    /// This address has reached its limit on rooms.
    RoomsOfAddress,
}

/// The place of one stream, or of a seat that is kept for its client. Dropping it
/// frees the place.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<Limits>,
    /// The address, if addresses have a limit.
    address: Option<Network>,
    /// The rooms that count towards the limit on an address's rooms.
    rooms: Box<[Name]>,
}

impl Limits {
    pub(crate) fn new(
        max_streams: usize,
        max_streams_per_address: Option<usize>,
        max_rooms_per_address: Option<usize>,
    ) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { max_streams, max_streams_per_address, max_rooms_per_address, taken })
    }

    /// Takes a place, if there is one, for a client at `address` that is in these `rooms`, each
    /// named once. The default room doesn't count towards an address's limit: everybody may
    /// enter it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        rooms: &[Name],
    ) -> Result<Permit, Full> {
        let address = self.limited(address);
        let rooms = self.counting(rooms);
        let mut taken = self.lock();
        if taken.places >= self.max_streams {
            return Err(Full::Streams);
        }
        self.check(&taken, address, &rooms)?;
        self.charge(&mut taken, address, &rooms);
        taken.places += 1;
        Ok(Permit { limits: self.clone(), address, rooms })
    }

    /// How many streams there may be.
    pub(crate) fn max_streams(&self) -> usize {
        self.max_streams
    }

    /// How many places are taken.
    pub(crate) fn places(&self) -> usize {
        self.lock().places
    }

    /// The address as it is counted, if addresses have a limit.
    fn limited(&self, address: Option<IpAddr>) -> Option<Network> {
        let has_limit =
            self.max_streams_per_address.is_some() || self.max_rooms_per_address.is_some();
        address.filter(|_| has_limit).map(Network::of)
    }

    /// Those of the rooms that count towards the limit on an address's rooms.
    fn counting(&self, rooms: &[Name]) -> Box<[Name]> {
        let count = |room: &&Name| self.max_rooms_per_address.is_some() && !room.is_default();
        rooms.iter().filter(count).cloned().collect()
    }

    /// Checks whether an address may have one more place, in these rooms.
    fn check(&self, taken: &Taken, address: Option<Network>, rooms: &[Name]) -> Result<(), Full> {
        let Some(address) = address else { return Ok(()) };
        let has = |counts: &HashMap<Network, usize>| counts.get(&address).copied().unwrap_or(0);
        if self.max_streams_per_address.is_some_and(|max| has(&taken.by_address) >= max) {
            return Err(Full::StreamsOfAddress);
        }
        let is_new = |room: &&Name| !taken.by_room.contains_key(&(address, (*room).clone()));
        let new = rooms.iter().filter(is_new).count();
        if new > 0 && self.max_rooms_per_address.is_some_and(|max| has(&taken.rooms) + new > max) {
            return Err(Full::RoomsOfAddress);
        }
        Ok(())
    }

    /// Counts a place for its address.
    fn charge(&self, taken: &mut Taken, address: Option<Network>, rooms: &[Name]) {
        let Some(address) = address else { return };
        if self.max_streams_per_address.is_some() {
            *taken.by_address.entry(address).or_default() += 1;
        }
        for room in rooms {
            let places = taken.by_room.entry((address, room.clone())).or_default();
            *places += 1;
            if *places == 1 {
                *taken.rooms.entry(address).or_default() += 1;
            }
        }
    }

    /// Undoes what [`charge`](Self::charge) did.
    fn discharge(&self, taken: &mut Taken, address: Option<Network>, rooms: &[Name]) {
        let Some(address) = address else { return };
        if self.max_streams_per_address.is_some() {
            one_less(&mut taken.by_address, address);
        }
        for room in rooms {
            if one_less(&mut taken.by_room, (address, room.clone())) == 0 {
                one_less(&mut taken.rooms, address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an address counts for: with IPv6 that is its whole /64, because one client has all
/// addresses of that (RFC 4291, section 2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// Counts one less, and returns how many are left.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) -> usize {
    let Entry::Occupied(mut entry) = counts.entry(key) else { return 0 };
    *entry.get_mut() -= 1;
    let left = *entry.get();
    if left == 0 {
        entry.remove();
    }
    left
}

impl Permit {
    /// Whether it counts for this address.
    pub(crate) fn is_at(&self, address: Option<IpAddr>) -> bool {
        self.address.is_none() || self.address == address.map(Network::of)
    }

    /// Gives the place to a client at `address` that is in these `rooms`, if the limits allow
    /// it. The place is never free in between.
    pub(crate) fn move_to(&mut self, address: Option<IpAddr>, rooms: &[Name]) -> Result<(), Full> {
        let address = self.limits.limited(address).or(self.address);
        let rooms = self.limits.counting(rooms);
        if (address, &rooms) == (self.address, &self.rooms) {
            return Ok(());
        }
        let mut taken = self.limits.lock();
        // First, so that it is not in its own way.
        self.limits.discharge(&mut taken, self.address, &self.rooms);
        let moved = self.limits.check(&taken, address, &rooms);
        if moved.is_ok() {
            (self.address, self.rooms) = (address, rooms);
        }
        self.limits.charge(&mut taken, self.address, &self.rooms);
        moved
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.limits.lock();
        taken.places -= 1;
        self.limits.discharge(&mut taken, self.address, &self.rooms);
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streams => "the limit on streams is reached",
            Self::StreamsOfAddress => "this address has reached its limit on streams",
            Self::RoomsOfAddress => "this address has reached its limit on rooms",
        })
    }
}

impl std::error::Error for Full {}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn rooms<const N: usize>(names: [&str; N]) -> [Name; N] {
        names.map(|name| Name::new(name).expect("a good name"))
    }

    fn room(name: &str) -> [Name; 1] {
        rooms([name])
    }

    fn is_forgotten(limits: &Limits) -> bool {
        let Taken { places, by_address, rooms, by_room } = &*limits.lock();
        (*places, by_address.len(), rooms.len(), by_room.len()) == (0, 0, 0, 0)
    }

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let limits = Limits::new(2, None, None);
        let first = limits.admit(A, &room("a")).expect("the first place");
        let _second = limits.admit(A, &room("a")).expect("the second place");
        assert_eq!(limits.admit(B, &room("a")).err(), Some(Full::Streams));
        assert_eq!(limits.places(), 2);
        drop(first);
        let _third = limits.admit(B, &room("a")).expect("the place that was freed");
    }

    #[test]
    fn an_address_has_a_limit_of_its_own_and_is_forgotten_after_its_last_stream() {
        let limits = Limits::new(100, Some(1), Some(100));
        let first = limits.admit(A, &room("a")).expect("a place");
        assert_eq!(limits.admit(A, &room("a")).err(), Some(Full::StreamsOfAddress));
        let other = limits.admit(B, &room("a")).expect("a place for another");
        drop(first);
        drop(limits.admit(A, &room("a")).expect("a place again"));
        drop(other);
        assert!(is_forgotten(&limits));
    }

    #[test]
    fn an_address_may_be_in_so_many_rooms_and_in_each_as_often_as_it_likes() {
        let limits = Limits::new(100, None, Some(2));
        let first = limits.admit(A, &room("a")).expect("the first room");
        let again = limits.admit(A, &room("a")).expect("the same room");
        let second = limits.admit(A, &room("b")).expect("the second room");
        assert_eq!(limits.admit(A, &room("c")).err(), Some(Full::RoomsOfAddress));
        assert_eq!(limits.places(), 3, "who is refused takes no place");
        let default = limits.admit(A, &[Name::default()]).expect("everybody's room");
        let other = limits.admit(B, &room("c")).expect("another's room");
        drop(first);
        assert_eq!(limits.admit(A, &room("c")).err(), Some(Full::RoomsOfAddress));
        drop(again);
        let third = limits.admit(A, &room("c")).expect("a room was left");
        drop((second, third, default, other));
        assert!(is_forgotten(&limits));
    }

    #[test]
    fn a_place_that_moves_is_paid_for_where_it_goes() {
        let limits = Limits::new(1, Some(1), Some(1));
        let mut moving = limits.admit(A, &room("a")).expect("the place");
        moving.move_to(A, &room("a")).expect("it has it already");
        moving.move_to(B, &room("a")).expect("it has none yet");
        assert_eq!(limits.places(), 1);
        drop(moving);
        assert!(is_forgotten(&limits));

        let limits = Limits::new(3, Some(1), Some(1));
        let mut moving = limits.admit(A, &room("a")).expect("a place");
        let other = limits.admit(B, &room("b")).expect("a place");
        assert_eq!(moving.move_to(B, &room("a")).err(), Some(Full::StreamsOfAddress));
        assert_eq!(limits.admit(A, &room("a")).err(), Some(Full::StreamsOfAddress));
        drop((moving, other));
        assert!(is_forgotten(&limits));
    }

    #[test]
    fn a_place_in_several_rooms_is_one_place_and_all_or_nothing() {
        let limits = Limits::new(100, Some(2), Some(3));
        let mut several = limits.admit(A, &rooms(["a", "b", "lobby"])).expect("two rooms");
        assert_eq!(limits.places(), 1);
        assert_eq!(limits.admit(A, &rooms(["c", "d"])).err(), Some(Full::RoomsOfAddress));
        let other = limits.admit(A, &rooms(["b", "c"])).expect("one of them is new");
        assert_eq!(limits.admit(A, &room("a")).err(), Some(Full::StreamsOfAddress));

        let too_many = several.move_to(A, &rooms(["a", "d"]));
        assert_eq!(too_many.err(), Some(Full::RoomsOfAddress));
        several.move_to(A, &rooms(["d", "b"])).expect("it leaves one");
        several.move_to(A, &rooms(["b", "d"])).expect("it leaves none");
        let all = several.move_to(B, &rooms(["a", "b", "c", "d"]));
        assert_eq!(all.err(), Some(Full::RoomsOfAddress));
        several.move_to(B, &rooms(["a", "b", "c"])).expect("another address");
        let back = limits.admit(A, &rooms(["d"])).expect("both were left there");
        drop((several, other, back));
        assert!(is_forgotten(&limits));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let at = |text: &str| Some(text.parse().expect("an address"));
        let limits = Limits::new(100, Some(1), None);
        let mut first = limits.admit(at("2001:db8::1"), &room("a")).expect("a place");
        let again = limits.admit(at("2001:db8::ffff:2"), &room("a"));
        assert_eq!(again.err(), Some(Full::StreamsOfAddress));
        first.move_to(at("2001:db8::3"), &room("a")).expect("it has it already");
        limits.admit(at("2001:db8:0:1::1"), &room("a")).expect("another network");
        let (mapped, plain) = (at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_eq!(mapped.map(Network::of), plain.map(Network::of));
    }

    #[test]
    fn a_place_of_no_known_address_is_paid_for_when_that_is_known() {
        let limits = Limits::new(100, Some(1), Some(1));
        let mut first = limits.admit(None, &room("a")).expect("a place");
        let mut second = limits.admit(None, &room("b")).expect("a place");
        first.move_to(A, &room("a")).expect("its first place");
        assert_eq!(second.move_to(A, &room("b")).err(), Some(Full::StreamsOfAddress));
        assert_eq!(limits.places(), 2);
        drop((first, second));
        assert!(is_forgotten(&limits));
    }

    #[test]
    fn who_has_no_known_address_has_no_limit_by_it() {
        let limits = Limits::new(100, Some(1), Some(1));
        let _permits = ["a", "b"].map(|r| limits.admit(None, &room(r)).expect("a place"));
    }
}
