//! The model check: what must hold in whatever order threads come and go.
//!
//! Each check runs under shuttle's random scheduler and under PCT (Burckhardt
//! and others, "A Randomized Scheduler with Probabilistic Guarantees of Finding
//! Bugs", ASPLOS 2010), which finds rare orders that need few switches. The
//! oracle is the check's own knowledge of who stayed. That each check can fail
//! is shown by `tests/model/mutants.py`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use headcount_model::ending::Ending;
use headcount_model::event::Event;
use headcount_model::name::Name;
use headcount_model::pace::settle;
use headcount_model::presence::Presence;
use headcount_model::room::Subscription;
use headcount_model::rooms::Rooms;
use headcount_model::token::Token;
use headcount_model::{ask, go};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

/// Schedules tried by each scheduler in each check.
const SCHEDULES: usize = 10_000;
/// How many switches of thread PCT places at will.
const DEPTH: usize = 3;

fn check(model: fn()) {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, DEPTH);
}

type Visitor = (Presence, Subscription);

fn join(rooms: &Rooms) -> Visitor {
    rooms.join(&Name::default(), Ending::default()).expect("a room")
}

fn count(rooms: &Rooms) -> usize {
    rooms.count(&Name::default())
}

/// The next number, if there is one by now.
fn poll((_, subscription): &mut Visitor) -> Option<usize> {
    match pin!(subscription.changed()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.count()),
        Poll::Pending => None,
    }
}

/// Comes back with a token, if that is somebody's still.
fn take_over(rooms: &Rooms, token: Token) -> Option<Visitor> {
    let taken = rooms.take_over(&[Name::default()], token, None, &Ending::default());
    taken.expect("it has no limit").map(only)
}

/// Who is in one room.
fn only((presence, mut heard): (Presence, Vec<Subscription>)) -> Visitor {
    (presence, heard.remove(0))
}

/// All numbers that are there by now.
fn told(visitor: &mut Visitor) -> Vec<usize> {
    std::iter::from_fn(|| poll(visitor)).collect()
}

/// The number that a visitor was told last.
fn last((_, subscription): &Visitor) -> usize {
    subscription.told().count()
}

/// Everyone leaves, and nothing remains.
fn close(rooms: &Rooms, people: impl IntoIterator<Item = Visitor>) {
    people.into_iter().for_each(drop);
    settle();
    assert_eq!(count(rooms), 0);
    assert!(rooms.is_empty(), "an empty room is removed by whoever empties it");
}

/// Some join, some of them leave again, all at once: those who stayed are the
/// count, and the last event that each of them got says so.
#[test]
fn the_last_event_that_each_stream_got_is_the_truth() {
    check(|| {
        let rooms = Rooms::default();
        let threads: Vec<_> = (0..4)
            .map(|visitor| {
                let rooms = rooms.clone();
                thread::spawn(move || {
                    let joined = join(&rooms);
                    (visitor % 2 == 0).then_some(joined)
                })
            })
            .collect();
        let mut stayed: Vec<_> =
            threads.into_iter().filter_map(|t| t.join().expect("no panic")).collect();
        settle();

        assert_eq!(count(&rooms), stayed.len());
        for visitor in &mut stayed {
            told(visitor);
            assert_eq!(last(visitor), 2, "the last event is the truth");
        }
        close(&rooms, stayed);
    });
}

/// While people only come, each of them sees the number rise from their own
/// arrival to the end, without a step back or a repetition.
#[test]
fn a_joiner_sees_its_own_arrival_and_all_that_follows_in_order() {
    check(|| {
        let rooms = Rooms::default();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || join(&rooms))
            })
            .collect();
        let people: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        settle();

        let mut arrivals: Vec<_> = people.iter().map(last).collect();
        arrivals.sort_unstable();
        assert_eq!(arrivals, [1, 2, 3], "each arrival is an event of its own");
        let people = people.into_iter().map(|mut visitor| {
            let mut seen = vec![last(&visitor)];
            seen.extend(told(&mut visitor));
            assert!(seen.is_sorted_by(|a, b| a < b), "events in order, none twice: {seen:?}");
            assert_eq!(seen.last(), Some(&3));
            visitor
        });
        close(&rooms, people.collect::<Vec<_>>());
    });
}

