"""The kinds of fault. Each is a function that makes its rounds, one after the other."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.bench import Bench, SkippedError, pages
from benchmarks.faults.inject import CLOCK, KILL, Fault
from benchmarks.faults.losses import look
from benchmarks.faults.place import TASK, VERBS, Place, Verb
from benchmarks.faults.rounds import Round

__all__ = ["KINDS", "killed"]

RUN = VERBS["run"]
ERRORS = ("ENOSPC", "EIO", "EACCES")
SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs store && cp -a disk/. store || exit 125
shift; "$@"; code=$?
cp -a store kept; exit $code
"""
"""Run a command with a small disk as `store`, which has the files of `disk`. `kept` gets what is on it afterwards."""
HOUR = 3600.0
"""Seconds by which the clock goes back, as in `clock.c`."""
CLOCK_SOURCE = Path(__file__).with_name("clock.c")
PAIR_SHARE = 10
"""Each pair of verbs gets one round of so many."""


def killed(bench: Bench, verbs: tuple[Verb, ...] = tuple(VERBS.values())) -> Iterator[Round]:
    """Kill each verb with its children: in turns at a random moment, and at a random write."""
    draw = bench.draw("killed")
    for verb in verbs:
        cost = bench.cost(verb)
        for number in range(bench.rounds):
            with bench.place(verb) as place:
                before = look(place)
                if number % 2 == 0:
                    seconds = draw.uniform(0, cost.seconds)
                    words, answer = f"killed after {seconds:.2f} of {cost.seconds:.2f} s", verb.start(place).end(seconds)
                else:
                    at = draw.randint(1, cost.writes)
                    words = f"killed at write {at} of {cost.writes}"
                    answer = verb.start(place, Fault(KILL, str(place.root), at)).end()
                yield bench.end(verb.title, words, [answer], [place], before, [partial(verb.start, place)])


def full(bench: Bench) -> Iterator[Round]:
    """Run on disks of several sizes, from one that is full at the start to one on which a run fits."""
    done = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(bench.folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SkippedError(f"a small disk cannot be mounted: {done.stderr.strip()}")
    most = bench.cost(RUN).store_bytes
    for number in range(bench.rounds):
        with bench.place(RUN) as place:
            before = look(place)
            used = pages(place.store)
            size = used + 4096 * (1 + round((most - used) / 4096 * number / max(bench.rounds - 1, 1)))
            place.store.rename(place.root / "disk")
            place.store.mkdir()
            answer = RUN.start(place, before=("unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", str(size))).end()
            place.store.rmdir()
            (place.root / "kept").rename(place.store)
            words = f"{size - used:,} bytes free, a run takes {most - used:,}"
            yield bench.end("run", words, [answer], [place], before, [partial(RUN.start, place)])


def refused(bench: Bench) -> Iterator[Round]:
    """Refuse one write of a run in the store, each in turn."""
    writes = bench.cost(RUN, lambda place: place.store).writes
    for error in ERRORS:
        for at in range(1 + bench.seed % bench.every, writes + 1, bench.every):
            with bench.place(RUN) as place:
                before = look(place)
                answer = RUN.start(place, Fault(error, str(place.store), at)).end()
                words = f"{error} at write {at} of {writes}"
                yield bench.end(f"run, {error}", words, [answer], [place], before, [partial(RUN.start, place)])


def clock(bench: Bench) -> Iterator[Round]:
    """Put the clock back by an hour at a random write of each verb. All files from before the call have times an hour ahead."""
    draw, library = bench.draw("clock"), bench.folder / "clock.so"
    compile_clock(library)
    for verb in VERBS.values():
        writes = bench.cost(verb).writes
        for _ in range(bench.rounds):
            with bench.place(verb) as place:
                before, at = look(place), draw.randint(1, writes)
                ahead = time.time() + HOUR
                for path in [*place.root.rglob("*")]:
                    os.utime(path, (ahead, ahead), follow_symlinks=False)
                file = place.root / "ahead"
                file.touch()
                fault = Fault(CLOCK, str(place.root), at, str(file))
                answer = verb.start(place, fault, LD_PRELOAD=str(library), CLOCK_AHEAD=str(file)).end()
                words = f"an hour back at write {at} of {writes}"
                yield bench.end(verb.title, words, [answer], [place], before, [partial(verb.start, place)])


def compile_clock(library: Path) -> None:
    """Compile `clock.c`. Raises SkippedError if the machine has no C compiler."""
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, CLOCK_SOURCE, "-ldl"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SkippedError(f"the clock cannot be compiled: {error}") from error


def copied(bench: Bench) -> Iterator[Round]:
    """Copy the store at a random moment of a run, then use the copy: status, predict, run."""
    draw = bench.draw("copied")
    seconds = bench.cost(RUN).seconds
    for _ in range(bench.rounds):
        with bench.place(RUN) as place:
            before, after = look(place), draw.uniform(0, seconds)
            call = RUN.start(place)
            time.sleep(after)
            subprocess.run(["cp", "-r", "store", "copy"], cwd=place.root, check=False)  # some files may go while it reads
            answer, copy = call.end(), Place(place.root, "copy")
            uses = (("status", TASK), ("predict", TASK, "the wave and the tide"), RUN.arguments)
            then = [partial(copy.start, use) for use in uses]
            words = f"copied after {after:.2f} of {seconds:.2f} s"
            yield bench.end("run; copy: status, predict, run", words, [answer], [place, copy], before, then)


def pairs(bench: Bench) -> Iterator[Round]:
    """Start two verbs at once, each pair of verbs and each verb with itself. Then call both again, one after the other."""
    for pair in [*itertools.combinations_with_replacement(VERBS.values(), 2)][bench.seed % bench.every :: bench.every]:
        for number in range(max(1, bench.rounds // PAIR_SHARE)):
            with bench.place(*pair) as place:
                before = look(place)
                answers = [call.end() for call in [verb.start(place) for verb in pair]]
                what = " + ".join(verb.title for verb in pair)
                then = [partial(verb.start, place) for verb in pair]
                yield bench.end(what, f"round {number}", answers, [place], before, then)


KINDS: dict[str, Callable[[Bench], Iterator[Round]]] = {
    "killed": killed,
    "full": full,
    "refused": refused,
    "clock": clock,
    "copied": copied,
    "pairs": pairs,
}
"""Name of a kind, as --only takes it -> its rounds."""
