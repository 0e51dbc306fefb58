#!/usr/bin/env python3
"""Shows that the model check, and the stream's own tests, can fail.

Each mutant is one mistake that somebody could make in the product's code. It is
made in a copy of the sources, never in the work tree, and the tests named with
it must then fail. A mutant that survives, does not apply or does not compile is
an error: `make mutants` says which.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = ROOT / "target" / "mutants" / "tree"
BUILD = ROOT / "target" / "mutants" / "build"
COPIED = ["Cargo.toml", "Cargo.lock", "src", "public", "examples", "tests/model", "tests/main.rs"]

# Seconds that a build or a run of tests may take.
PATIENCE = 600

MODEL = ["-p", "headcount-model"]
STREAM = ["-p", "headcount", "--lib", "http::stream"]

# (what is done wrong, which tests must see it, the file, [(the code, the mutated code)])
MUTANTS = [
    (
        "publish outside the lock",
        MODEL,
        "src/room.rs",
        [
            ("            self.publish(state);\n        }\n        tell", "        }\n        tell"),
            (
                "        drop(state);\n\n        self.follow_up(tell);",
                "        let channel = state.channel.clone();\n"
                "        drop(state);\n"
                "        if tell == Tell::Now {\n"
                "            let _ = channel.send(arrival.clone());\n"
                "        }\n"
                "        self.follow_up(tell);",
            ),
            (
                "        drop(state);\n\n        if count == 0 {",
                "        let (channel, event) = (state.channel.clone(), state.newest.clone());\n"
                "        drop(state);\n"
                "        if tell == Tell::Now {\n"
                "            let _ = channel.send(event);\n"
                "        }\n"
                "        if count == 0 {",
            ),
        ],
    ),
    (
        "subscribe after counting",
        MODEL,
        "src/room.rs",
        [
            (
                "        let events = state.channel.subscribe();\n"
                "        let arrival = state.newest.clone();\n"
                "        drop(state);\n",
                "        let arrival = state.newest.clone();\n"
                "        drop(state);\n"
                "        let events = self.lock().channel.subscribe();\n",
            )
        ],
    ),
    (
        "subscribe after taking a seat over",
        MODEL,
        "src/room.rs",
        [
            (
                "        let events = state.channel.subscribe();\n"
                "        let newest = state.newest.clone();\n"
                "        drop(state);\n",
                "        let newest = state.newest.clone();\n"
                "        drop(state);\n"
                "        let events = self.lock().channel.subscribe();\n",
            )
        ],
    ),
    (
        "drop the guard early, in the room",
        MODEL,
        "src/room.rs",
        [
            (
                "        Some((self.presence(seat, events, &arrival, ending), arrival))",
                "        self.leave(&seat);\n"
                "        Some((self.presence(seat, events, &arrival, ending), arrival))",
            ),
        ],
    ),
    (
        "drop the guard early, in the stream",
        STREAM,
        "src/http/frames.rs",
        [
            (
                "            let event = changed.unwrap_or_else(|_silence| place.presence.now());\n",
                "            let event = changed.unwrap_or_else(|_silence| place.presence.now());\n"
                "            if event.count() > 0 { drop(place); return; }\n",
            )
        ],
    ),
    (
        "keep the guard when the stream is dropped",
        STREAM,
        "src/http/frames.rs",
        [
            (
                "    stream! {\n        let seat = place.presence.seat().clone();\n",
                "    let place: &'static mut Place = Box::leak(Box::new(place));\n"
                "    stream! {\n        let seat = place.presence.seat().clone();\n",
            ),
            (
                "        let Place { permit, presence } = place;\n"
                "        drop(permit);\n"
                "        let presence = presence.into_presence();\n",
                "",
            ),
            ("                tokio::spawn(hold(presence));\n", ""),
            ("                drop(presence);\n", ""),
        ],
    ),
    (
        "let people into a room that was emptied",
        MODEL,
        "src/room.rs",
        [("        if state.emptied {\n            return None;\n        }\n", "")],
    ),
    (
        "remove whatever room has the name",
        MODEL,
        "src/rooms.rs",
        [(".is_some_and(|found| Arc::ptr_eq(found, room))", ".is_some()")],
    ),
    (
        "uncount a seat that another has taken over",
        MODEL,
        "src/seat.rs",
        [(".is_some_and(|ByToken(here)| Arc::ptr_eq(here, seat))", ".is_some()")],
    ),
    (
        "take a seat over without telling the old stream",
        MODEL,
        "src/room.rs",
        [("        old.give_away();\n", "")],
    ),
    (
        "give a newcomer the token of the seat that waited",
        MODEL,
        "src/room.rs",
        [
            (
                "        let seat = Seat::new(Token::random());\n"
                "        let mut state = self.lock();\n"
                "        if !state.seats.remove(left) {\n",
                "        let seat = Seat::new(left.token());\n"
                "        let mut state = self.lock();\n"
                "        if !state.seats.remove(left) {\n",
            )
        ],
    ),
    (
        "go on with the oldest event after a lag",
        MODEL,
        "src/room.rs",
        [("                    self.skip_to_newest()\n", "                    continue;\n")],
    ),
    (
        "say the heartbeat without skipping older events",
        MODEL,
        "src/room.rs",
        [
            (
                "        let state = self.room.lock();\n        self.events = state.channel.subscribe();\n",
                "        let state = self.room.lock();\n",
            )
        ],
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
]


def mutate(file, replacements):
    """Makes one mistake in the copy."""
    text = (ROOT / file).read_text()
    for code, mutated in replacements:
        if text.count(code) != 1:
            sys.exit(f"mutants: {file} no longer has this code exactly once:\n{code}")
        text = text.replace(code, mutated)
    (TREE / file).write_text(text)


def cargo(*args):
    """Its exit code, and what it said of errors."""
    # A build of its own: cargo would take the copy's packages for the work tree's.
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD), "CARGO_PROFILE_DEV_DEBUG": "0"}
    command = ["cargo", "test", "--quiet", "--locked", *args]
    # In a session of its own, so that a test which hangs is ended with cargo.
    with subprocess.Popen(
        command,
        cwd=TREE,
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


def main():
    shutil.rmtree(TREE, ignore_errors=True)
    for path in COPIED:
        source, target = ROOT / path, TREE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)

    survivors = 0
    for mistake, tests, file, replacements in MUTANTS:
        mutate(file, replacements)
        failed, errors = cargo(*tests[:3], "--no-run")
        if failed:
            sys.exit(f"mutants: «{mistake}» does not compile:\n{errors}")
        failed, _ = cargo(*tests)
        caught = failed != 0
        survivors += not caught
        print(f"{'caught  ' if caught else 'SURVIVED'}  {mistake}", flush=True)
        shutil.copy(ROOT / file, TREE / file)
    if survivors:
        sys.exit(f"mutants: {survivors} of {len(MUTANTS)} mutants survived")
    print(f"all {len(MUTANTS)} mutants were caught")


if __name__ == "__main__":
    main()
