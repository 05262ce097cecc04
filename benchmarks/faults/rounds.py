"""One round of a fault, and the rows of the table that rounds are counted in."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.faults.call import Answer
from benchmarks.faults.losses import KINDS_OF_LOSS, Losses

__all__ = ["Round", "failed", "rows_of"]

Row = dict[str, Any]
TAIL = 2000
"""Number of characters of an error that a finding keeps."""


@dataclass(frozen=True)
class Round:
    """A fault, and what came of it."""

    what: str
    """The row of the table: the calls, or the error."""
    fault: str
    """The fault, in words that tell it from the faults of other rounds."""
    answers: Sequence[Answer]
    """Answers of the calls with the fault."""
    then: Sequence[Answer]
    """Answers of the calls after the fault."""
    lost: Losses

    @property
    def ended(self) -> list[Answer]:
        """The calls that were not killed."""
        return [answer for answer in [*self.answers, *self.then] if answer.code != -signal.SIGKILL]

    @property
    def tracebacks(self) -> int:
        return sum(answer.traceback for answer in self.ended)

    @property
    def unclear(self) -> list[Answer]:
        """The calls that neither ended well nor said in one line why not. A call after the fault that hung is one of them."""
        hung = [answer for answer in self.then if answer.code == -signal.SIGKILL]
        return [*(answer for answer in self.ended if not answer.clear), *hung]


def rows_of(rounds: Iterable[Round]) -> list[Row]:
    """Count the rounds, one row for each `what`."""
    groups: dict[str, list[Round]] = {}
    for one in rounds:
        groups.setdefault(one.what, []).append(one)
    return [_row(what, group) for what, group in groups.items()]


def failed(row: Row) -> bool:
    """Return whether anything was lost, a traceback was seen, or a call did not say clearly what was wrong."""
    return bool(row["rounds_with_a_loss"] or row["tracebacks"] or row["unclear"])


def _row(what: str, rounds: list[Round]) -> Row:
    answers = [answer for one in rounds for answer in one.answers]
    then = [answer for one in rounds for answer in one.then]
    return {
        "what": what,
        "rounds": len(rounds),
        "exit_codes": _counts(_code(answer) for answer in answers),
        "said": _counts(answer.sentence for answer in answers if not answer.ended_well and answer.sentence),
        "lost": {kind: sum(bool(one.lost[kind]) for one in rounds) for kind in KINDS_OF_LOSS},
        "rounds_with_a_loss": sum(any(one.lost.values()) for one in rounds),
        "tracebacks": sum(one.tracebacks for one in rounds),
        "unclear": sum(len(one.unclear) for one in rounds),
        "then": len(then),
        "then_ended_well": sum(answer.ended_well for answer in then),
        "then_said": _counts(answer.sentence for answer in then if not answer.ended_well and answer.sentence),
        "findings": [_finding(one) for one in rounds if any(one.lost.values()) or one.unclear],
    }


def _code(answer: Answer) -> str:
    return "killed" if answer.code == -signal.SIGKILL else str(answer.code)


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _finding(one: Round) -> dict[str, Any]:
    return {
        "fault": one.fault,
        "lost": {kind: what for kind, what in one.lost.items() if what},
        "unclear": [{"code": answer.code, "error": answer.error[-TAIL:]} for answer in one.unclear],
    }
