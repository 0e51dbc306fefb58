//! A member: one node's part in the cluster. It decides; its driver does.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::catch_up::CatchUp;
use super::claim::{Claim, Claims, Standing};
use super::elsewhere::{Elsewhere, Gap};
use super::frame::Frame;
use super::lease::Lease;
use super::outbox::Outbox;
use super::place::{NodeId, Place, SeatNumber};
use super::share::{Share, Snapshot};
use super::write::{Answer, Write};
use super::{ASLEEP, BEAT, DEAF};
use crate::name::Name;

/// What happens to a node.
///
/// A driver passes it on with the time of its own monotonic clock, which never goes back. It
/// delivers what comes through one link in the order in which Redis sent it, frames and
/// answers alike, and nothing that came through a link that is closed.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Nothing but time has passed. The driver says so at the latest when it is
    /// [due](Member::due).
    Time,
    /// Somebody has sat down in these rooms, perhaps in place of the seat that they had here
    /// `before`.
    Join { seat: SeatNumber, rooms: Arc<[Name]>, before: Option<SeatNumber> },
    /// Somebody with a verified token, which names the place `from`, wants to sit down. They
    /// are let in with [`Output::Seat`], and told the numbers that come with it. `had` are the
    /// rooms that the token vouches for: the same rooms, or none if it was given for others.
    /// In that case their former node, if it lives, finds out itself where they are missing.
    Return { seat: SeatNumber, rooms: Arc<[Name]>, from: Place, had: Arc<[Name]> },
    /// Somebody has left their seat, or no longer waits for it.
    Leave { seat: SeatNumber },
    /// There is a link to Redis, and the subscription is confirmed.
    Opened,
    /// The link is lost.
    Lost,
    /// A frame was heard, perhaps one of this node's own.
    Frame(Arc<Frame>),
    /// A write was answered; `None` if it failed or took too long.
    Written { seq: u64, answer: Option<Answer> },
    /// The nodes were listed; `None` if that failed.
    Listed { catch_up: u64, nodes: Option<Vec<NodeId>> },
    /// A node's hash was read. The inner `None` says that there is no hash, the outer one that
    /// reading failed.
    Read { catch_up: u64, node: NodeId, snapshot: Option<Option<Snapshot>> },
}

/// What the driver must do.
///
/// All outputs of one input belong together: the driver changes the room of a seat and how
/// many people are elsewhere in one step, or watchers would see somebody twice, or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Run the script with this write, and say once with [`Input::Written`] how it went.
    Write(Write),
    /// List the nodes, and answer with [`Input::Listed`].
    List { catch_up: u64 },
    /// Read the hash of a node, and answer with [`Input::Read`].
    Read { catch_up: u64, node: NodeId },
    /// Close the link and open another one, with a little jitter, and then say
    /// [`Input::Opened`].
    Reopen,
    /// Let somebody who has come back sit down.
    Seat(SeatNumber),
    /// Tell somebody who has come back the token of their seat here. Until then their
    /// client keeps the token that it came with, because only this node knows of the new
    /// one: if the claim fails, another node finds them by the old one. The new token is
    /// told as well when the claim is given up.
    Token(SeatNumber),
    /// End a seat silently: its person is on another node now.
    GiveUp(SeatNumber),
    /// This many people of this room are elsewhere.
    Elsewhere(Name, u32),
    /// Whether some people may be missing from the numbers.
    Partial(bool),
}

/// One node's part in the cluster.
#[derive(Debug)]
pub(crate) struct Member {
    id: NodeId,
    now: Duration,
    outbox: Outbox,
    claims: Claims,
    elsewhere: Elsewhere,
    link: Option<Link>,
    catch_ups: u64,
    /// The number of this node's last write whose frame was heard, or came with the answer.
    heard: u64,
    is_partial: bool,
    outputs: VecDeque<Output>,
}

/// An open link.
#[derive(Debug)]
struct Link {
    /// When this node last heard itself, or began to listen.
    heard: Duration,
    catch_up: Option<CatchUp>,
}

