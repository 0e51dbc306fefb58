//! Redis as a server: it takes commands while it runs, and tells its subscribers.

use super::World;
use crate::cluster::write::Answer;
use crate::link::{Command, Link, Message};
use crate::plan::ACTIVE;

impl World {
    pub(super) fn arrive(&mut self, link: usize, nth: u64, command: Command) {
        if self.stops > 0 {
            return self.send_down(link, Message::Closed);
        }
        if self.stalls > 0 {
            return self.waiting.push((link, nth, command));
        }
        self.execute(link, nth, command);
    }

    pub(super) fn execute(&mut self, link: usize, nth: u64, command: Command) {
        let now = self.now;
        let Some(it) = self.links.get_mut(&link) else { return };
        let id = it.id;
        let message = match command {
            Command::Subscribe => {
                it.is_subscribed = it.is_open;
                Message::Subscribed
            }
            Command::List { catch_up } => Message::Listed(nth, catch_up, self.redis.list()),
            Command::Read { catch_up, node } => {
                Message::Read(nth, catch_up, node, self.redis.read(node, now))
            }
            Command::Write(write) => {
                let answer = self.redis.write(id, &write, now);
                if let Answer::Done(frame, _) = &answer {
                    let is_heard = |(nth, link): (&usize, &Link)| {
                        (link.is_open && link.is_subscribed).then_some(*nth)
                    };
                    let mut listeners: Vec<_> = self.links.iter().filter_map(is_heard).collect();
                    listeners.sort_unstable();
                    for listener in listeners {
                        if let Some(link) = self.links.get_mut(&listener)
                            && link.drops > 0
                        {
                            link.drops -= 1;
                            continue;
                        }
                        self.send_down(listener, Message::Frame(frame.clone()));
                    }
                }
                Message::Written(nth, write.seq, answer)
            }
        };
        // Now and then an answer is lost, or comes twice.
        let is_write = matches!(message, Message::Written(..));
        if is_write && self.now < ACTIVE && self.chance.below(500) == 0 {
            return;
        }
        if self.chance.below(100) == 0 {
            self.send_down(link, message.clone());
        }
        self.send_down(link, message);
    }

    pub(super) fn close_all(&mut self) {
        let mut all: Vec<_> = self.links.keys().copied().collect();
        all.sort_unstable();
        for link in all {
            self.close(link);
        }
    }

    pub(super) fn close(&mut self, link: usize) {
        if let Some(it) = self.links.get_mut(&link) {
            it.is_subscribed = false;
            self.send_down(link, Message::Closed);
        }
    }
}
