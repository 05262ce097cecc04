"""Parts of a round that all kinds of fault share: the copied place, the draws, the cost of a call, and the end of the round."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.call import Answer, Call
from benchmarks.faults.inject import COUNT, Fault
from benchmarks.faults.losses import Losses, State, find_losses
from benchmarks.faults.place import Place, Verb
from benchmarks.faults.rounds import Round

__all__ = ["Bench", "Cost", "SkippedError"]


class SkippedError(Exception):
    """A kind of fault cannot be made on this machine. The message says why."""


@dataclass(frozen=True)
class Cost:
    """Time, writes and bytes of a call without a fault."""

    seconds: float
    writes: int
    """Number of writes below `Bench.cost`'s folder, as `inject.py` counts them."""
    store_bytes: int
    """Size of the store after the call, in whole pages of a disk in memory."""


@dataclass
class Bench:
    """Place, draws and options of the rounds, for all kinds of fault."""

    template: Place
    """The place that each round copies."""
    folder: Path
    """Folder for the copies."""
    rounds: int
    every: int
    """Step through the writes that are refused and the pairs of verbs that are started: 1 for all, 2 for every second one."""
    seed: int
    made: int = 0

    def draw(self, kind: str) -> random.Random:
        """Return the draws of a kind of fault. They do not depend on the other kinds."""
        return random.Random(f"{kind} {self.seed}")

    @contextmanager
    def place(self, *verbs: Verb) -> Iterator[Place]:
        """Context manager with a place in which these verbs have something to do."""
        self.made += 1
        place = self.template.copy(self.folder / f"round-{self.made}")
        try:
            for ready in {verb.ready for verb in verbs}:
                ready(place)
            yield place
        finally:
            shutil.rmtree(place.root, ignore_errors=True)

    def cost(self, verb: Verb, below: Callable[[Place], Path] = lambda place: place.root) -> Cost:
        """Measure a call without a fault.

        Raises:
            RuntimeError: the call failed.
        """
        with self.place(verb) as place:
            counted = place.root / "count.txt"
            call = verb.start(place, Fault(COUNT, str(below(place)), file=str(counted)))
            answer = call.end()
            seconds = time.perf_counter() - call.started
            if not answer.ended_well:
                raise RuntimeError(f"{verb.title} ended with {answer.code} without a fault: {answer.error}")
            return Cost(seconds, int(counted.read_text()), pages(place.store))

    def end(
        self,
        what: str,
        fault: str,
        answers: Sequence[Answer],
        places: Sequence[Place],
        before: State,
        then: Sequence[Callable[[], Call]],
    ) -> Round:
        """End a round: look for losses, make the calls that come after the fault, and look again.

        Args:
            places: the place, and the one with the copy of the store if there is one.
            before: the place before the fault.
            then: functions that start the calls.
        """
        found = [find_losses(place, before) for place in places]
        after = [start().end() for start in then]
        found += [find_losses(place, before) for place in places]
        return Round(what, fault, answers, after, _together(found))


def pages(folder: Path) -> int:
    """Return the bytes that the files of a folder take on a disk in memory."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def _together(found: Sequence[Losses]) -> Losses:
    return {kind: list(dict.fromkeys(what for losses in found for what in losses[kind])) for kind in found[0]}