impl Member {
    /// A node with this `id`, which no node ever had before.
    pub(crate) fn new(id: NodeId, now: Duration) -> Self {
        Self {
            id,
            now,
            outbox: Outbox::new(),
            claims: Claims::default(),
            elsewhere: Elsewhere::default(),
            link: None,
            catch_ups: 0,
            heard: 0,
            is_partial: true,
            outputs: VecDeque::from([Output::Partial(true)]),
        }
    }

    /// How many people of this room are elsewhere.
    #[allow(dead_code, reason = "the simulation compares it with the truth")]
    pub(crate) fn elsewhere(&self, room: &Name) -> u32 {
        self.elsewhere.count(room)
    }

    /// Whether some people may be missing from the numbers.
    pub(crate) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// How many other nodes there are.
    pub(crate) fn others(&self) -> usize {
        self.elsewhere.nodes().count()
    }

    /// How many people each of them has, counted once for every room that they are in, and how
    /// many rooms.
    #[allow(dead_code, reason = "the simulation compares room by room")]
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (NodeId, (u64, usize))> {
        let size = |node| Some((node, self.elsewhere.share(node)?.size()));
        self.elsewhere.nodes().filter_map(size)
    }

    /// How many items wait to be written, claimed or caught up with.
    pub(crate) fn backlog(&self) -> usize {
        let frames = |link: &Link| link.catch_up.as_ref().map_or(0, |it| it.frames.len());
        self.outbox.len() + self.claims.len() + self.link.as_ref().map_or(0, frames)
    }

    /// The next thing that the driver must do.
    pub(crate) fn next(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Handles what has happened by `now`.
    pub(crate) fn handle(&mut self, now: Duration, input: Input) {
        let was_asleep = now >= self.now + ASLEEP;
        self.now = self.now.max(now);
        if was_asleep && (self.link.is_some() || matches!(input, Input::Opened)) {
            // What waits in the sockets is old: the nodes that sent it may be long dead.
            self.reopen();
            if !matches!(input, Input::Opened) {
                self.take(input);
            }
        } else {
            self.take(input);
        }
        self.look();
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Time => (),
            Input::Join { seat, rooms, before } => {
                let from = before.and_then(|before| self.follow(seat, before));
                self.outbox.join(seat, rooms, from);
            }
            Input::Return { seat, rooms, from, had } => self.come_back(seat, rooms, from, had),
            Input::Leave { seat } => self.leave(seat),
            Input::Opened => self.open(),
            Input::Lost => self.close(),
            Input::Frame(frame) => self.hear(&frame),
            Input::Written { seq, answer } => self.is_answered(seq, answer),
            Input::Listed { catch_up, nodes } => self.list(catch_up, nodes),
            Input::Read { catch_up, node, snapshot } => self.read(catch_up, node, snapshot),
        }
    }

    fn come_back(&mut self, seat: SeatNumber, rooms: Arc<[Name]>, from: Place, had: Arc<[Name]>) {
        let claim = Claim { from, to: seat, rooms: had, unless: None };
        if let Some(old) = self.outbox.brought(from) {
            // They came with this token before, and were not told their new one.
            self.outbox.leave(old, self.now);
            self.outputs.push_back(Output::GiveUp(old));
            let standing = self.claims.replace(old, claim, self.now);
            if standing != Standing::Waiting {
                self.outputs.push_back(Output::Seat(seat));
            }
            if standing == Standing::Moved {
                self.outputs.push_back(Output::Token(seat));
            }
        } else {
            self.claims.add(claim, Standing::Waiting, self.now);
        }
        self.outbox.join(seat, rooms, Some(from));
    }

    /// Lets a seat take over the claim of the seat `before`. Returns the place that is claimed,
    /// if the claim is still pending.
    fn follow(&mut self, seat: SeatNumber, before: SeatNumber) -> Option<Place> {
        self.outbox.leave(before, self.now);
        let claim = Claim { to: seat, ..self.claims.of(before)?.clone() };
        let from = claim.from;
        self.claims.replace(before, claim, self.now);
        Some(from)
    }

    fn leave(&mut self, seat: SeatNumber) {
        self.outbox.leave(seat, self.now);
        self.drop_claim(seat);
    }

    fn drop_claim(&mut self, seat: SeatNumber) {
        if let Some((claim, Standing::Seated)) = self.claims.drop(seat) {
            self.elsewhere.has_left(&claim.rooms);
        }
    }