/// A join that meets the leave which empties the room is not lost: the joiner
/// is in the room that everyone who comes later finds.
#[test]
fn a_join_that_races_with_the_removal_of_the_room_is_kept() {
    check(|| {
        let rooms = Rooms::default();
        let first = join(&rooms);
        let leaver = thread::spawn(move || drop(first));
        let joiner = thread::spawn({
            let rooms = rooms.clone();
            move || join(&rooms)
        });
        let passer = thread::spawn({
            let rooms = rooms.clone();
            move || drop(join(&rooms))
        });
        leaver.join().expect("no panic");
        passer.join().expect("no panic");
        let mut joined = joiner.join().expect("no panic");
        settle();

        assert_eq!((rooms.len(), count(&rooms)), (1, 1));
        let second = join(&rooms);
        settle();
        assert_eq!(last(&second), 2);
        assert_eq!(told(&mut joined).last(), Some(&2), "they are in one room");
        close(&rooms, [joined, second]);
    });
}

/// A reader that lags behind is told the newest number next, not the oldest.
#[test]
fn a_lagging_reader_goes_to_the_newest_number() {
    check(|| {
        let rooms = Rooms::default();
        let mut reader = join(&rooms);
        // Sure to lag, whatever is merged: each join is told before the next.
        let stayed: Vec<_> = (0..20)
            .map(|_| {
                let visitor = join(&rooms);
                settle();
                visitor
            })
            .collect();
        let crowd = thread::spawn({
            let rooms = rooms.clone();
            move || (join(&rooms), join(&rooms))
        });
        let seen = poll(&mut reader).expect("there is news");
        assert!(seen >= 21, "an old number was told: {seen}");
        let (a, b) = crowd.join().expect("no panic");
        settle();
        assert_eq!(told(&mut reader).last().copied().unwrap_or(seen), 23);
        close(&rooms, stayed.into_iter().chain([reader, a, b]));
    });
}

/// The heartbeat says the count as it is; no older event comes after it.
#[test]
fn a_heartbeat_is_not_followed_by_an_older_number() {
    check(|| {
        let rooms = Rooms::default();
        let mut reader = join(&rooms);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || join(&rooms))
            })
            .collect();
        let mut seen = vec![last(&reader)];
        for _ in 0..3 {
            if thread_rng().gen_bool(0.5) {
                seen.push(reader.1.now().count());
            } else {
                seen.extend(poll(&mut reader));
            }
        }
        let people: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        settle();
        seen.extend(told(&mut reader));
        assert!(seen.is_sorted(), "the number only rose: {seen:?}");
        assert_eq!(seen.last(), Some(&3));
        close(&rooms, people.into_iter().chain([reader]));
    });
}

/// A stream that sleeps is woken by every change: were one wake lost, shuttle
/// would report a deadlock.
#[test]
fn a_sleeping_stream_is_woken() {
    check(|| {
        let rooms = Rooms::default();
        let mut sleeper = join(&rooms);
        let reader = thread::spawn(move || {
            shuttle::future::block_on(async move {
                while sleeper.1.changed().await.count() != 3 {}
                sleeper
            })
        });
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || join(&rooms))
            })
            .collect();
        let people: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        let sleeper = reader.join().expect("no panic");
        close(&rooms, people.into_iter().chain([sleeper]));
    });
}

