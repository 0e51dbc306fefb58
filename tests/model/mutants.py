#!/usr/bin/env python3
"""Shows that the model check, and the tests of streams and fan-outs, can fail.

Each mutant is one mistake that somebody could make in the product's code. It is
made in a copy of the sources, never in the work tree, and the tests named with
it must then fail. A mutant that survives, does not apply or does not compile is
an error: `make mutants` says which.
"""

import concurrent.futures
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / "target" / "debug"
COPIES = ROOT / "target" / "mutants"
COPIED = ["Cargo.toml", "Cargo.lock", "src", "public", "examples", "tests/main.rs"]
COPIED += ["tests/cluster", "tests/model"]
# A workspace has all of its members.
COPIED += ["bench/Cargo.toml", "bench/src", "bench/benches", "packaging"]

# Seconds that a build or a run of tests may take.
PATIENCE = 600

MODEL = ["-p", "headcount-model", "--test=checks"]
STREAM = ["-p", "headcount", "--lib", "http::events"]
PACE = ["-p", "headcount", "--lib", "pace::"]
FANOUT = ["-p", "headcount", "--lib", "stream::"]
SERVER = ["-p", "headcount", "--lib", "server::"]
SEATS = ["-p", "headcount", "--lib", "seats_file"]
NODE = ["-p", "headcount", "--lib", "node::"]
PROTOCOL = ["-p", "headcount", "--lib", "cluster::"]
CLUSTER = ["-p", "headcount-cluster", "--test=seeds"]