    fn open(&mut self) {
        self.link = Some(Link { heard: self.now, catch_up: None });
        self.outbox.speak();
        self.catch_up(self.now);
    }

    fn close(&mut self) {
        self.link = None;
        self.outbox.is_not_written(Duration::ZERO);
    }

    fn reopen(&mut self) {
        self.close();
        self.outputs.push_back(Output::Reopen);
    }

    /// Begins to catch up, at this time.
    fn catch_up(&mut self, start: Duration) {
        self.catch_ups += 1;
        let catch_up = CatchUp::new(self.catch_ups, start, self.outbox.seq());
        self.outbox.speak();
        if let Some(link) = &mut self.link {
            link.catch_up = Some(catch_up);
        }
    }

    fn current(&mut self, nth: u64) -> Option<&mut CatchUp> {
        self.link.as_mut()?.catch_up.as_mut().filter(|catch_up| catch_up.nth == nth)
    }

    fn list(&mut self, nth: u64, nodes: Option<Vec<NodeId>>) {
        let (own, known) = (self.id, self.elsewhere.nodes().collect::<Vec<_>>());
        let retry = Outbox::pause(self.now);
        let Some(catch_up) = self.current(nth) else { return };
        let Some(nodes) = nodes else { return self.catch_up(retry) };
        let nodes = nodes.into_iter().chain(known).filter(|node| *node != own);
        let reads = catch_up.list(nodes);
        let reads = reads.into_iter().map(|node| Output::Read { catch_up: nth, node });
        self.outputs.extend(reads);
    }

    fn read(&mut self, nth: u64, node: NodeId, snapshot: Option<Option<Snapshot>>) {
        let now = self.now;
        let Some(catch_up) = self.current(nth) else { return };
        match snapshot {
            Some(snapshot) => catch_up.read(node, snapshot, now),
            None => self.catch_up(Outbox::pause(now)),
        }
    }

    fn hear(&mut self, frame: &Arc<Frame>) {
        let now = self.now;
        let Some(link) = &mut self.link else { return };
        if frame.from == self.id {
            link.heard = now;
            if let Some(catch_up) = &mut link.catch_up {
                catch_up.is_heard(frame.seq);
            }
            if !self.is_news(frame) {
                return;
            }
        }
        self.hear_of_own(frame);
        self.apply(frame);
        if frame.from == self.id {
            self.confirm(frame);
        }
    }

    /// Gives up the seats that were claimed from this node: by another node, or by this one, if
    /// people have come again with the token that brought them here before.
    fn hear_of_own(&mut self, frame: &Frame) {
        let own = self.id;
        for moved in frame.moves.iter().filter(|moved| moved.from.node == own) {
            self.give_up(moved.from.seat);
            // They came back here with the token that they had taken to the other node, and
            // Redis has not heard of that yet.
            let successor = self.claims.successor(moved.from.seat);
            if let Some(seat) = successor.filter(|_| frame.from != own) {
                self.leave(seat);
                self.outputs.push_back(Output::GiveUp(seat));
            }
        }
        for part in frame.shares.iter().filter(|part| part.node == own) {
            self.outbox.compare(&part.rooms);
        }
    }

    /// Whether this node's own frame is news: it is heard, and comes with the answer as well.
    fn is_news(&mut self, own: &Frame) -> bool {
        let heard = self.heard.max(own.seq);
        mem::replace(&mut self.heard, heard) < own.seq
    }

    fn give_up(&mut self, seat: SeatNumber) {
        self.drop_claim(seat);
        if self.outbox.give_up(seat) {
            self.outputs.push_back(Output::GiveUp(seat));
        }
    }

    fn apply(&mut self, frame: &Arc<Frame>) {
        let now = self.now;
        let Some(link) = &mut self.link else { return };
        if let Some(catch_up) = &mut link.catch_up {
            catch_up.hear(frame, now);
            self.elsewhere.renew(frame.from, now);
            // Read a node that was not on the list, or has joined since.
            let is_whole = frame.shares.iter().any(|part| part.node == frame.from && part.is_whole);
            if frame.from != self.id
                && !is_whole
                && catch_up.start.is_none()
                && catch_up.need(frame.from)
            {
                let (catch_up, node) = (catch_up.nth, frame.from);
                self.outputs.push_back(Output::Read { catch_up, node });
            }
        } else {
            for moved in frame.moves.iter().filter(|moved| moved.is_lost) {
                self.elsewhere.miss(moved.from.node, now);
            }
            if let Err(Gap) = self.elsewhere.apply(self.id, frame, now) {
                self.catch_up(now);
            }
        }
    }