/// A client comes back with its token while its old stream ends: whichever is
/// first, one person is counted in the end, and nobody ever hears of one more.
#[test]
fn who_takes_a_seat_over_is_never_counted_twice() {
    check(|| {
        let rooms = Rooms::default();
        let mut observer = join(&rooms);
        let old = join(&rooms);
        settle();
        told(&mut observer);
        let token = old.0.seat().token();
        let gone = thread::spawn(move || drop(old));
        let returned = thread::spawn({
            let rooms = rooms.clone();
            move || {
                let taken = take_over(&rooms, token);
                let was_there = taken.is_some();
                (taken.unwrap_or_else(|| join(&rooms)), was_there)
            }
        });
        gone.join().expect("no panic");
        let (mut back, took_over) = returned.join().expect("no panic");
        settle();

        assert_eq!(count(&rooms), 2);
        let seen = told(&mut observer);
        assert!(seen.iter().all(|&number| number <= 2), "never one more: {seen:?}");
        if took_over {
            assert!(seen.is_empty(), "nothing changed, and nothing was told: {seen:?}");
            assert_eq!(back.0.seat().token(), token);
        }
        told(&mut back);
        assert_eq!(last(&back), 2);
        close(&rooms, [observer, back]);
    });
}

/// Two come back with one token while a third person joins: one seat, of which
/// the old stream is told, and nobody misses the newcomer.
#[test]
fn two_who_return_for_one_seat_are_one() {
    check(|| {
        let rooms = Rooms::default();
        let old = join(&rooms);
        let token = old.0.seat().token();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || {
                    take_over(&rooms, token).expect("the seat is counted all the while")
                })
            })
            .collect();
        let newcomer = thread::spawn({
            let rooms = rooms.clone();
            move || join(&rooms)
        });
        shuttle::future::block_on(old.0.seat().taken());
        drop(old);
        let returned: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        let newcomer = newcomer.join().expect("no panic");
        settle();

        assert_eq!(count(&rooms), 2);
        let people = returned.into_iter().map(|mut visitor| {
            told(&mut visitor);
            assert_eq!(last(&visitor), 2, "the newcomer was missed");
            visitor
        });
        close(&rooms, people.collect::<Vec<_>>().into_iter().chain([newcomer]));
    });
}

/// A stream that has its own subscription goes over to one that tells many, as a
/// stream of HTTP/1 does after its first event: it misses nothing, hears nothing
/// twice and nothing old.
#[test]
fn who_goes_over_to_a_shared_subscription_hears_all_of_it_once_and_in_order() {
    check(|| {
        let rooms = Rooms::default();
        let (teller, mut shared) = join(&rooms);
        let (presence, mut own) = join(&rooms);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || join(&rooms))
            })
            .collect();
        // The shared one may be ahead of it, or behind.
        for _ in 0..thread_rng().gen_range(0..3) {
            shared.try_next();
        }
        let mut told = own.told().change();
        let mut seen = vec![own.told().count()];
        let mut hear = |event: Event| {
            if event.change().is_news_after(told) {
                told = event.change();
                seen.push(event.count());
            }
        };
        while let Some(event) = own.try_next() {
            hear(event);
        }
        drop(own);
        let people: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        settle();
        while let Some(event) = shared.try_next() {
            hear(event);
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "in order, none twice: {seen:?}");
        assert_eq!(seen.last(), Some(&4));
        drop(presence);
        close(&rooms, people.into_iter().chain([(teller, shared)]));
    });
}

/// Somebody leaves a seat that waits. A newcomer may have it, and its owner may
/// come back for it, while it ceases to wait: each is counted, each once, and nobody
/// hears of one less than there are.
#[test]
fn a_seat_that_waits_is_one_persons() {
    check(|| {
        let rooms = Rooms::default();
        let mut observer = join(&rooms);
        let waiting = join(&rooms);
        settle();
        told(&mut observer);
        let (seat, token) = (waiting.0.seat().clone(), waiting.0.seat().token());
        let ceases = thread::spawn(move || drop(waiting));
        let owner = thread::spawn({
            let rooms = rooms.clone();
            move || take_over(&rooms, token).unwrap_or_else(|| join(&rooms))
        });
        let newcomer = thread::spawn({
            let rooms = rooms.clone();
            move || {
                let taken = rooms.succeed(&[Name::default()], &seat, None, &Ending::default());
                let taken = taken.expect("it has no limit");
                taken.map_or_else(|| join(&rooms), only)
            }
        });
        ceases.join().expect("no panic");
        let owner = owner.join().expect("no panic");
        let newcomer = newcomer.join().expect("no panic");
        settle();

        assert_eq!(count(&rooms), 3);
        assert_ne!(owner.0.seat().token(), newcomer.0.seat().token());
        let seen = told(&mut observer);
        assert_eq!(seen.last(), Some(&3), "{seen:?}");
        close(&rooms, [observer, owner, newcomer]);
    });
}