# (what is done wrong, which tests must see it, the file, [(the code, the mutated code)])
MUTANTS = [
    (
        "tell the other nodes of a leave when a seat is taken over",
        NODE,
        "src/node/inbox.rs",
        [("        if sitting.entries > 0 {\n            return;\n        }\n", "")],
    ),
    (
        "leave the seats behind that the other nodes may claim",
        NODE,
        "src/node/inbox.rs",
        [("        if !self.stays {\n", "        if true {\n")],
    ),
    (
        "believe a token whatever its rooms",
        NODE,
        "src/node/secret.rs",
        [("let is_in_rooms = code(key, place, rooms) == of_rooms;", "let is_in_rooms = of_rooms > 0;")],
    ),
    (
        "look a room up before it is noted how many are on other nodes",
        [*MODEL, "who_is_on_other_nodes_counts_in_every_room_that_opens"],
        "src/rooms.rs",
        [
            (
                "        let mut rooms = self.0.lock();\n        if let Some(count) = elsewhere {",
                "        let found = self.0.lock().open.get(name).cloned();\n"
                "        let mut rooms = self.0.lock();\n        if let Some(count) = elsewhere {",
            ),
            (
                "        let Some(room) = rooms.open.get(name).cloned() else { return Vec::new() };\n"
                "        drop(rooms);\n        room.exchange(",
                "        let Some(room) = found else { return Vec::new() };\n"
                "        drop(rooms);\n        room.exchange(",
            ),
        ],
    ),
    (
        "let two rooms change the total at once",
        MODEL,
        "src/span.rs",
        [
            (
                "    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);\n"
                "    let others = total.count.saturating_sub(span.count);\n"
                "    total.change(others + count, now);\n"
                "    drop(total);\n",
                "    let lock = || total.lock().unwrap_or_else(PoisonError::into_inner);\n"
                "    let others = lock().count.saturating_sub(span.count);\n"
                "    lock().change(others + count, now);\n",
            )
        ],
    ),
    (
        "lose what was measured of a room that closes",
        MODEL,
        "src/rooms.rs",
        [("                rooms.apart.insert(name, span);\n", "                drop((name, span));\n")],
    ),
    (
        "tell of those who go to another node before they are there",
        [*MODEL, "who_goes_to_another_node_is_one_person_all_the_while"],
        "src/room.rs",
        [
            (
                "        state.elsewhere = elsewhere.unwrap_or(state.elsewhere);\n",
                "        self.change(&mut state);\n"
                "        state.elsewhere = elsewhere.unwrap_or(state.elsewhere);\n",
            )
        ],
    ),
    (
        "let a seat be taken over while its client goes to another node",
        [*MODEL, "who_goes_to_another_node_is_one_person_all_the_while"],
        "src/exchange.rs",
        [
            (
                "            let Some(held) = held else { continue };\n",
                "            let held: Vec<_> = held.into_iter().flatten().map(drop).collect();\n",
            ),
            (
                "            for ((seat, _), held) in going.iter().zip(held) {\n"
                "                self.give_up(seat, held);\n",
                "            for ((seat, _), ()) in going.iter().zip(held) {\n"
                "                self.give_up(seat, seat.keep());\n",
            ),
        ],
    ),
    (
        "publish outside the lock",
        [*MODEL, "the_last_event_that_each_stream_got_is_the_truth"],
        "src/room.rs",
        [
            ("            self.publish(state);\n        }\n        tell", "        }\n        tell"),
            (
                "        drop(state);\n\n        if let Some(tell)",
                "        let channel = state.channel.clone();\n"
                "        drop(state);\n"
                "        if tell == Some(Tell::Now) {\n"
                "            let _ = channel.send(subscription.told.clone());\n"
                "        }\n"
                "        if let Some(tell)",
            ),
            (
                "        let emptied = self.vacate(state);\n        match tell {\n",
                "        let (channel, event) = (state.channel.clone(), state.newest.clone());\n"
                "        let emptied = self.vacate(state);\n"
                "        if tell == Some(Tell::Now) {\n"
                "            let _ = channel.send(event);\n"
                "        }\n"
                "        match tell {\n",
            ),
        ],
    ),
    (
        "subscribe after counting",
        [*MODEL, "a_joiner_sees_its_own_arrival_and_all_that_follows_in_order"],
        "src/room.rs",
        [
            (
                "        let subscription = self.subscribe(&state);\n        drop(state);\n\n        if let Some(tell)",
                "        let told = state.newest.clone();\n"
                "        drop(state);\n"
                "        let mut subscription = self.subscribe(&self.lock());\n"
                "        subscription.told = told;\n        if let Some(tell)",
            )
        ],
    ),
    (
        "subscribe after taking a seat over",
        [*MODEL, "two_who_return_for_one_seat_are_one"],
        "src/room.rs",
        [
            (
                "        let subscription = self.subscribe(&state);\n        drop(state);\n\n        if let Some(tell)",
                "        let told = state.newest.clone();\n"
                "        let early = (!returns).then(|| self.subscribe(&state));\n"
                "        drop(state);\n"
                "        let subscription = early.unwrap_or_else(|| {\n"
                "            let mut late = self.subscribe(&self.lock());\n"
                "            late.told = told;\n"
                "            late\n"
                "        });\n        if let Some(tell)",
            )
        ],
    ),
    (
        "drop the guard early, in the room",
        [*MODEL, "the_last_event_that_each_stream_got_is_the_truth"],
        "src/room.rs",
        [
            (
                "        Some(Entered { subscription, returns })\n",
                "        self.leave(seat);\n        Some(Entered { subscription, returns })\n",
            ),
        ],
    ),
    (
        "drop the guard early, in the stream",
        STREAM,
        "src/stream/mod.rs",
        [
            (
                "            None if state.mailbox.is_closed() => Poll::Ready(None),\n",
                "            None if state.mailbox.is_closed() || state.guest.take().is_some() => {\n"
                "                Poll::Ready(None)\n"
                "            }\n",
            )
        ],
    ),
    (
        "keep the guard when the stream is dropped",
        STREAM,
        "src/stream/mod.rs",
        [("        drop(guest);\n    }\n}\n", "        std::mem::forget(guest);\n    }\n}\n")],
    ),
    (
        "let people into a room that was emptied",
        [*MODEL, "a_join_that_races_with_the_removal_of_the_room_is_kept"],
        "src/room.rs",
        [
            (
                "        if state.emptied {\n            return None;\n        }\n        let returns",
                "        let returns",
            )
        ],
    ),
    (
        "let a room go while somebody observes it",
        [*MODEL, "an_observer_keeps_the_room_and_is_not_counted"],
        "src/room.rs",
        [("state.seats.len() == 0 && state.keepers == 0", "state.seats.len() == 0")],
    ),
    (
        "remove whatever room has the name",
        [*MODEL, "a_join_that_races_with_the_removal_of_the_room_is_kept"],
        "src/rooms.rs",
        [(".is_some_and(|found| Arc::ptr_eq(found, room))", ".is_some()")],
    ),
    (
        "uncount a seat that another has taken over",
        [*MODEL, "who_takes_a_seat_over_is_never_counted_twice"],
        "src/seat.rs",
        [(".is_some_and(|here| Arc::ptr_eq(here, seat))", ".is_some()")],
    ),
    (
        "take a seat over without telling the old stream",
        [*MODEL, "two_who_return_for_one_seat_are_one"],
        "src/rooms.rs",
        [("        left.give_away(handover);\n", "        drop(handover);\n")],
    ),
    (
        "let two take over one seat, of the same stream",
        [*MODEL, "who_returns_for_other_rooms_is_once_in_each_of_them_and_in_no_other"],
        "src/seat.rs",
        [("        (!self.is_taken()).then_some(handover)\n", "        Some(handover)\n")],
    ),
    (
        "leave a seat while somebody takes it over",
        [*MODEL, "who_takes_a_seat_over_is_never_counted_twice"],
        "src/presence.rs",
        [("        let kept = self.seat.keep();\n", ""), ("        drop(kept);\n", "")],
    ),
    (
        "forget a token for a moment while its seat is taken over",
        [*MODEL, "two_who_return_for_one_seat_are_one"],
        "src/rooms.rs",
        [
            (
                "        left.map(|left| seats.remove(left));\n",
                "        left.map(|left| seats.remove(left));\n"
                "        drop(seats);\n"
                "        let mut seats = self.seats();\n",
            )
        ],
    ),
    (
        "stay in all rooms but the first",
        [*MODEL, "who_returns_for_other_rooms_is_once_in_each_of_them_and_in_no_other"],
        "src/presence.rs",
        [(".into_iter().map(leave)", ".into_iter().take(1).map(leave)")],
    ),
    (
        "give a newcomer the token of the seat that waited",
        [*MODEL, "a_seat_that_waits_is_one_persons"],
        "src/rooms.rs",
        [
            (
                "self.follow(names, left, self.token(names, None), address, ending)",
                "self.follow(names, left, left.token(), address, ending)",
            )
        ],
    ),
    (
        "go on with the oldest event after a lag",
        [*MODEL, "a_lagging_reader_goes_to_the_newest_number"],
        "src/room.rs",
        [
            (
                "            Err(RecvError::Lagged(_)) => self.skip(),\n",
                "            Err(RecvError::Lagged(_)) => self.try_next().unwrap_or_else(|| self.now()),\n",
            ),
        ],
    ),
    (
        "tell what is older as news",
        MODEL,
        "src/event.rs",
        [("        self.is_after(told) && self.count != told.count\n", "        self.count != told.count\n")],
    ),
    (
        "forget what waits for a stream that goes over to the fan-out",
        FANOUT,
        "src/stream/fanout.rs",
        [
            (
                "                told += members.tell(&line, nth, &News::new(&event, &own), &self.terms);\n",
                "                let _ = (&members, &line, nth, &event);\n",
            )
        ],
    ),
    (
        "tell the first batch and nobody else",
        FANOUT,
        "src/stream/fanout.rs",
        [("            yield_now().await;\n        }\n    }\n\n    fn lock", "            return yield_now().await;\n        }\n    }\n\n    fn lock")],
    ),
    (
        "take what is published for what a stream has heard",
        FANOUT,
        "src/stream/member.rs",
        [
            (
                "        if !change.is_news_after(self.told) {\n",
                "        if !change.is_news_after(self.told) {\n            self.sent = now;\n",
            )
        ],
    ),
    (
        "give each room of a stream a heartbeat",
        FANOUT,
        "src/stream/member.rs",
        [
            (
                "        if !self.is_first() {\n            return Told::default();\n        }\n",
                "",
            )
        ],
    ),
    (
        "forget that who comes back from other rooms may be here still",
        MODEL,
        "src/room.rs",
        [("left.is_some_and(|left| state.replace(left))", "left.is_some_and(|left| state.remove(left))")],
    ),
    (
        "tell a stream that its guest has left",
        FANOUT,
        "src/stream/line.rs",
        [("if state.guest.is_none() { Told", "if state.mailbox.is_closed() { Told")],
    ),
    (
        "take a stream for silent that hears of other rooms",
        FANOUT,
        "src/stream/member.rs",
        [("                Some(sent) if sent > self.sent => ", "                Some(sent) if sent < self.sent => ")],
    ),
    (
        "watch nobody who hears of other rooms",
        FANOUT,
        "src/stream/member.rs",
        [("=> self.note_sent(sent, now, terms),\n", "=> self.sent = sent,\n")],
    ),
    (
        "send all heartbeats at once",
        FANOUT,
        "src/stream/heartbeat.rs",
        [(".mul_f64(share)", ".mul_f64(share * 0.0)")],
    ),
    (
        "take a client whose network is away for a moment for gone",
        FANOUT,
        "src/stream/watch.rs",
        [("        if link.heard <= now - waiting.silent + TICK {\n", "        if false {\n")],
    ),
    (
        "wait for ever for a client that answers and takes nothing",
        FANOUT,
        "src/stream/watch.rs",
        [(".min(waiting.stalled + patience.stalled())", "")],
    ),
    (
        "close a connection that has a stream for a new one",
        SERVER,
        "src/server/gate.rs",
        [
            (
                "            Standing::Streaming => Place::Streaming(closable.close),\n",
                "            Standing::Streaming => {\n"
                "                self.busy.insert(nth, closable);\n"
                "                Place::Busy(nth)\n"
                "            }\n",
            )
        ],
    ),
    (
        "keep an answer that nobody takes",
        SERVER,
        "src/server/answers.rs",
        [("                Err(_) if asked.elapsed() >= ANSWER_TIMEOUT => return None,\n", "")],
    ),
    (
        "take a connection that was cut for one that was closed",
        SERVER,
        "src/server/encrypted.rs",
        [
            (
                "Client::Speaks => ready!(this.poll_receive(cx))?,\n",
                "Client::Speaks => match ready!(this.poll_receive(cx)) {\n"
                "                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {\n"
                "                        return Poll::Ready(Ok(()));\n"
                "                    }\n"
                "                    received => received?,\n"
                "                },\n",
            )
        ],
    ),
    (
        "forget what the socket did not take of a record",
        SERVER,
        "src/server/encrypted.rs",
        [("            self.outgoing.extend_from_slice(&record[sent..]);\n", "            let _ = sent;\n")],
    ),
    (
        "keep a connection that fell idle while nobody looked",
        SERVER,
        "src/server/answers.rs",
        [("        if is_last {\n", "        if is_last && self.is_stream {\n")],
    ),
    (
        "free a place before its seat is gone",
        STREAM,
        "src/stream/guest.rs",
        [
            (
                "        self.note(reason);\n        match",
                "        self.note(reason);\n"
                "        let heir = |seat: &Arc<Seat>| seat.bequeath(seat.token(), None, &[]);\n"
                "        let _ = self.seat().map(heir);\n        match",
            )
        ],
    ),
    (
        "keep a fan-out that has nobody left",
        FANOUT,
        "src/stream/fanout.rs",
        [("fanout.members.remove(line, nth)) {\n", "fanout.members.remove(line, nth) && false) {\n")],
    ),
    (
        "send an old number after a newer one to a slow reader",
        FANOUT,
        "src/stream/mailbox.rs",
        [
            (
                "        given_up.map(|place| waiting.remove(place));\n",
                "        if given_up.is_some() {\n            return true;\n        }\n",
            )
        ],
    ),
    (
        "give up a room's newest number for another room's",
        FANOUT,
        "src/stream/mailbox.rs",
        [("letter.0 == Some(room);\n", "letter.0.is_some();\n")],
    ),
    (
        "tell of a leave when it is the server that sends a client away",
        STREAM,
        "src/stream/guest.rs",
        [("Reason::Shutdown) => held.leave_behind(presence),", "Reason::Shutdown) => drop(presence),")],
    ),
    (
        "leave a stream in doubt that opened while doubt ended",
        FANOUT,
        "src/stream/fanout.rs",
        [
            (
                "            told += members.tell_partial_to(&line, is_partial(&self.doubts), &self.terms);\n",
                "",
            )
        ],
    ),
    (
        "keep in the file who has left",
        SEATS,
        "src/seats_file/mod.rs",
        [("register.file.write_all_at(&[0; SLOT], ", "register.file.write_all_at(&[], ")],
    ),
    (
        "believe what is damaged in the file",
        SEATS,
        "src/seats_file/record.rs",
        [("    checksum(place, content).to_le_bytes() == sum\n", "    let _ = (place, content, sum);\n    true\n")],
    ),
    (
        "leave the streams of a fan-out that died",
        FANOUT,
        "src/stream/fanout.rs",
        [("            member.lose(Reason::Error);\n", "            drop(member);\n")],
    ),
    (
        "let a stream go on whose seat another has",
        STREAM,
        "src/stream/line.rs",
        [("        self.end(Reason::Replaced);\n", "        let _ = self;\n")],
    ),
    (
        "miss somebody when another leaves meanwhile",
        FANOUT,
        "src/stream/fanout.rs",
        [("                moved.set_place(place);\n", "                let _ = moved;\n")],
    ),
    (
        "carry the plan out, and tell nothing",
        MODEL,
        "src/room.rs",
        [
            (
                "        if state.pace.is_planned() {\n            self.0.publish(&mut state);\n        }\n",
                "        state.pace.told(0);\n",
            )
        ],
    ),
    (
        "plan to tell a merge, and carry it out never",
        MODEL,
        "src/room.rs",
        [
            (
                "        if let Tell::At(instant) = tell {\n"
                "            pace::at(instant, Due(self.clone()));\n"
                "        }\n",
                "        let _ = tell;\n",
            )
        ],
    ),
    (
        "pause as if telling a crowd cost nothing",
        FANOUT,
        "src/stream/fanout.rs",
        [("        subscription.took(took.total());\n", "")],
    ),
    (
        "leave what others have yet to write out of what a fan-out took",
        FANOUT,
        "src/stream/fanout.rs",
        [("            if !here.is_left() {\n", "            if true {\n")],
    ),
    (
        "let a small crowd wait for a turn after each step",
        FANOUT,
        "src/stream/fanout.rs",
        [("        if told.is_left() && self.lock().members.len() > BATCH {\n", "        if true {\n")],
    ),
    (
        "take the turns of others for the cost of a fan-out",
        FANOUT,
        "src/stream/fanout.rs",
        [("            if !here.is_left() {\n", "            if false {\n")],
    ),
    (
        "tell a large crowd every step",
        FANOUT,
        "src/stream/fanout.rs",
        [("        if pace::is_small(self.lock().members.len()) {\n", "        if true {\n")],
    ),
    (
        "tell a small crowd only the newest",
        FANOUT,
        "src/stream/fanout.rs",
        [("        if pace::is_small(self.lock().members.len()) {\n", "        if false {\n")],
    ),
    (
        "pause for as long as the fastest core needs",
        PACE,
        "src/pace.rs",
        [("|| cost > self.cost {", "|| cost < self.cost {")],
    ),
    (
        "pause for as long as any fan-out ever took",
        PACE,
        "src/pace.rs",
        [("if take(&mut self.is_cost_old) || cost", "if take(&mut self.is_cost_old) && false || cost")],
    ),
    (
        "let one slow fan-out silence a crowd",
        PACE,
        "src/pace.rs",
        [(".clamp(LEAST, MOST)", ".max(LEAST)")],
    ),
    (
        "write without saying which claims are seen",
        PROTOCOL,
        "src/cluster/outbox.rs",
        [("seen: written.seen.iter().copied().collect(),", "seen: Vec::new(),")],
    ),
    (
        "let a write that crosses a claim undo it",
        CLUSTER,
        "tests/cluster/src/redis.rs",
        [("            if !write.left.contains(seat) {\n", "            if false {\n")],
    ),
    (
        "take the share of a node that is read for one that spoke just now",
        PROTOCOL,
        "src/cluster/lease.rs",
        [("end: now + remaining,", "end: now + remaining.max(LEASE),")],
    ),
    (
        "take the life that a hash has left for its age",
        PROTOCOL,
        "src/cluster/lease.rs",
        [("end: now + remaining,", "end: now + LEASE.saturating_sub(remaining),")],
    ),
    (
        "subscribe again without reading",
        CLUSTER,
        "src/cluster/member.rs",
        [("let reads = catch_up.list(nodes);", "let reads = catch_up.list(nodes.take(0));")],
    ),
    (
        "go on after a gap",
        CLUSTER,
        "src/cluster/share.rs",
        [("            Verdict::Gap\n", "            Verdict::Next\n")],
    ),
    (
        "keep the share of a node whose lease is over",
        CLUSTER,
        "src/cluster/lease.rs",
        [("self.end.max(heard + LEASE)", "self.end.max(heard + LEASE * 3)")],
    ),
    (
        "take a node that does not hear itself for connected",
        CLUSTER,
        "src/cluster/member.rs",
        [("link.heard + DEAF <= now)", "link.heard + DEAF <= now && DEAF.is_zero())")],
    ),
    (
        "write on when Redis has lost the share",
        CLUSTER,
        "src/cluster/outbox.rs",
        [("        self.unwritten.become_whole();\n", "        self.base = 0;\n")],
    ),
    (
        "forget the claims that Redis has lost",
        PROTOCOL,
        "src/cluster/member.rs",
        [("                self.claims.repeat(self.now);\n", "")],
    ),
    (
        "repeat a claim as if it were new",
        PROTOCOL,
        "src/cluster/claim.rs",
        [("unless: Some(version(moved.from.node).unwrap_or(Version::NONE)),", "unless: None,")],
    ),
    (
        "count somebody here and in the share that they come from",
        CLUSTER,
        "src/cluster/member.rs",
        [
            (
                "            self.elsewhere.leaves(&claim.rooms);\n",
                "            let _ = &claim;\n",
            )
        ],
    ),
    (
        "count somebody whom Redis has moved here in the share that is not read anew",
        CLUSTER,
        "src/cluster/member.rs",
        [("                self.elsewhere.moves(&claim.rooms);\n", "")],
    ),
    (
        "tell a token that nobody else knows of",
        CLUSTER,
        "src/cluster/member.rs",
        [
            (
                "            self.outputs.push_back(Output::Seat(claim.to));\n"
                "            self.elsewhere",
                "            self.outputs.push_back(Output::Seat(claim.to));\n"
                "            self.outputs.push_back(Output::Token(claim.to));\n"
                "            self.elsewhere",
            )
        ],
    ),
]