    /// Handles the claims that this node's write, and those before it, have carried out.
    fn confirm(&mut self, frame: &Frame) {
        let catches_up = self.link.as_ref().is_some_and(|link| link.catch_up.is_some());
        for (claim, standing) in self.claims.confirm(frame, self.now) {
            if standing != Standing::Moved {
                self.outputs.push_back(Output::Token(claim.to));
            }
            match standing {
                Standing::Waiting => self.outputs.push_back(Output::Seat(claim.to)),
                Standing::Seated => self.elsewhere.has_left(&claim.rooms),
                Standing::Moved => continue,
            }
            // The frame that takes them away from the other node waits until everything is read.
            if catches_up {
                self.elsewhere.moves(&claim.rooms);
            }
        }
    }

    fn is_answered(&mut self, seq: u64, answer: Option<Answer>) {
        // This may be the late answer to a write that was given up and repeated.
        if !self.outbox.awaits(seq) {
            return;
        }
        match answer {
            Some(Answer::Done(frame, unseen)) => {
                self.outbox.is_written();
                if let Some(catch_up) = self.link.as_mut().and_then(|link| link.catch_up.as_mut()) {
                    catch_up.is_answered(seq);
                }
                for seat in unseen {
                    self.give_up(seat);
                }
                self.hear_of_own(&frame);
                if self.is_news(&frame) {
                    self.apply(&frame);
                    self.confirm(&frame);
                }
            }
            Some(Answer::Lost(unseen)) => {
                self.outbox.is_lost();
                for seat in unseen {
                    self.give_up(seat);
                }
                self.claims.repeat(self.now);
            }
            Some(Answer::Late) | None => self.outbox.is_not_written(Outbox::pause(self.now)),
        }
    }

    /// Works out what the passing of time has changed, and what must be done.
    fn look(&mut self) {
        let now = self.now;
        self.elsewhere.expire(now);
        if self.link.as_ref().is_some_and(|link| link.heard + DEAF <= now) {
            self.reopen();
        }
        for claim in self.claims.seat(self.link.is_none(), now) {
            self.outputs.push_back(Output::Seat(claim.to));
            self.elsewhere.leaves(&claim.rooms);
        }
        for claim in self.claims.forget(now) {
            self.elsewhere.has_left(&claim.rooms);
            // Nobody finds them any more by the token that they came with.
            self.outputs.push_back(Output::Token(claim.to));
        }
        self.look_at_catch_up();
        if self.link.is_some() && self.outbox.due(&self.claims).is_some_and(|due| due <= now) {
            self.outputs.push_back(Output::Write(self.outbox.send(&mut self.claims, now)));
        }
        for room in self.elsewhere.take_changed() {
            let count = self.elsewhere.count(&room);
            self.outputs.push_back(Output::Elsewhere(room, count));
        }
        let is_partial = self.is_in_doubt();
        if mem::replace(&mut self.is_partial, is_partial) != is_partial {
            self.outputs.push_back(Output::Partial(is_partial));
        }
    }

    fn look_at_catch_up(&mut self) {
        let now = self.now;
        let Some(catch_up) = self.link.as_mut().and_then(|link| link.catch_up.as_mut()) else {
            return;
        };
        if catch_up.start.is_some_and(|start| start <= now) {
            catch_up.start = None;
            // What will be read includes what was heard so far.
            catch_up.frames.clear();
            self.outputs.push_back(Output::List { catch_up: catch_up.nth });
        } else if catch_up.is_too_long() {
            self.catch_up(Outbox::pause(now));
        } else if catch_up.is_complete(now, |node| self.elsewhere.share(node).is_some()) {
            self.finish();
        }
    }