/// Somebody observes while the room empties and another one comes: the observer hears
/// of it, for its room is the one that the newcomer finds; and nothing is left when
/// the observer, too, has gone.
#[test]
fn an_observer_keeps_the_room_and_is_not_counted() {
    check(|| {
        let rooms = Rooms::default();
        let first = join(&rooms);
        let leaver = thread::spawn(move || drop(first));
        let observes = thread::spawn({
            let rooms = rooms.clone();
            move || rooms.observe(&Name::default()).expect("a room")
        });
        let passer = thread::spawn({
            let rooms = rooms.clone();
            move || drop(rooms.observe(&Name::default()))
        });
        let (observer, mut heard) = observes.join().expect("no panic");
        let newcomer = join(&rooms);
        leaver.join().expect("no panic");
        passer.join().expect("no panic");
        settle();

        assert_eq!((rooms.len(), count(&rooms)), (1, 1));
        while heard.try_next().is_some() {}
        assert_eq!(heard.told().count(), 1);
        drop(newcomer);
        settle();
        while heard.try_next().is_some() {}
        assert_eq!((rooms.len(), heard.told().count()), (1, 0));
        drop(observer);
        assert!(rooms.is_empty());
    });
}

/// The number that was told last of a room, and all that were told before it.
fn hear(heard: &mut Subscription) -> Vec<usize> {
    let mut numbers = vec![heard.told().count()];
    numbers.extend(std::iter::from_fn(|| heard.try_next()).map(|event| event.count()));
    numbers
}

/// One client is in two rooms. It comes back with its token for one of them and a third,
/// and at once for the two again, while its old stream ends: in the end it is in the rooms
/// of whoever was last, once, and in no other; and nobody ever hears of one more.
#[test]
fn who_returns_for_other_rooms_is_once_in_each_of_them_and_in_no_other() {
    check(|| {
        let rooms = Rooms::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| Name::new(name).expect("a good name"));
        let all = [a.clone(), b.clone(), c.clone()];
        let (observer, mut heard) = rooms.observe_all(&all).expect("three rooms");
        let join = |names: &[Name]| rooms.join_all(names, Ending::default()).expect("rooms");
        let old = join(&[a.clone(), b.clone()]);
        settle();
        let token = old.0.seat().token();
        let return_to = |names: [&Name; 2]| {
            let (rooms, names) = (rooms.clone(), names.map(Name::clone));
            thread::spawn(move || {
                let taken = rooms.take_over(&names, token, None, &Ending::default());
                taken.expect("it has no limit")
            })
        };
        let (first, second) = (return_to([&b, &c]), return_to([&a, &b]));
        // What its connection does when it learns of it, or when it is lost.
        let is_lost = thread_rng().gen_bool(0.5);
        let gone = thread::spawn(move || {
            if !is_lost {
                shuttle::future::block_on(old.0.seat().taken());
            }
            drop(old);
        });
        gone.join().expect("no panic");
        let returned = [first, second].map(|thread| thread.join().expect("no panic"));
        settle();

        let mut stay: Vec<_> = returned.into_iter().flatten().collect();
        assert!(is_lost || stay.len() == 2, "the seat is counted all the while");
        if stay.len() == 2 {
            let is_over = |presence: &Presence| presence.seat().is_taken();
            assert_eq!(stay.iter().filter(|(p, _)| is_over(p)).count(), 1, "one has it");
            stay.retain(|(presence, _)| !is_over(presence));
        }
        settle();
        for room in &all {
            let people = stay.iter().filter(|(presence, _)| presence.rooms().any(|r| r == room));
            assert_eq!(rooms.count(room), people.count(), "{room:?}");
        }
        for (heard, name) in heard.iter_mut().zip(["a", "b", "c"]) {
            let numbers = hear(heard);
            assert!(numbers.iter().all(|&number| number <= 1), "{name}: {numbers:?}");
            if !is_lost && name == "b" {
                assert!(!numbers[1..].contains(&0), "it never left: {numbers:?}");
            }
            assert_eq!(numbers.last(), Some(&rooms.count(&Name::new(name).expect("good"))));
        }
        drop(stay);
        settle();
        assert!(all.iter().all(|room| rooms.count(room) == 0));
        drop(observer);
        assert!(rooms.is_empty());
    });
}

