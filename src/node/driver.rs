//! The driver: carries what the protocol decides to Redis and into the rooms, and tells the
//! protocol what happens there.
//!
//! It has a thread of its own. A join or a leave is posted to the [`Inbox`] and waits for
//! nothing; somebody who waits for a seat of another node is let in after 50 ms, whatever
//! Redis does.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rand::random_range;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::arrival::Arrival;
use super::certainty::Certainty;
use super::inbox::{Inbox, Mail};
use super::link::{Heard, Link, LinkError};
use super::redis::Redis;
use super::tally::NodeTally;
use crate::cluster::BEAT;
use crate::cluster::member::{Input, Member, Output};
use crate::cluster::place::{NodeId, SeatNumber};
use crate::cluster::write::Answer;
use crate::exchange::Step;
use crate::rooms::Rooms;
use crate::ticket::Ticket;

/// The pause before another link is opened, in milliseconds: after a link was lost, and
/// after one could not be opened. It is random, so that the nodes don't all come back at once.
const PAUSE_MS: Range<u64> = 10..100;
const LONG_PAUSE_MS: Range<u64> = 50..250;

pub(super) struct Driver {
    member: Member,
    rooms: Rooms,
    redis: Arc<Redis>,
    inbox: Arc<Inbox>,
    tally: Arc<NodeTally>,
    start: Instant,
    /// For how long a node that finds no other one doesn't know who is coming back.
    settle: Duration,
    wire: Wire,
    /// Which of the servers was asked last.
    server: usize,
    /// People who wait for their seats, and those who have a seat that is not confirmed yet.
    arrivals: HashMap<SeatNumber, Arrival>,
    unconfirmed: HashMap<SeatNumber, oneshot::Sender<Ticket>>,
    certainty: Certainty,
    /// When the write that is on its way was sent, and its number.
    sent: (Instant, u64),
    /// When the tally was last told how large the other nodes are.
    told: Instant,
}

/// The connection to Redis.
enum Wire {
    /// It is being opened, after a pause.
    Down(Pin<Box<dyn Future<Output = Result<Link, LinkError>> + Send>>),
    Up(Link),
}

/// What happens on it.
enum Signal {
    Opened(Result<Link, LinkError>),
    Heard(Heard),
}

impl Wire {
    async fn next(&mut self) -> Signal {
        match self {
            Self::Down(opening) => Signal::Opened(opening.await),
            Self::Up(link) => Signal::Heard(link.hear().await),
        }
    }
}