    /// Replaces what was known before by what was read, in one step.
    fn finish(&mut self) {
        let now = self.now;
        let Some(link) = &mut self.link else { return };
        let Some(catch_up) = link.catch_up.take() else { return };
        for node in catch_up.missing() {
            self.elsewhere.remove(node);
        }
        for (node, (snapshot, read)) in catch_up.read {
            let mut lease = Lease::read(read, snapshot.remaining);
            if let Some(heard) = catch_up.heard.get(&node) {
                lease.renew(*heard);
            }
            self.elsewhere.insert(node, Share::new(&snapshot.rooms, snapshot.version, lease));
        }
        let is_one_missed = catch_up.frames.iter().any(|frame| {
            let heard = catch_up.heard.get(&frame.from).copied().unwrap_or(now);
            self.elsewhere.apply(self.id, frame, heard).is_err()
        });
        self.elsewhere.expire(now);
        if is_one_missed {
            self.catch_up(Outbox::pause(now));
        } else {
            self.elsewhere.is_read();
        }
    }

    fn is_in_doubt(&self) -> bool {
        let is_settled = |link: &Link| link.catch_up.is_none();
        !self.link.as_ref().is_some_and(is_settled)
            || self.claims.is_one_seated()
            || self.elsewhere.shares().any(|share| share.lease.doubt() <= self.now)
    }

    /// When the driver must say [`Input::Time`] at the latest.
    pub(crate) fn due(&self) -> Duration {
        let mut due = self.now + BEAT;
        let mut by = |at: Duration| {
            if at > self.now {
                due = due.min(at);
            }
        };
        if let Some(link) = &self.link {
            by(link.heard + DEAF);
            self.outbox.due(&self.claims).map(&mut by);
            if let Some(catch_up) = &link.catch_up {
                by(catch_up.start.unwrap_or(catch_up.deadline()));
            }
        }
        self.claims.next_seat().map(&mut by);
        for share in self.elsewhere.shares() {
            by(share.lease.end());
            by(share.lease.doubt());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Move, Part, Version};
    use super::super::{MEMORY, MOST_LEFT, MOST_LEFT_AT_ONCE, SPARE_ROOMS};
    use super::*;

    const OWN: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn lobby() -> Arc<[Name]> {
        [Name::default()].into()
    }

    /// A node that has heard everything, with nobody else around.
    fn member() -> Member {
        let mut member = Member::new(OWN, Duration::ZERO);
        member.handle(Duration::ZERO, Input::Opened);
        let outputs = answered(&mut member, Duration::ZERO);
        assert!(matches!(outputs.last(), Some(Output::Partial(false))), "{outputs:?}");
        member
    }

    /// Does what the member asks for, like a Redis that moves the people it claims and that
    /// no other node writes to.
    fn answered(member: &mut Member, now: Duration) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = member.next() {
            match &output {
                Output::Write(write) => {
                    let answer = Answer::Done(frame_of(OWN, write), vec![]);
                    let written = Input::Written { seq: write.seq, answer: Some(answer) };
                    member.handle(now, Input::Frame(frame_of(OWN, write)));
                    member.handle(now, written);
                }
                Output::List { catch_up } => {
                    let nodes = Some(vec![OWN]);
                    member.handle(now, Input::Listed { catch_up: *catch_up, nodes });
                }
                _ => (),
            }
            outputs.push(output);
        }
        outputs
    }

    fn frame_of(node: NodeId, write: &Write) -> Arc<Frame> {
        let part = Part {
            node,
            version: Version { generation: 1, number: write.seq },
            is_whole: write.whole.is_some(),
            rooms: write.rooms.clone(),
        };
        let moves = write.claims.iter().map(|claim| Move {
            from: claim.from,
            to: claim.to,
            rooms: claim.rooms.clone(),
            is_lost: false,
        });
        Arc::new(Frame { from: node, seq: write.seq, shares: vec![part], moves: moves.collect() })
    }

