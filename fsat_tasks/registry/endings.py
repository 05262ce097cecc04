"""The ending of a run: what became of its model, once the registry has recorded the run's decision."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from fsat_tasks.registry.history import Entry, by_hand

__all__ = ["Ending", "ending_of"]


class Ending(StrEnum):
    """Outcome of a run for its model."""

    promoted = "promoted"
    """The run has made it the champion."""
    unchanged = "unchanged"
    """It was the champion before."""
    held = "held"
    """A gate held it."""
    overruled = "overruled"
    """A gate held it, but a person has made it the champion."""
    asked = "asked"
    """All gates passed it, and a person must still approve it."""
    kept = "kept"
    """All gates passed it, but a person has chosen another champion."""
    would_promote = "would promote"
    """It was a dry run, and all gates passed the model."""
    would_hold = "would hold"
    """It was a dry run, and a gate held the model."""

    @property
    def is_hold(self) -> bool:
        """True if something keeps the model from being the champion. A command then ends with exit code 3."""
        return self in (Ending.held, Ending.asked, Ending.would_hold)


def ending_of(decision: Mapping[str, Any], champion: Entry | None, before: int, awaits: bool, dry_run: bool) -> Ending:
    """Return the ending of a run.

    Args:
        decision: content of decision.json.
        champion: the champion's entry after the run; None if there is none.
        before: the champion's version before the run; 0 if there was none.
        awaits: whether a person must still approve the decision.
        dry_run: whether the run was a dry run.
    """
    if dry_run:
        return Ending.would_promote if decision["promote"] else Ending.would_hold
    is_champion = champion is not None and champion["model"]["digest"] == decision["model"]["digest"]
    if not decision["promote"]:
        return Ending.overruled if is_champion else Ending.held
    if champion is None or not is_champion:
        return Ending.asked if awaits else Ending.kept
    return Ending.unchanged if by_hand(champion) or champion["version"] == before else Ending.promoted
