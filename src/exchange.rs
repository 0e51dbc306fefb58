//! Exchanges between nodes: people come from other nodes or go there, and in the same step the
//! number of people elsewhere changes accordingly.

use std::collections::HashMap;
use std::sync::Arc;

use crate::name::Name;
use crate::room::{Entered, Subscription};
use crate::rooms::Rooms;
use crate::seat::Seat;
use crate::token::Token;

/// One step, after which each room's number is right again.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// How many people are elsewhere from now on, for each room where that changes.
    pub(crate) elsewhere: HashMap<Name, usize>,
    /// The seats of the people who come, and their rooms, which are kept open.
    pub(crate) coming: Vec<(Arc<Seat>, Arc<[Name]>)>,
    /// The tokens of the people who have gone, and their rooms. Their streams end.
    pub(crate) going: Vec<(Token, Arc<[Name]>)>,
}

/// The part of a step that happens in one room.
#[derive(Default)]
struct Exchange<'a> {
    elsewhere: Option<usize>,
    coming: Vec<&'a Arc<Seat>>,
    going: Vec<&'a Arc<Seat>>,
}

impl Rooms {
    /// Carries out a step, room by room. Returns the subscriptions of each person who comes, in
    /// the order of their rooms.
    pub(crate) fn carry_out(&self, step: &Step) -> Vec<Vec<Subscription>> {
        loop {
            let going = step.going.iter();
            let going: Vec<_> =
                going.filter_map(|(token, rooms)| Some((self.find_seat(*token)?, rooms))).collect();
            // Nobody takes these seats over or leaves them meanwhile. If one was taken over just
            // now, start again to find the one that took its place.
            let held: Option<Vec<_>> = going.iter().map(|(seat, _)| seat.hand_over()).collect();
            let Some(held) = held else { continue };
            let heard = self.exchange_all(step, &going);
            for ((seat, _), held) in going.iter().zip(held) {
                self.give_up(seat, held);
            }
            return heard;
        }
    }

    fn exchange_all(
        &self,
        step: &Step,
        going: &[(Arc<Seat>, &Arc<[Name]>)],
    ) -> Vec<Vec<Subscription>> {
        let mut exchanges = HashMap::<&Name, Exchange<'_>>::new();
        for (room, count) in &step.elsewhere {
            exchanges.entry(room).or_default().elsewhere = Some(*count);
        }
        for (seat, rooms) in &step.coming {
            rooms.iter().for_each(|room| exchanges.entry(room).or_default().coming.push(seat));
        }
        for (seat, rooms) in going {
            rooms.iter().for_each(|room| exchanges.entry(room).or_default().going.push(seat));
        }
        let mut heard: HashMap<_, _> = exchanges
            .into_iter()
            .map(|(room, it)| {
                let entered = self.exchange(room, it.elsewhere, &it.coming, &it.going);
                (room, entered.into_iter().map(Entered::log))
            })
            .collect();
        let mut heard_in = |room| heard.get_mut(room).and_then(Iterator::next);
        let coming = step.coming.iter();
        coming.map(|(_, rooms)| rooms.iter().filter_map(&mut heard_in).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::room::Subscription;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn elsewhere(rooms: &[(&str, usize)]) -> Step {
        let elsewhere = rooms.iter().map(|(room, count)| (name(room), *count)).collect();
        Step { elsewhere, ..Step::default() }
    }

    fn told(heard: &mut Subscription) -> Vec<usize> {
        std::iter::from_fn(|| heard.try_next()).map(|event| event.count()).collect()
    }

    #[test]
    fn who_is_elsewhere_counts_here_too_whether_anybody_is_here_or_not() {
        let rooms = Rooms::default();
        rooms.carry_out(&elsewhere(&[("a", 2), ("b", 5)]));
        assert_eq!((rooms.count(&name("a")), rooms.len()), (2, 0));
        let (here, mut heard) = rooms.join(&name("a"), Ending::default()).expect("a room");
        assert_eq!(heard.told().count(), 3);
        rooms.carry_out(&elsewhere(&[("a", 4)]));
        rooms.carry_out(&elsewhere(&[("a", 4)]));
        rooms.carry_out(&elsewhere(&[("a", 0)]));
        assert_eq!(told(&mut heard), [5, 1]);
        let mut counts = rooms.counts();
        counts.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        assert_eq!(counts, [(name("a"), 1), (name("b"), 5)]);
        drop(here);
        assert_eq!(rooms.count(&name("a")), 0);
        rooms.carry_out(&elsewhere(&[("b", 0)]));
        assert_eq!(rooms.counts(), []);
    }

    #[test]
    fn who_moves_between_nodes_is_no_news() {
        let (rooms, names) = (Rooms::default(), Arc::from([name("a"), name("b")]));
        let (_observer, mut heard) = rooms.observe_all(&[name("a"), name("b")]).expect("rooms");
        rooms.carry_out(&elsewhere(&[("a", 1), ("b", 1)]));
        assert_eq!(heard.iter_mut().map(told).collect::<Vec<_>>(), [[1], [1]]);

        let seat = Seat::new(Token::random(), None);
        let coming = vec![(seat.clone(), Arc::clone(&names))];
        let come = Step { coming, ..elsewhere(&[("a", 0), ("b", 0)]) };
        let [own] = rooms.carry_out(&come).try_into().expect("one comes");
        let heard_of: Vec<_> = own.iter().map(|own| own.room().name().clone()).collect();
        assert_eq!(heard_of, *names);
        let presence = rooms.arrive(seat.clone(), &own, Ending::default());

        let going = vec![(seat.token(), names)];
        rooms.carry_out(&Step { going, ..elsewhere(&[("a", 1), ("b", 1)]) });
        assert!(seat.is_taken(), "its stream ends");
        assert!(rooms.find_seat(seat.token()).is_none());
        drop(presence);
        assert_eq!(heard.iter_mut().map(told).collect::<Vec<_>>(), [[0_usize; 0], []]);
        assert_eq!(rooms.count(&name("a")), 1);
    }
}