    /// Their first token is all that they have: the event with the second one was lost.
    #[test]
    fn somebody_who_goes_elsewhere_with_an_old_token_leaves_every_seat_they_had_here() {
        let mut member = member();
        let from = Place { node: NodeId(3), seat: 9 };
        let mut now = Duration::from_secs(1);
        member.handle(now, Input::Return { seat: 1, rooms: lobby(), from, had: lobby() });
        answered(&mut member, now);
        now += Duration::from_millis(1);
        // They come once more. Redis is not told at once, and still knows of seat 1.
        member.handle(now, Input::Return { seat: 2, rooms: lobby(), from, had: lobby() });
        let mut outputs = Vec::from_iter(std::iter::from_fn(|| member.next()));
        assert!(matches!(outputs[..], [Output::GiveUp(1), Output::Seat(2), ..]), "{outputs:?}");
        let write = Write {
            seq: 1,
            base: 0,
            whole: Some(1),
            rooms: vec![(Name::default(), 1)],
            left: vec![],
            seen: vec![],
            claims: vec![Claim {
                from: Place { node: OWN, seat: 1 },
                to: 5,
                rooms: lobby(),
                unless: None,
            }],
        };
        member.handle(now, Input::Frame(frame_of(OTHER, &write)));
        outputs = Vec::from_iter(std::iter::from_fn(|| member.next()));
        assert!(outputs.iter().any(|it| matches!(it, Output::GiveUp(2))), "{outputs:?}");
        assert_eq!(member.elsewhere(&Name::default()), 1);
        // And nothing about them is left to write.
        now += Duration::from_millis(500);
        let seq = member.outbox.seq();
        member.handle(now, Input::Written { seq, answer: None });
        now += Duration::from_millis(500);
        member.handle(now, Input::Time);
        let written = std::iter::from_fn(|| member.next()).find_map(|output| match output {
            Output::Write(write) => Some(write),
            _ => None,
        });
        let written = written.expect("a write");
        assert_eq!((written.rooms, written.left), (vec![(Name::default(), 0)], vec![1, 2]));
        assert!(written.claims.is_empty());
    }

    #[test]
    fn somebody_who_came_from_a_place_that_is_not_known_yet_is_counted_once() {
        let mut member = member();
        let now = Duration::from_secs(1);
        let frame = |seq, whole, count, claims| {
            let (rooms, base) = (vec![(Name::default(), count)], 0);
            frame_of(OTHER, &Write { seq, base, whole, rooms, left: vec![], seen: vec![], claims })
        };
        member.handle(now, Input::Frame(frame(1, Some(1), 1, vec![])));
        assert_eq!(member.elsewhere(&Name::default()), 1);
        // The link is lost, and with it the news that they went to node 3. Now they come from
        // there, and are let in though Redis can't say who they are.
        member.handle(now, Input::Lost);
        let from = Place { node: NodeId(3), seat: 9 };
        member.handle(now, Input::Return { seat: 1, rooms: lobby(), from, had: lobby() });
        let outputs = Vec::from_iter(std::iter::from_fn(|| member.next()));
        assert!(outputs.iter().any(|it| matches!(it, Output::Seat(1))), "{outputs:?}");
        assert_eq!(member.elsewhere(&Name::default()), 0);
        assert!(member.is_partial());
    }

    #[test]
    fn somebody_whose_claim_is_given_up_is_told_the_token_that_they_are_found_by() {
        let mut member = member();
        member.handle(Duration::from_secs(1), Input::Lost);
        let from = Place { node: NodeId(3), seat: 9 };
        let now = Duration::from_secs(2);
        member.handle(now, Input::Return { seat: 1, rooms: lobby(), from, had: lobby() });
        let mut told = None;
        for second in 0..=MEMORY.as_secs() {
            let now = now + Duration::from_secs(second);
            member.handle(now, Input::Time);
            let outputs = std::iter::from_fn(|| member.next());
            let tokens = outputs.filter(|output| matches!(output, Output::Token(1)));
            told = told.or((tokens.count() > 0).then_some(second));
        }
        assert_eq!(told, Some(MEMORY.as_secs()));
    }