impl Driver {
    pub(super) fn new(
        redis: Arc<Redis>,
        inbox: Arc<Inbox>,
        tally: Arc<NodeTally>,
        settle: Duration,
        rooms: Rooms,
    ) -> Self {
        let wire = open(&redis, 0, &inbox, Duration::ZERO);
        Self {
            member: Member::new(inbox.id, Duration::ZERO),
            certainty: Certainty::new(rooms.clone()),
            rooms,
            redis,
            inbox,
            tally,
            start: Instant::now(),
            settle,
            wire,
            server: 0,
            arrivals: HashMap::new(),
            unconfirmed: HashMap::new(),
            sent: (Instant::now(), 0),
            told: Instant::now(),
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.take(Input::Time);
        let inbox = self.inbox.clone();
        loop {
            let due = self.due();
            tokio::select! {
                () = stop.cancelled() => break,
                () = inbox.news() => {}
                signal = self.wire.next() => match signal {
                    Signal::Heard(heard) => self.hear(heard),
                    Signal::Opened(opened) => self.opened(opened),
                },
                () = sleep_until(due) => self.take(Input::Time),
            }
            for mail in inbox.take() {
                self.read(mail);
            }
        }
    }

    /// When it must look at the time.
    fn due(&self) -> Instant {
        let due = self.start + self.member.due();
        self.certainty.due().map_or(due, |end| due.min(end))
    }

    fn read(&mut self, mail: Mail) {
        match mail {
            Mail::Join { seat, rooms, before } => {
                before.map(|before| self.unconfirmed.remove(&before));
                self.take(Input::Join { seat, rooms, before });
            }
            Mail::Arrive(arrival) => {
                let (seat, from) = (arrival.entry.number(), arrival.from);
                let (rooms, had) = (arrival.rooms.clone(), arrival.had.clone());
                self.arrivals.insert(seat, arrival);
                self.take(Input::Return { seat, rooms, from, had });
            }
            Mail::Leave { seat } => {
                self.unconfirmed.remove(&seat);
                self.take(Input::Leave { seat });
            }
        }
    }

    fn opened(&mut self, opened: Result<Link, LinkError>) {
        match opened {
            Ok(link) => {
                self.wire = Wire::Up(link);
                self.tally.linked.set(1);
                debug!("connected to Redis");
                self.take(Input::Opened);
            }
            Err(error) => {
                self.certainty.complain("cannot reach Redis", &error);
                self.server += 1;
                self.reopen(LONG_PAUSE_MS);
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Input(input) => self.take(input),
            Heard::Failed(input, error) => {
                self.tally.failures.count();
                self.certainty.complain("Redis did not carry out a command", &error);
                self.take(input);
            }
            Heard::Lost(error) => {
                self.certainty.complain("lost the connection to Redis", &error);
                self.reopen(PAUSE_MS);
                self.take(Input::Lost);
            }
        }
    }

    fn reopen(&mut self, pause_ms: Range<u64>) {
        if matches!(self.wire, Wire::Up(_)) {
            self.tally.linked.set(0);
            self.tally.links_lost.count();
        }
        let pause = Duration::from_millis(random_range(pause_ms));
        self.wire = open(&self.redis, self.server, &self.inbox, pause);
    }

    /// Tells the protocol what has happened, and does what it says.
    fn take(&mut self, input: Input) {
        self.note(&input);
        self.member.handle(self.start.elapsed(), input);
        let (mut step, mut coming, mut confirmed) = (Step::default(), Vec::new(), HashSet::new());
        while let Some(output) = self.member.next() {
            match output {
                Output::Write(write) => {
                    self.tally.writes.count();
                    self.sent = (Instant::now(), write.seq);
                    self.ask(|link, node| link.write(node, &write));
                }
                Output::List { catch_up } => {
                    self.tally.resyncs.count();
                    self.ask(|link, _| link.list(catch_up));
                }
                Output::Read { catch_up, node } => self.ask(|link, _| link.read(catch_up, node)),
                Output::Reopen => self.reopen(PAUSE_MS),
                Output::Seat(seat) => coming.extend(self.arrivals.remove(&seat)),
                Output::Token(seat) => drop(confirmed.insert(seat)),
                Output::GiveUp(seat) => self.give_up(seat, &mut step),
                Output::Elsewhere(room, count) => {
                    step.elsewhere.insert(room, count.try_into().unwrap_or(usize::MAX));
                }
                Output::Partial(true) => self.certainty.doubt(),
                // The doubt ends below, after the rooms have changed.
                Output::Partial(false) => {}
            }
        }
        self.carry_out(step, coming, confirmed);
        if !self.member.is_partial() && self.is_settled() {
            self.certainty.is_whole(self.member.others() + 1);
        }
        self.certainty.log_doubt();
        self.tally.backlog.set(self.member.backlog());
        self.tally.nodes.set(self.member.others());
        if self.told.elapsed() >= BEAT {
            self.told = Instant::now();
            self.tally.tell_others(self.member.sizes());
        }
    }

    /// Changes the rooms, and lets in the people who have a seat now.
    fn carry_out(
        &mut self,
        mut step: Step,
        coming: Vec<Arrival>,
        mut confirmed: HashSet<SeatNumber>,
    ) {
        step.coming = coming.iter().map(|it| (it.seat.clone(), it.rooms.clone())).collect();
        let heard = self.rooms.carry_out(&step);
        for (arrival, heard) in coming.into_iter().zip(heard) {
            self.tally.claimed.count();
            let number = arrival.entry.number();
            let later = (!confirmed.remove(&number)).then(|| {
                let (sender, later) = oneshot::channel();
                self.unconfirmed.insert(number, sender);
                later
            });
            arrival.sit(&self.rooms, heard, later);
        }
        for seat in confirmed {
            if let (Some(sender), Some(sitting)) =
                (self.unconfirmed.remove(&seat), self.inbox.sitting(seat))
            {
                let ticket = self.inbox.ticket(sitting.token, &sitting.rooms);
                let _has_left = sender.send(ticket);
            }
        }
    }

    /// Whether it is known who was here before this process started.
    fn is_settled(&mut self) -> bool {
        if self.member.others() > 0 || self.start.elapsed() >= self.settle {
            self.settle = Duration::ZERO;
        }
        self.settle.is_zero()
    }

    fn note(&mut self, input: &Input) {
        match input {
            Input::Frame(frame) => {
                self.tally.frames.count();
                if frame.from == self.inbox.id && frame.seq == self.sent.1 {
                    let lag = self.sent.0.elapsed().as_micros();
                    self.tally.lag_micros.set(lag.try_into().unwrap_or(usize::MAX));
                }
            }
            Input::Written { answer: Some(Answer::Lost(_)), .. } => {
                self.tally.leases_lost.count();
                let inbox = self.inbox.clone();
                self.ask(|link, _| link.share_secret(inbox));
            }
            Input::Written { answer: Some(_), .. } => self.certainty.is_served(),
            _ => {}
        }
    }

    fn ask(&mut self, ask: impl FnOnce(&mut Link, NodeId)) {
        if let Wire::Up(link) = &mut self.wire {
            ask(link, self.inbox.id);
        }
    }

    fn give_up(&mut self, seat: SeatNumber, step: &mut Step) {
        self.tally.given_up.count();
        // Somebody who still waits is not counted here.
        drop(self.arrivals.remove(&seat));
        self.unconfirmed.remove(&seat);
        step.going.extend(self.inbox.sitting(seat).map(|it| (it.token, it.rooms)));
    }
}

impl Drop for Driver {
    /// People who wait for a seat stop waiting.
    fn drop(&mut self) {
        if thread::panicking() {
            error!("the connection to the other nodes has failed: this node counts alone");
        }
        self.inbox.close();
    }
}

/// Opens a link to one of the servers, after a pause.
fn open(redis: &Arc<Redis>, nth: usize, inbox: &Arc<Inbox>, pause: Duration) -> Wire {
    let (redis, inbox) = (redis.clone(), inbox.clone());
    Wire::Down(Box::pin(async move {
        sleep(pause).await;
        Link::open(&redis, nth, &inbox).await
    }))
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::ending::Ending;
    use crate::name::Name;
    use crate::seat::Seat;

    /// A page that is reloaded comes without a token, and gets the seat that waits there.
    #[tokio::test]
    async fn nobody_waits_for_the_token_of_a_seat_that_another_one_has_followed() {
        let (rooms, name) = (Rooms::default(), Name::default());
        let names: Arc<[_]> = [name.clone()].into();
        let redis = Redis::new(&["redis://127.0.0.1:1".into()], "x").expect("an address");
        let inbox = Inbox::new(NodeId(7));
        rooms.write_down(inbox.clone());
        let tally = Arc::default();
        let mut driver =
            Driver::new(Arc::new(redis), inbox.clone(), tally, Duration::ZERO, rooms.clone());

        let (own, brought) = (inbox.new_seat(&names), inbox.new_seat(&names));
        let (seated, mut sits) = oneshot::channel();
        inbox.arrive(own, names.clone(), |entry| Arrival {
            seat: Seat::new(own, None),
            entry,
            rooms: names.clone(),
            from: super::super::secret::place(brought),
            had: names.clone(),
            brought: brought.into(),
            ending: Ending::default(),
            keepers: rooms.keep(&names).into_iter().flatten().map(|(keeper, _)| keeper).collect(),
            seated,
        });
        let read = |driver: &mut Driver| inbox.take().into_iter().for_each(|it| driver.read(it));
        read(&mut driver);
        let arrived = sits.try_recv().expect("Redis is not there, so nobody waits for it");
        assert!(arrived.later.is_some_and(|later| !later.is_terminated()));
        assert_eq!(driver.unconfirmed.len(), 1);
        let seat = arrived.presence.seat();
        let succeeded = rooms.succeed(slice::from_ref(&name), seat, None, &Ending::default());
        let (_follows, _heard) = succeeded.expect("a place").expect("a seat");
        read(&mut driver);
        assert_eq!((driver.unconfirmed.len(), rooms.count(&name)), (0, 1));
    }
}
