"""The classes of a task's samples in words, for findings: which class has how many samples, and which classes look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from fsat_tasks.data.look_alikes import LookAlike, find_look_alikes
from fsat_tasks.quality.wording import plural
from fsat_tasks.targets.target import Target

__all__ = ["CROWD", "ClassCounts", "names"]

CROWD = 1_000
"""Number of samples of a class above which the checks warn. It is twenty times the 50 samples for which fsat is made. So a class
that is merely large gives no warning, and a file of another kind, such as a whole archive, gives one."""
MOST = 10
"""Maximum number of classes that a sentence names."""


class ClassCounts:
    """Number of samples of each class.

    Args:
        labels: label of each sample; None if it has none.
        lines: line of each sample.
        target: what a label is.
    """

    def __init__(self, labels: Iterable[str | None], lines: Iterable[int], target: Target) -> None:
        self.lines: dict[str, list[int]] = {}
        """Class -> the lines of its samples."""
        for label, line in zip(labels, lines, strict=True):
            for part in target.parts(label) if label else ():
                self.lines.setdefault(part, []).append(line)
        self.counts = Counter({label: len(own) for label, own in self.lines.items()})

    def few(self, least: int) -> str:
        """Name the classes with fewer samples than `least`, and what they look like."""
        small = {label: count for label, count in sorted(self.counts.items()) if count < least}
        alike = self.alike(small)
        return _counted(small) + (f"; {alike}" if alike else "")

    def say_few(self, least: int) -> str:
        """Say how many classes have fewer samples than `least`; empty if none has."""
        few = sum(count < least for count in self.counts.values())
        return f"classes with fewer than {least} samples: {few:,} of {len(self.counts):,}" if few else ""

    def uneven(self) -> str:
        """Name the largest and the smallest class."""
        (large, most), (small, least) = (self._ranked()[at] for at in (0, -1))
        return f"class {large!r} has {plural(most, 'sample')} and {small!r} {least:,}"

    def crowds(self) -> str:
        """Name the classes with more than CROWD samples."""
        return _counted({label: count for label, count in self._ranked() if count > CROWD})

    def alike(self, labels: Iterable[str] | None = None) -> str:
        """Say which of the labels look like the label of a class, and on which lines they are. Empty if none does.

        Args:
            labels: labels to look at; by default those of all classes. A label need not be one of a class.
        """
        return "; ".join(f"labels {one.show(self._where(one.label))}" for one in self.look_alikes(labels)[:MOST])

    def look_alikes(self, labels: Iterable[str] | None = None) -> list[LookAlike]:
        """Return which of the labels look like the label of a class; see `alike`. The larger class is the second label."""
        ranked = [label for label, _ in self._ranked() if label == label.strip()]  # another check is about blanks around labels
        return find_look_alikes(reversed(ranked) if labels is None else labels, ranked)

    def _ranked(self) -> list[tuple[str, int]]:
        """Return the classes and their numbers of samples: the largest class first, and of equal ones the first in the file."""
        return self.counts.most_common()

    def _where(self, label: str) -> str:
        lines = self.lines.get(label, [])
        more = ", ..." if len(lines) > MOST else ""
        return f" ({'lines' if len(lines) > 1 else 'line'} {', '.join(map(str, lines[:MOST]))}{more})" if lines else ""


def names(labels: Iterable[str]) -> str:
    """Return at most MOST labels in quotes."""
    every = list(labels)
    more = f" and {len(every) - MOST:,} more" if len(every) > MOST else ""
    return ", ".join(map(repr, every[:MOST])) + more


def _counted(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{label!r} ({count:,})" for label, count in list(counts.items())[:MOST])
    return shown + (f" and {len(counts) - MOST:,} more" if len(counts) > MOST else "")