class Copy:
    """A copy of the sources, and what is built of them."""

    def __init__(self, nth):
        self.tree, self.build = COPIES / f"tree{nth}", COPIES / f"build{nth}"
        shutil.rmtree(self.tree, ignore_errors=True)
        for path in COPIED:
            source, target = ROOT / path, self.tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)

    def test(self, mutant):
        """Whether the tests see the mistake."""
        mistake, tests, file, replacements = mutant
        (self.tree / file).write_text(mutated(file, replacements))
        failed, errors = self.cargo(*tests[:3], "--no-run")
        if failed:
            sys.exit(f"mutants: «{mistake}» does not compile:\n{errors}")
        failed, _ = self.cargo(*tests)
        shutil.copy(ROOT / file, self.tree / file)
        return failed != 0

    def cargo(self, *args):
        """Its exit code, and what it said of errors."""
        # A build of its own: cargo would take the copy's packages for the work tree's.
        environment = os.environ | {
            "CARGO_TARGET_DIR": str(self.build), "CARGO_PROFILE_DEV_DEBUG": "0"
        }
        command = ["cargo", "test", "--quiet", "--locked", *args]
        # In a session of its own, so that a test which hangs is ended with cargo.
        with subprocess.Popen(
            command,
            cwd=self.tree,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                _, errors = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                sys.exit(f"mutants: this did not end within {PATIENCE} s: {' '.join(command)}")
        return process.returncode, errors


def mutated(file, replacements):
    """The file with one mistake in it."""
    text = (ROOT / file).read_text()
    for code, replacement in replacements:
        if text.count(code) != 1:
            sys.exit(f"mutants: {file} no longer has this code exactly once:\n{code}")
        text = text.replace(code, replacement)
    return text


def main():
    # What does not apply is to be known before an hour of others.
    for _, _, file, replacements in MUTANTS:
        mutated(file, replacements)
    copies = queue.SimpleQueue()
    first, second = Copy(0), Copy(1)
    # The packages that are not ours are built once, most of them by `make test`. (Not by hard
    # links: cargo and rustc write into files that are there.)
    if BUILT.exists() and not first.build.exists():
        ours = shutil.ignore_patterns("headcount*", "libheadcount*", "incremental")
        shutil.copytree(BUILT, first.build / BUILT.name, symlinks=True, ignore=ours)
    for package in sorted({tests[1] for _, tests, _, _ in MUTANTS}):
        first.cargo("-p", package, "--no-run")
    shutil.rmtree(second.build, ignore_errors=True)
    shutil.copytree(first.build, second.build)
    copies.put(first)
    copies.put(second)

    def test(mutant):
        copy = copies.get()
        start = time.monotonic()
        caught = copy.test(mutant)
        seconds = time.monotonic() - start
        copies.put(copy)
        print(f"{'caught  ' if caught else 'SURVIVED'} {seconds:4.0f} s  {mutant[0]}", flush=True)
        return caught

    # Most of the time one of rustc's threads works, and a test waits.
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        survivors = list(workers.map(test, MUTANTS)).count(False)
    if survivors:
        sys.exit(f"mutants: {survivors} of {len(MUTANTS)} mutants survived")
    print(f"all {len(MUTANTS)} mutants were caught")


if __name__ == "__main__":
    main()