    /// A page that is reloaded comes without a token, and gets the seat that waits here.
    #[test]
    fn a_seat_that_follows_one_whose_claim_is_not_confirmed_claims_in_its_place() {
        let mut member = member();
        let frame = |seq, count| {
            let (whole, rooms) = (Some(1), vec![(Name::default(), count)]);
            let (left, seen, claims) = (vec![], vec![], vec![]);
            frame_of(OTHER, &Write { seq, base: 0, whole, rooms, left, seen, claims })
        };
        let mut now = Duration::from_secs(1);
        member.handle(now, Input::Frame(frame(1, 1)));
        member.handle(now, Input::Lost);
        let from = Place { node: OTHER, seat: 9 };
        member.handle(now, Input::Return { seat: 1, rooms: lobby(), from, had: lobby() });
        member.handle(now, Input::Join { seat: 2, rooms: lobby(), before: Some(1) });
        while member.next().is_some() {}
        assert_eq!(member.elsewhere(&Name::default()), 0, "they are here, and once");
        now += Duration::from_secs(1);
        member.handle(now, Input::Opened);
        let written = std::iter::from_fn(|| member.next()).find_map(|output| match output {
            Output::Write(write) => Some(write),
            _ => None,
        });
        let claims = written.expect("a write").claims;
        assert_eq!(claims, [Claim { from, to: 2, rooms: lobby(), unless: None }]);
    }

    #[test]
    fn a_claim_that_redis_has_lost_is_made_again_but_not_of_the_hash_that_it_has_changed() {
        let write = |member: &mut Member| {
            let mut outputs = std::iter::from_fn(|| member.next());
            let write = outputs.find_map(|output| match output {
                Output::Write(write) => Some(write),
                _ => None,
            });
            write.expect("a write")
        };
        let mut member = member();
        let from = Place { node: OTHER, seat: 9 };
        let mut now = Duration::from_secs(1);
        member.handle(now, Input::Return { seat: 1, rooms: lobby(), from, had: lobby() });
        let first = write(&mut member);
        let mut frame = Frame::clone(&frame_of(OWN, &first));
        let version = Version { generation: 3, number: 7 };
        let rooms = vec![(Name::default(), 0)];
        frame.shares.push(Part { node: OTHER, version, is_whole: false, rooms });
        let frame = Arc::new(frame);
        member.handle(now, Input::Frame(frame.clone()));
        let answer = Some(Answer::Done(frame, vec![]));
        member.handle(now, Input::Written { seq: first.seq, answer });
        for _ in 0..2 {
            now += BEAT / 2;
            member.handle(now, Input::Time);
        }
        let second = write(&mut member);
        assert!(second.claims.is_empty());
        let lost = Some(Answer::Lost(vec![]));
        member.handle(now, Input::Written { seq: second.seq, answer: lost });
        let again = Claim { from, to: 1, rooms: lobby(), unless: Some(version) };
        assert_eq!(write(&mut member).claims, [again]);
    }

    #[test]
    fn somebody_who_comes_again_and_again_while_redis_is_away_costs_no_memory() {
        let mut member = member();
        member.handle(Duration::from_secs(1), Input::Lost);
        let (from, had) = (Place { node: NodeId(3), seat: 9 }, lobby());
        for seat in 0..1_000 {
            let now = Duration::from_millis(1_000 + u64::from(seat));
            let (rooms, had) = (lobby(), had.clone());
            member.handle(now, Input::Return { seat, rooms, from, had });
            while member.next().is_some() {}
        }
        assert_eq!(member.claims.len(), 1);
    }

    #[test]
    fn what_waits_does_not_grow_while_redis_is_away() {
        let mut member = member();
        member.handle(Duration::from_secs(1), Input::Lost);
        let mut most = 0;
        for nth in 0..200_000 {
            let now = Duration::from_millis(1_000 + u64::from(nth) * 10);
            let room = Name::new(&format!("/{nth}")).expect("a good name");
            member.handle(now, Input::Join { seat: nth, rooms: [room].into(), before: None });
            member.handle(now, Input::Leave { seat: nth });
            while member.next().is_some() {}
            most = most.max(member.backlog());
        }
        assert!(most <= MOST_LEFT + SPARE_ROOMS + 1, "{most}");
        // When Redis is back, it is not told everything at once, nor what it would have forgotten.
        let now = Duration::from_millis(1_000 + 200_000 * 10);
        member.handle(now, Input::Opened);
        member.handle(now, Input::Opened);
        let outputs = Vec::from_iter(std::iter::from_fn(|| member.next()));
        let left = outputs.iter().filter_map(|output| match output {
            Output::Write(write) => Some((write.rooms.len(), write.left.len())),
            _ => None,
        });
        assert_eq!(left.collect::<Vec<_>>(), [(0, MOST_LEFT_AT_ONCE)]);
        assert_eq!(member.backlog(), 1 + 20_000 / 10 - 1);
    }
}
