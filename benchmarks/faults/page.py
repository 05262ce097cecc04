"""The page of the faults: one table of all kinds, then one table for each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.faults.losses import KINDS_OF_LOSS
from benchmarks.faults.rounds import Row

__all__ = ["page", "summary"]

HEAD = (
    "fault",
    "options",
    "rounds",
    "rounds with a loss",
    "tracebacks",
    "calls without a clear answer",
    "next calls that ended well",
)
TITLES = {
    "killed": "SIGKILL, half at a random moment, half at a random write",
    "full": "a full disk, of several sizes",
    "refused": "a write of a run that the system refuses",
    "clock": "a clock that goes back by an hour",
    "copied": "a store that is copied while a run goes on",
    "pairs": "two verbs at once",
}


def summary(kinds: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of all kinds, in Markdown."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    for kind, title in TITLES.items():
        if kind not in kinds:
            continue
        measured = kinds[kind]
        if "skipped" in measured:
            lines.append(_line([title, f"none: {measured['skipped']}", *["0"] * 4, "not run"]))
            continue
        rows = measured["rows"]
        figures = (str(_total(rows, name)) for name in ("rounds", "rounds_with_a_loss", "tracebacks", "unclear"))
        then = f"{_total(rows, 'then_ended_well')} of {_total(rows, 'then')}"
        lines.append(_line([title, _options(measured), *figures, then]))
    return "\n".join(lines)


def page(kinds: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the results page."""
    parts = ["# Faults of the machine", "", "Written by `python -m benchmarks.faults`.", "", summary(kinds), ""]
    for kind, title in TITLES.items():
        if kind in kinds:
            parts += [f"## {title[0].upper()}{title[1:]}", "", *_section(kinds[kind]), ""]
    return "\n".join(parts).rstrip("\n") + "\n"


def _section(kind: Mapping[str, Any]) -> list[str]:
    place, load = kind["machine"], kind["load_average"]
    about = f"{place['cpu']}, {place['cores']} cores; commit {kind['commit']}; {_options(kind)}; load average before {load:.1f}."
    if "skipped" in kind:
        return [about, "", f"Not run: {kind['skipped']}"]
    head = ("call", "rounds", "exit codes", *KINDS_OF_LOSS, "tracebacks", "next call ended well")
    rows = [
        (
            row["what"],
            str(row["rounds"]),
            ", ".join(f"{code}: {count}" for code, count in row["exit_codes"].items()),
            *(str(row["lost"][name]) for name in KINDS_OF_LOSS),
            str(row["tracebacks"]),
            f"{row['then_ended_well']} of {row['then']}",
        )
        for row in kind["rows"]
    ]
    return [
        about,
        "",
        *map(_line, (head, ["---"] * len(head), *rows)),
        *_sentences("The calls with the fault said:", kind["rows"], "said"),
        *_sentences("The next calls said:", kind["rows"], "then_said"),
    ]


def _sentences(title: str, rows: Iterable[Row], name: str) -> list[str]:
    said: Counter[str] = Counter()
    for row in rows:
        said.update(row[name])
    return ["", title, "", *(f"- {count}: `{sentence}`" for sentence, count in said.most_common())] if said else []


def _options(kind: Mapping[str, Any]) -> str:
    return "`" + " ".join(f"--{name} {value}" for name, value in kind["options"].items()) + "`"


def _total(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] for row in rows)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
