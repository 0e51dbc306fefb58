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
use headcount_model::room::Presence;
use headcount_model::rooms::Rooms;
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

fn join(rooms: &Rooms) -> (Presence, Event) {
    rooms.join(&Name::default(), Ending::default()).expect("a room")
}

fn count(rooms: &Rooms) -> usize {
    rooms.count(&Name::default())
}

/// The next number, if there is one by now.
fn poll(presence: &mut Presence) -> Option<usize> {
    match pin!(presence.changed()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.count()),
        Poll::Pending => None,
    }
}

/// All numbers that are there by now.
fn told(presence: &mut Presence) -> Vec<usize> {
    std::iter::from_fn(|| poll(presence)).collect()
}

/// Everyone leaves, and nothing remains.
fn close(rooms: &Rooms, people: impl IntoIterator<Item = Presence>) {
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
                    let (presence, arrival) = join(&rooms);
                    if visitor % 2 == 0 {
                        return Some((presence, arrival.count()));
                    }
                    drop(presence);
                    None
                })
            })
            .collect();
        let mut stayed: Vec<_> =
            threads.into_iter().filter_map(|t| t.join().expect("no panic")).collect();
        settle();

        assert_eq!(count(&rooms), stayed.len());
        for (presence, arrival) in &mut stayed {
            let last = told(presence).last().copied().unwrap_or(*arrival);
            assert_eq!(last, 2, "the last event is the truth");
        }
        close(&rooms, stayed.into_iter().map(|(presence, _)| presence));
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

        let mut arrivals: Vec<_> = people.iter().map(|(_, arrival)| arrival.count()).collect();
        arrivals.sort_unstable();
        assert_eq!(arrivals, [1, 2, 3], "each arrival is an event of its own");
        let people = people.into_iter().map(|(mut presence, arrival)| {
            let mut seen = vec![arrival.count()];
            seen.extend(told(&mut presence));
            assert!(seen.is_sorted_by(|a, b| a < b), "events in order, none twice: {seen:?}");
            assert_eq!(seen.last(), Some(&3));
            presence
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
        let (first, _) = join(&rooms);
        let leaver = thread::spawn(move || drop(first));
        let joiner = thread::spawn({
            let rooms = rooms.clone();
            move || join(&rooms).0
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
        let (second, arrival) = join(&rooms);
        settle();
        assert_eq!(arrival.count(), 2);
        assert_eq!(told(&mut joined).last(), Some(&2), "they are in one room");
        close(&rooms, [joined, second]);
    });
}

/// A reader that lags behind is told the newest number next, not the oldest.
#[test]
fn a_lagging_reader_goes_to_the_newest_number() {
    check(|| {
        let rooms = Rooms::default();
        let (mut reader, _) = join(&rooms);
        // Sure to lag, whatever is merged: each join is told before the next.
        let stayed: Vec<_> = (0..20)
            .map(|_| {
                let (presence, _) = join(&rooms);
                settle();
                presence
            })
            .collect();
        let crowd = thread::spawn({
            let rooms = rooms.clone();
            move || (join(&rooms).0, join(&rooms).0)
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
        let (mut reader, arrival) = join(&rooms);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || join(&rooms).0)
            })
            .collect();
        let mut seen = vec![arrival.count()];
        for _ in 0..3 {
            if thread_rng().gen_bool(0.5) {
                seen.push(reader.now().count());
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
        let (mut sleeper, _) = join(&rooms);
        let reader = thread::spawn(move || {
            shuttle::future::block_on(async move {
                while sleeper.changed().await.count() != 3 {}
                sleeper
            })
        });
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || join(&rooms).0)
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
        let (mut observer, _) = join(&rooms);
        let (old, _) = join(&rooms);
        settle();
        told(&mut observer);
        let token = old.seat().token();
        let gone = thread::spawn(move || drop(old));
        let returned = thread::spawn({
            let rooms = rooms.clone();
            move || {
                let taken = rooms.take_over(&Name::default(), token, Ending::default());
                let was_there = taken.is_some();
                (taken.unwrap_or_else(|| join(&rooms)), was_there)
            }
        });
        gone.join().expect("no panic");
        let ((mut back, arrival), took_over) = returned.join().expect("no panic");
        settle();

        assert_eq!(count(&rooms), 2);
        let seen = told(&mut observer);
        assert!(seen.iter().all(|&number| number <= 2), "never one more: {seen:?}");
        if took_over {
            assert!(seen.is_empty(), "nothing changed, and nothing was told: {seen:?}");
            assert_eq!(back.seat().token(), token);
        }
        let last = told(&mut back).last().copied().unwrap_or(arrival.count());
        assert_eq!(last, 2);
        close(&rooms, [observer, back]);
    });
}

/// Two come back with one token while a third person joins: one seat, of which
/// the old stream is told, and nobody misses the newcomer.
#[test]
fn two_who_return_for_one_seat_are_one() {
    check(|| {
        let rooms = Rooms::default();
        let (old, _) = join(&rooms);
        let token = old.seat().token();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let rooms = rooms.clone();
                thread::spawn(move || {
                    let taken = rooms.take_over(&Name::default(), token, Ending::default());
                    taken.expect("the seat is counted all the while")
                })
            })
            .collect();
        let newcomer = thread::spawn({
            let rooms = rooms.clone();
            move || join(&rooms).0
        });
        shuttle::future::block_on(old.seat().taken());
        drop(old);
        let returned: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        let newcomer = newcomer.join().expect("no panic");
        settle();

        assert_eq!(count(&rooms), 2);
        let people = returned.into_iter().map(|(mut presence, newest)| {
            let last = told(&mut presence).last().copied().unwrap_or(newest.count());
            assert_eq!(last, 2, "the newcomer was missed");
            presence
        });
        close(&rooms, people.collect::<Vec<_>>().into_iter().chain([newcomer]));
    });
}

/// Somebody leaves a seat that waits. A newcomer may have it, and its owner may
/// come back for it, while it ceases to wait: each is counted, each once, and nobody
/// hears of one less than there are.
#[test]
fn a_seat_that_waits_is_one_persons() {
    check(|| {
        let rooms = Rooms::default();
        let (mut observer, _) = join(&rooms);
        let (waiting, _) = join(&rooms);
        settle();
        told(&mut observer);
        let (seat, token) = (waiting.seat().clone(), waiting.seat().token());
        let ceases = thread::spawn(move || drop(waiting));
        let owner = thread::spawn({
            let rooms = rooms.clone();
            move || {
                let taken = rooms.take_over(&Name::default(), token, Ending::default());
                taken.unwrap_or_else(|| join(&rooms)).0
            }
        });
        let newcomer = thread::spawn({
            let rooms = rooms.clone();
            move || {
                let taken = rooms.succeed(&Name::default(), &seat, Ending::default());
                taken.unwrap_or_else(|| join(&rooms)).0
            }
        });
        ceases.join().expect("no panic");
        let owner = owner.join().expect("no panic");
        let newcomer = newcomer.join().expect("no panic");
        settle();

        assert_eq!(count(&rooms), 3);
        assert_ne!(owner.seat().token(), newcomer.seat().token());
        let seen = told(&mut observer);
        assert_eq!(seen.last(), Some(&3), "{seen:?}");
        close(&rooms, [observer, owner, newcomer]);
    });
}
