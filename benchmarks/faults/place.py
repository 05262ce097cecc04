"""A place to work in: a repository with a task, a store with two published models, and the calls that write there.

The place is made once, and each round works on a copy.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.call import Answer, Call
from benchmarks.faults.inject import Fault
from benchmarks.faults.whole import leave_rubbish
from benchmarks.open_gates import OPEN_GATES
from benchmarks.word_encoder import draw_text, write_word_encoder

__all__ = ["TASK", "VERBS", "Place", "Verb", "prepare"]

TASK = "small"
CLASSES = ("sea", "wood", "town")
Row = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """Folders of one round."""

    root: Path
    store_name: str = "store"

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def samples(self) -> Path:
        return self.repository / "data" / TASK / "samples.csv"

    @property
    def store(self) -> Path:
        return self.root / self.store_name

    @property
    def clone(self) -> Path:
        """The store of another clone of the repository. Only `checkout` uses it."""
        return self.root / "clone"

    @property
    def added(self) -> Path:
        """File with the rows that `add` appends."""
        return self.root / "rows.csv"

    @property
    def out(self) -> Path:
        """Folder of `apply --out`."""
        return self.root / "out"

    def copy(self, root: Path) -> Place:
        shutil.copytree(self.root, root, symlinks=True)
        return Place(root)

    def start(
        self,
        arguments: Sequence[str],
        store: Path | None = None,
        fault: Fault | None = None,
        before: Sequence[str] = (),
        **more: str,
    ) -> Call:
        """Start fsat here. `store` is another store than that of the place, `more` are environment variables; see `Call`."""
        variables = {
            **more,
            "FSAT_DATA": str(self.repository / "data"),
            "FSAT_STORE": str(store or self.store),
            "FSAT_ENCODERS": str(self.root / "encoders"),
        }
        return Call(arguments, self.root, variables, fault, before)


def _nothing(place: Place) -> None:
    pass


def _grow(place: Place) -> None:
    """Add rows to the samples, as a person would."""
    with place.samples.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(draw_rows(2, seed=4))


@dataclass(frozen=True)
class Verb:
    """A call that writes."""

    title: str
    arguments: tuple[str, ...]
    ready: Callable[[Place], None] = field(default=_nothing)
    """Function that gives the call something to do."""
    elsewhere: bool = False
    """True if the call uses the store of another clone."""

    def start(self, place: Place, fault: Fault | None = None, before: Sequence[str] = (), **more: str) -> Call:
        return place.start(self.arguments, place.clone if self.elsewhere else None, fault, before, **more)


VERBS = {
    verb.title: verb
    for verb in (
        Verb("run", ("run", TASK), _grow),
        Verb("apply --out", ("apply", TASK, "traffic.csv", "--out", "out")),
        Verb("add", ("add", TASK, "rows.csv")),
        Verb("promote", ("promote", TASK, "1")),
        Verb("rollback", ("rollback", TASK, "--to", "1")),
        Verb("gc", ("gc", "--keep-days", "0")),
        Verb("snapshot", ("snapshot", TASK)),
        Verb("checkout", ("checkout", TASK, "1", "--out", "version"), elsewhere=True),
    )
}
"""Title -> call, for every verb that writes. A second call of the same verb has nothing left to do, and ends well."""


def draw_rows(shots: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [(draw_text((kind,), rng), kind) for kind in CLASSES for _ in range(shots)]


def prepare(root: Path) -> Place:
    """Make the place: versions 1 and 2 are published, 2 is the champion, 1 is kept in the repository and applied to a file.

    Raises:
        RuntimeError: a call failed.
    """
    place = Place(root)
    write_word_encoder(root / "encoders" / "words")
    _write_rows(place.samples, draw_rows(4, seed=1))
    settings: dict[str, Any] = {"samples": "samples.csv", "encoder": {"name": "words"}, "device": "cpu", "gates": OPEN_GATES}
    (place.samples.parent / "task.yaml").write_text(json.dumps({**settings, "tune": {"body": "off"}}), "utf-8")
    _write_rows(place.added, draw_rows(2, seed=3))
    _write_rows(root / "traffic.csv", draw_rows(10, seed=5))
    place.out.mkdir()
    (place.out / "notes.txt").write_text("not of fsat\n", "utf-8")
    place.clone.mkdir()
    _make_repository(place.repository)
    _publish(place)
    _call(place, *VERBS["apply --out"].arguments)
    _call(place, *VERBS["snapshot"].arguments)
    shutil.rmtree(place.repository / "published" / TASK / "v1")  # as in a new clone: DVC's cache has it
    _write_rows(root / "more.csv", draw_rows(2, seed=2))
    _call(place, "add", TASK, "more.csv")
    _publish(place)
    leave_rubbish(place.store, 0)
    shutil.rmtree(place.repository / ".dvc" / "tmp")
    return place


def _publish(place: Place) -> None:
    """Run the task, and make its model the champion even if it was held."""
    _call(place, "run", TASK)
    newest = json.loads(_call(place, "history", TASK, "--json").output)["result"]["entries"][-1]
    _call(place, "promote", TASK, newest["model"]["key"])


def _call(place: Place, *arguments: str) -> Answer:
    answer = place.start(arguments).end()
    if not answer.ended_well:
        raise RuntimeError(f"fsat {' '.join(arguments)} ended with {answer.code}: {answer.error}")
    return answer


def _write_rows(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def _make_repository(folder: Path) -> None:
    """Make a Git repository with DVC of a folder."""
    (folder / ".dvc").mkdir()  # what `dvc init` writes
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n", "utf-8")
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n", "utf-8")
    identity = {f"GIT_{who}_{what}": "fsat@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "a task"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **identity}, check=True)
