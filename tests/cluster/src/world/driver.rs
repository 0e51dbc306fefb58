//! What a driver does: it carries a member's outputs to Redis, and the answers back.

use std::time::Duration;

use super::{Event, TIMEOUT, World};
use crate::cluster::member::{Input, Output};
use crate::cluster::place::{NodeId, Place};
use crate::link::{Command, Link, Message};

impl World {
    pub(super) fn input(&mut self, slot: usize, input: Input) {
        let now = self.now;
        let Some(node) = &mut self.nodes[slot] else { return };
        node.is_called = true;
        node.member.handle(node.clock(now), input);
        let id = node.id;
        let mut has_changed = false;
        while let Some(output) = self.nodes[slot].as_mut().and_then(|node| node.member.next()) {
            match output {
                Output::Write(write) => self.ask(slot, Command::Write(write)),
                Output::List { catch_up } => self.ask(slot, Command::List { catch_up }),
                Output::Read { catch_up, node } => self.ask(slot, Command::Read { catch_up, node }),
                Output::Reopen => {
                    self.hang_up(slot);
                    let delay = self.chance.millis(10..100);
                    self.after(delay, Event::Open(slot, id));
                }
                Output::Seat(seat) => {
                    has_changed = true;
                    self.let_in(slot, Place { node: id, seat });
                }
                Output::Token(seat) => self.tell(Place { node: id, seat }),
                Output::GiveUp(seat) => {
                    has_changed = true;
                    self.seen.moves += 1;
                    self.unseat(slot, Place { node: id, seat }, false);
                }
                Output::Elsewhere(..) | Output::Partial(_) => has_changed = true,
            }
        }
        if has_changed {
            self.check(slot);
        }
        let Some(node) = &mut self.nodes[slot] else { return };
        self.seen.backlog = self.seen.backlog.max(node.member.backlog());
        let due = node.when(node.member.due()).max(now);
        if node.timer.is_none_or(|at| due < at) {
            node.timer = Some(due);
            self.at(due, Event::Timer(slot, id));
        }
    }

    pub(super) fn hang_up(&mut self, slot: usize) {
        let Some(node) = &mut self.nodes[slot] else { return };
        node.asked.clear();
        if let Some(link) = node.link.take().and_then(|link| self.links.get_mut(&link)) {
            link.is_open = false;
        }
    }

    pub(super) fn open(&mut self, slot: usize, id: NodeId) {
        let link = self.next_link;
        let Some(node) = self.node(slot, id) else { return };
        if node.link.is_some() {
            return;
        }
        node.link = Some(link);
        self.next_link += 1;
        self.links.insert(link, Link::new(slot, id));
        self.ask(slot, Command::Subscribe);
    }

    pub(super) fn ask(&mut self, slot: usize, command: Command) {
        let nth = self.next_command;
        let Some(node) = &mut self.nodes[slot] else { return };
        node.asked.insert(nth, command.clone());
        let (id, link) = (node.id, node.link);
        self.next_command += 1;
        self.after(TIMEOUT, Event::Timeout(slot, id, nth));
        if let Some(link) = link {
            self.send_up(link, nth, command);
        }
    }

    pub(super) fn delay(&mut self) -> Duration {
        match self.chance.below(50) {
            0 => self.chance.millis(5..100),
            _ => Duration::from_micros(self.chance.within(50..2_000) as u64),
        }
    }

    pub(super) fn send_up(&mut self, link: usize, nth: u64, command: Command) {
        let delay = self.delay();
        let Some(it) = self.links.get_mut(&link) else { return };
        if self.cuts[it.slot].0 > 0 {
            it.stalled_up.push((nth, command));
            return;
        }
        it.up = it.up.max(self.now + delay);
        let at = it.up;
        self.at(at, Event::Up(link, nth, command));
    }

    pub(super) fn send_down(&mut self, link: usize, message: Message) {
        let delay = self.delay();
        let Some(it) = self.links.get_mut(&link) else { return };
        if !it.is_open && !matches!(message, Message::Closed) {
            return;
        }
        if self.cuts[it.slot].1 > 0 {
            it.stalled_down.push(message);
            return;
        }
        it.down = it.down.max(self.now + delay);
        let at = it.down;
        self.at(at, Event::Down(link, message));
    }

    /// What the driver says of a command that was not answered.
    pub(super) fn fail(&mut self, slot: usize, command: Command) {
        match command {
            Command::Subscribe => {
                self.hang_up(slot);
                if let Some(id) = self.nodes[slot].as_ref().map(|node| node.id) {
                    let delay = self.chance.millis(10..250);
                    self.after(delay, Event::Open(slot, id));
                }
            }
            Command::Write(write) => {
                self.input(slot, Input::Written { seq: write.seq, answer: None });
            }
            Command::List { catch_up } => self.input(slot, Input::Listed { catch_up, nodes: None }),
            Command::Read { catch_up, node } => {
                self.input(slot, Input::Read { catch_up, node, snapshot: None });
            }
        }
    }

    pub(super) fn deliver(&mut self, link: usize, message: Message) {
        let Some(it) = self.links.get(&link) else { return };
        let (slot, id) = (it.slot, it.id);
        let Some(node) = self.nodes[slot].as_mut().filter(|node| node.id == id) else { return };
        if node.link != Some(link) {
            return;
        }
        let is_awaited = match &message {
            Message::Written(nth, ..) | Message::Listed(nth, ..) | Message::Read(nth, ..) => {
                // Now and then an answer comes twice.
                node.asked.remove(nth).is_some() || self.chance.percent(10)
            }
            Message::Subscribed => {
                node.asked.retain(|_, command| !matches!(command, Command::Subscribe));
                true
            }
            Message::Frame(_) | Message::Closed => true,
        };
        if !is_awaited {
            return;
        }
        let input = match message {
            Message::Subscribed => Input::Opened,
            Message::Frame(frame) => Input::Frame(frame),
            Message::Written(_, seq, answer) => Input::Written { seq, answer: Some(answer) },
            Message::Listed(_, catch_up, nodes) => Input::Listed { catch_up, nodes: Some(nodes) },
            Message::Read(_, catch_up, node, snapshot) => {
                Input::Read { catch_up, node, snapshot: Some(snapshot) }
            }
            Message::Closed => {
                self.hang_up(slot);
                let delay = self.chance.millis(10..100);
                self.after(delay, Event::Open(slot, id));
                Input::Lost
            }
        };
        self.input(slot, input);
    }
}
