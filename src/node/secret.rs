//! The secret that all nodes share, by which they recognize each other's tokens.

use std::iter;
use std::slice;
use std::sync::Arc;

use rand::random;
use ring::hmac::{self, HMAC_SHA256, Key};

use crate::cluster::place::{NodeId, Place};
use crate::name::Name;
use crate::ticket::Ticket;
use crate::token::Token;

/// What a genuine ticket says about the seat that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vouched {
    pub(super) place: Place,
    /// Whether the seat is in exactly the rooms that were asked for.
    pub(super) is_in_rooms: bool,
    /// Those of the rooms asked for that the seat is in.
    pub(super) had: Arc<[Name]>,
}

/// A token is its seat's place and two codes (HMAC-SHA256, [RFC 2104], each cut to 32 bits):
/// of the place, and of the place with its rooms. Nobody can make one up, or use one to take
/// somebody away from a room that they are not in. A client of several rooms may come back
/// for others, so its ticket has a code for each of its rooms as well.
///
/// [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104
#[derive(Clone, Debug)]
pub(super) struct Secret {
    bytes: [u8; LENGTH],
    key: Key,
    /// The secret before this one. Tokens that were given out with it are still good.
    before: Option<Key>,
}

const LENGTH: usize = 32;

impl Secret {
    /// A secret that nobody knows.
    pub(super) fn random() -> Self {
        Self::new(random(), None)
    }

    fn new(bytes: [u8; LENGTH], before: Option<Key>) -> Self {
        Self { bytes, key: Key::new(HMAC_SHA256, &bytes), before }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Uses this secret from now on, if it is well-formed and a different one.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        if let Ok(bytes) = <[u8; LENGTH]>::try_from(bytes)
            && bytes != self.bytes
        {
            *self = Self::new(bytes, Some(self.key.clone()));
        }
    }

    /// The token of a seat in these rooms.
    pub(super) fn token(&self, place: Place, rooms: &[Name]) -> Token {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&place.node.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&place.seat.to_be_bytes());
        bytes[8..12].copy_from_slice(&code(&self.key, place, &[]).to_be_bytes());
        bytes[12..].copy_from_slice(&code(&self.key, place, rooms).to_be_bytes());
        Token::from_bytes(bytes)
    }

    /// The ticket to a seat in these rooms.
    pub(super) fn ticket(&self, token: Token, rooms: &[Name]) -> Ticket {
        let several = if rooms.len() > 1 { rooms } else { &[] };
        let code = |room| code(&self.key, place(token), slice::from_ref(room));
        Ticket { token, codes: several.iter().map(code).collect() }
    }

    /// What a ticket says to a client that asks for these rooms, if a node gave it out.
    pub(super) fn read(&self, ticket: &Ticket, rooms: &[Name]) -> Option<Vouched> {
        let place = place(ticket.token);
        let [.., a, b, c, d, e, f, g, h] = ticket.token.bytes();
        // Compared as numbers, which takes the same time wherever they differ.
        let of_place = u32::from_be_bytes([a, b, c, d]);
        let of_rooms = u32::from_be_bytes([e, f, g, h]);
        let mut keys = iter::once(&self.key).chain(&self.before);
        let key = keys.find(|key| code(key, place, &[]) == of_place)?;
        let is_in_rooms = code(key, place, rooms) == of_rooms;
        let is_in = |room: &&Name| ticket.codes.contains(&code(key, place, slice::from_ref(*room)));
        let had = rooms.iter().filter(|room| is_in_rooms || is_in(room)).cloned().collect();
        Some(Vouched { place, is_in_rooms, had })
    }
}

/// The place that a token names, if it is genuine.
pub(super) fn place(token: Token) -> Place {
    let [a, b, c, d, e, f, g, h, ..] = token.bytes();
    let node = NodeId(u32::from_be_bytes([a, b, c, d]));
    Place { node, seat: u32::from_be_bytes([e, f, g, h]) }
}

/// The code of a place with these rooms, or of the place alone if there are none.
fn code(key: &Key, place: Place, rooms: &[Name]) -> u32 {
    let mut rooms: Vec<_> = rooms.iter().map(Name::as_str).collect();
    // The order in which they are asked for doesn't matter.
    rooms.sort_unstable();
    let mut context = hmac::Context::with_key(key);
    context.update(&place.node.0.to_be_bytes());
    context.update(&place.seat.to_be_bytes());
    for room in rooms {
        context.update(&room.len().to_be_bytes());
        context.update(room.as_bytes());
    }
    context.sign().as_ref().iter().take(4).fold(0, |code, byte| code << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { node: NodeId(7), seat: 12 };

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::new(text).expect("a good name")).collect()
    }

    #[test]
    fn a_token_names_its_place_and_its_rooms_in_any_order() {
        let secret = Secret::random();
        let token = secret.token(PLACE, &names(&["a", "b"])).into();
        for same in [&["a", "b"], &["b", "a"]].map(|same| names(same)) {
            let vouched = secret.read(&token, &same).expect("it is genuine");
            assert_eq!((vouched.place, vouched.is_in_rooms), (PLACE, true));
            assert_eq!(vouched.had[..], same);
        }
        for others in [&["a"][..], &["a", "b", "c"], &["ab"], &[]] {
            let vouched = secret.read(&token, &names(others)).expect("it is genuine");
            assert!(!vouched.is_in_rooms && vouched.had.is_empty(), "{others:?}");
        }
    }

    #[test]
    fn a_ticket_vouches_for_those_of_its_rooms_that_are_asked_for() {
        let secret = Secret::random();
        let rooms = names(&["a", "b", "c"]);
        let ticket = secret.ticket(secret.token(PLACE, &rooms), &rooms);
        let vouched = secret.read(&ticket, &names(&["d", "c", "ab", "a"])).expect("it is genuine");
        assert_eq!((vouched.is_in_rooms, &vouched.had[..]), (false, &names(&["c", "a"])[..]));
        // The codes of another seat are worth nothing to it.
        let other = Place { seat: 13, ..PLACE };
        let codes = secret.ticket(secret.token(other, &rooms), &rooms).codes;
        let mixed = Ticket { codes, ..ticket };
        assert!(secret.read(&mixed, &names(&["a"])).is_some_and(|it| it.had.is_empty()));
        // One room alone needs no codes.
        let alone = names(&["a"]);
        assert!(secret.ticket(secret.token(PLACE, &alone), &alone).codes.is_empty());
    }

    #[test]
    fn a_token_that_was_changed_or_made_up_is_none() {
        let (secret, rooms) = (Secret::random(), names(&["lobby"]));
        let token = secret.token(PLACE, &rooms).bytes();
        for bit in 0..128 {
            let mut changed = token;
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = secret.read(&Token::from_bytes(changed).into(), &rooms);
            assert_eq!(read.is_none(), bit < 96, "bit {bit}");
            assert!(read.is_none_or(|vouched| !vouched.is_in_rooms), "bit {bit}");
        }
        assert_eq!(Secret::random().read(&Token::from_bytes(token).into(), &rooms), None);
    }

    #[test]
    fn the_last_secret_is_good_still_and_the_one_before_it_is_not() {
        let (mut secret, rooms) = (Secret::random(), names(&["lobby"]));
        let tokens = [1, 2, 3].map(|nth| {
            secret.follow(&[nth; LENGTH]);
            secret.token(PLACE, &rooms)
        });
        secret.follow(&[3; LENGTH]);
        secret.follow(b"too short");
        let good = tokens.map(|token| secret.read(&token.into(), &rooms).is_some());
        assert_eq!(good, [false, true, true]);
    }
}
