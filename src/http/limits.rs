//! How many streams there may be: in all, and for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::refusal::Refusal;

/// The places for streams.
#[derive(Debug)]
pub(super) struct Limits {
    max_streams: usize,
    max_per_address: Option<usize>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    streams: usize,
    /// Kept only where there is a limit for an address, and only for those that
    /// have a stream.
    by_address: HashMap<IpAddr, usize>,
}

/// A place that a stream has. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Arc<Limits>,
    address: Option<IpAddr>,
}

impl Limits {
    pub(super) fn new(max_streams: usize, max_per_address: Option<usize>) -> Arc<Self> {
        Arc::new(Self { max_streams, max_per_address, open: Mutex::default() })
    }

    /// Takes a place for a client at `address`, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refusal> {
        let mut open = self.lock();
        if open.streams >= self.max_streams {
            return Err(Refusal::TooManyStreams);
        }
        if let (Some(max), Some(address)) = (self.max_per_address, &address)
            && open.by_address.get(address).is_some_and(|streams| *streams >= max)
        {
            return Err(Refusal::TooManyOfAddress);
        }
        Ok(self.place(&mut open, address))
    }

    /// Takes a place for a client that has one already, on a connection that is
    /// lost: it is not one more.
    pub(super) fn admit_returning(self: &Arc<Self>, address: Option<IpAddr>) -> Permit {
        self.place(&mut self.lock(), address)
    }

    /// How many streams are open.
    pub(super) fn streams(&self) -> usize {
        self.lock().streams
    }

    fn place(self: &Arc<Self>, open: &mut Open, address: Option<IpAddr>) -> Permit {
        let address = address.filter(|_| self.max_per_address.is_some());
        open.streams += 1;
        if let Some(address) = address {
            *open.by_address.entry(address).or_default() += 1;
        }
        Permit { limits: self.clone(), address }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        open.streams -= 1;
        if let Some(address) = self.address
            && let Some(streams) = open.by_address.get_mut(&address)
        {
            *streams -= 1;
            if *streams == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let limits = Limits::new(2, None);
        let first = limits.admit(A).expect("the first place");
        let _second = limits.admit(A).expect("the second place");
        assert_eq!(limits.admit(B).err(), Some(Refusal::TooManyStreams));
        assert_eq!(limits.streams(), 2);
        drop(first);
        let _third = limits.admit(B).expect("the place that was freed");
    }

    #[test]
    fn an_address_has_a_limit_of_its_own_and_is_forgotten_after_its_last_stream() {
        let limits = Limits::new(100, Some(1));
        let first = limits.admit(A).expect("a place");
        assert_eq!(limits.admit(A).err(), Some(Refusal::TooManyOfAddress));
        let _other = limits.admit(B).expect("a place for another");
        drop(first);
        assert_eq!(limits.lock().by_address.len(), 1);
        let _again = limits.admit(A).expect("a place again");
    }

    #[test]
    fn who_returns_for_a_seat_is_not_one_more() {
        let limits = Limits::new(1, Some(1));
        let _ghost = limits.admit(A).expect("a place");
        let _returned = limits.admit_returning(A);
        assert_eq!(limits.streams(), 2);
    }

    #[test]
    fn who_has_no_known_address_has_no_limit_by_it() {
        let limits = Limits::new(100, Some(1));
        let _permits =
            [limits.admit(None), limits.admit(None)].map(|permit| permit.expect("a place"));
    }
}