/// A room may open, or be emptied, at the moment in which other nodes say how many people
/// they have.
#[test]
fn who_is_on_other_nodes_counts_in_every_room_that_opens() {
    check(|| {
        let rooms = Rooms::default();
        let (to_tell, to_join) = (rooms.clone(), rooms.clone());
        let tells = thread::spawn(move || {
            for elsewhere in [3, 5] {
                go(&to_tell, elsewhere, &[]);
            }
        });
        let joins = thread::spawn(move || {
            drop(join(&to_join));
            join(&to_join)
        });
        tells.join().expect("no panic");
        let mut stays = joins.join().expect("no panic");
        settle();
        assert_eq!(count(&rooms), 6);
        told(&mut stays);
        assert_eq!(last(&stays), 6, "the last event is the truth");
        drop(stays);
        go(&rooms, 0, &[]);
        close(&rooms, []);
    });
}

/// Somebody asks how many there were while people come and go, here and at other nodes.
#[test]
fn what_is_measured_of_a_room_and_of_all_ends_with_who_is_there() {
    check(|| {
        let rooms = Rooms::measured(10);
        let other = Name::new("other").expect("a name");
        let (to_join, in_other, to_tell) = (rooms.clone(), rooms.clone(), rooms.clone());
        let of_other = other.clone();
        let joins = thread::spawn(move || {
            drop(join(&to_join));
            join(&to_join)
        });
        let joins_other = thread::spawn(move || {
            in_other.join(&of_other, Ending::default()).expect("a room");
            in_other.join(&of_other, Ending::default()).expect("a room")
        });
        let tells = thread::spawn(move || {
            go(&to_tell, 2, &[]);
            go(&to_tell, 1, &[]);
        });
        ask(&rooms);
        tells.join().expect("no panic");
        let stay = [joins.join().expect("no panic"), joins_other.join().expect("no panic")];
        ask(&rooms);
        let lobby = Name::default();
        assert_eq!(ask(&rooms), ((3, 3), [(lobby.clone(), (2, 2)), (other, (1, 1))].into()));
        drop(stay);
        ask(&rooms);
        assert_eq!(ask(&rooms), ((1, 1), [(lobby, (1, 1))].into()));
        go(&rooms, 0, &[]);
        ask(&rooms);
        assert_eq!(ask(&rooms), ((0, 0), [].into()));
    });
}

/// A client that has gone to another node may come back to this one in the same moment, or
/// leave: whoever watches sees one person all the while.
#[test]
fn who_goes_to_another_node_is_one_person_all_the_while() {
    check(|| {
        let rooms = Rooms::default();
        let mut watcher = join(&rooms);
        let guest = join(&rooms);
        let token = guest.0.seat().token();
        settle();
        told(&mut watcher);
        let (to_go, to_return) = (rooms.clone(), rooms.clone());
        let goes = thread::spawn(move || go(&to_go, 1, &[token]));
        let returns = thread::spawn(move || take_over(&to_return, token));
        goes.join().expect("no panic");
        let returned = returns.join().expect("no panic");
        settle();
        assert_eq!(count(&rooms), 2);
        assert!(guest.0.seat().is_taken(), "its stream ends");
        if let Some(returned) = &returned {
            assert!(returned.0.seat().is_taken(), "so does the one that followed it");
        }
        assert!(told(&mut watcher).is_empty(), "nobody came, and nobody left");
        drop((guest, returned));
        settle();
        assert!(told(&mut watcher).is_empty());
        go(&rooms, 0, &[]);
        close(&rooms, [watcher]);
    });
}
