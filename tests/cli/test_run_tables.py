"""Tables on the terminal: they fit 80 columns, say what held a model first, and keep the statistics for `--verbose`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.cli.diff_tables import print_diff
from fsat_tasks.cli.drift_tables import print_after_drift, print_drift
from fsat_tasks.cli.registry_tables import print_history, print_status
from fsat_tasks.cli.run_tables import print_decision, print_findings, print_ladder, print_suspects, what_was_done
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.registry.endings import Ending
from fsat_tasks.registry.next_steps import Decided
from fsat_tasks.store import Artefact
from fsat_tasks.store.files import write_json

REASON = (
    "Not better beyond chance than the champion, version 3: 84.0 % against 80.0 % on the same 300 rows (9 rows gained, 8 lost)."
)
DETAIL = "McNemar's exact test, one-sided (is the model better?): p 0.5 > 0.05; 9 gained, 8 lost; accuracy of the other 0.8"
GATES = [
    GateDecision("accuracy", True, "84.0 % of the 300 query rows get the right label.", 0.84, 0.6, "accuracy 0.84 >= 0.6"),
    GateDecision("champion", False, REASON, 0.5, 0.05, DETAIL),
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def lines_of(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def words_of(text: str) -> str:
    """The text without frames and line breaks."""
    return " ".join(re.sub(r"[^\w\s.,:;%()<>='+-]", " ", " ".join(lines_of(text))).split())


def artefact(folder: Path, notes: dict[str, Any], **files: Any) -> Artefact:
    folder.mkdir()
    for name, content in files.items():
        write_json(folder / f"{name}.json", content)
    manifest = {"step": folder.name, "key": "k", "digest": "d", "notes": notes}
    return Artefact(folder, manifest)


@pytest.mark.parametrize("verbose", [False, True])
def test_decision_says_first_what_held_the_model(verbose: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"served": "model.onnx", "labels": ["a", "b"], "set_thresholds": {}, "scope_threshold": 0.0}
    artefacts = {"publish": artefact(tmp_path / "p", {}), "export": artefact(tmp_path / "m", {}, config=config)}
    (tmp_path / "m" / "model.onnx").touch()
    print_decision(Decided("task", Ending.held, {}, GATES, None), artefacts, verbose)
    out = capsys.readouterr().out
    table = [line for line in lines_of(out) if line.startswith(("┏", "│", "└"))]
    assert {len(line) for line in table} <= set(range(81))
    held, passed = (next(i for i, line in enumerate(table) if name in line) for name in ("champion", "accuracy"))
    assert held < passed
    assert REASON.split(":")[0] in words_of(out)
    assert ("McNemar's exact test" in words_of(out)) == verbose


@pytest.mark.parametrize("verbose", [False, True])
def test_ladder_shows_sentences_and_its_statistics_on_demand(
    verbose: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rungs = [
        {"name": "prototypes", "taken": True, "reason": "The first rung.", "log_loss": 1.2, "accuracy": 0.5, "detail": ""},
        {"name": "probe", "taken": False, "reason": "No better.", "log_loss": 1.3, "accuracy": 0.6, "detail": "log-loss +0.1"},
        {"name": "body", "taken": False, "reason": "It would take long.", "log_loss": None, "accuracy": None, "detail": ""},
    ]
    print_ladder(artefact(tmp_path / "t", {"rung_seconds": {"prototypes": 0.5, "probe": 1.0}}, ladder=rungs), verbose)
    out = capsys.readouterr().out
    assert max(map(len, lines_of(out))) <= 80
    assert "50.0 %" in out and "It would take long." in out
    assert ("log-loss 1.300, 1.0 s; change: log-loss +0.1" in words_of(out)) == verbose


@pytest.mark.parametrize("verbose", [False, True])
def test_drift_shows_sentences_and_its_statistics_on_demand(verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
    test = {"test": "features", "drift": True, "says": "The texts differ.", "detail": "p 0.001", "p_value": 0.001}
    share = {"label": "a" * 90, "reference": 0.1, "window": 0.4, "window_low": 0.3, "window_high": 0.5}
    drift = {
        "task": "task",
        "drift": True,
        "tests": [test],
        "classes": [share],
        "unlike": [{"text": "a text " * 40, "scope": -3.0}],
        "total_variation": {"estimate": 0.3, "low": 0.2, "high": 0.4},
        "window": {"rows": 19},
        "reference": {"rows": 2000, "says": "the rows"},
    }
    print_drift(drift, "new.jsonl", "drift.json", verbose)
    out = capsys.readouterr().out
    assert max(len(line) for line in lines_of(out) if line.startswith("│")) <= 80
    assert "The texts differ." in out and "30.0 % of the rows to another class" in words_of(out)
    assert words_of(out).startswith("task: drift ") and "least like the samples: a text a text" in words_of(out)
    assert "19 rows of new.jsonl; these are few" in words_of(out)
    assert ("p 0.001" in out) == verbose


def test_status_cuts_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    champion = {"version": 12, "metrics": {"accuracy": 0.9}, "time": "2026-01-02T03:04:05+00:00"}
    held_by = {"champion": REASON, "ece": "Off."}
    run = {"action": "hold", "time": "2026-01-03T05:06:07+00:00", "held_by": held_by}
    rest = {"says": "So it is.", "hint": None, "next": [{"command": "fsat run it", "for": "try again"}]}
    print_status([{"task": "n" * 60, "champion": champion, "last_run": run, **rest}], reasons=True)
    out = capsys.readouterr().out
    table = [line for line in lines_of(out) if line.startswith(("┏", "│", "└"))]
    assert max(map(len, table)) <= 80
    assert out.count("n") >= 60 and "2026-01-02" in out and "90.0 %" in out
    assert "05:06 hold: champion, ece" in " ".join(line.split("│")[-2].strip() for line in table if line.startswith("│"))
    assert REASON in words_of(out) and "  fsat run it  # try again" in lines_of(out)


def test_history_has_whole_dates_on_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"version": 12, "action": "rollback", "metrics": {"micro_f1": 0.912}, "time": "2026-01-02T03:04:05+00:00"}
    print_history("task", [entry | {"model": {"key": "c" * 64}, "user": "u" * 40, "reason": "because " * 20}])
    out = capsys.readouterr().out
    assert max(map(len, lines_of(out))) <= 80
    assert "2026-01-02 03:04" in out and "v12 cccccccc" in out and out.count("u") >= 40


def test_status_and_diff_show_the_figures_of_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    before, after = {"accuracy": 0.3, "mae": 0.8}, {"accuracy": 0.4, "mae": 0.65}
    champion = {"version": 1, "metrics": after, "time": "2026-01-02T03:04:05+00:00"}
    print_status([{"task": "stars", "champion": champion, "last_run": None}])
    assert "off by 0.650" in capsys.readouterr().out
    sides = {name: {"version": i, "model": {"key": str(i)}} for i, name in enumerate(("before", "after"), 1)}
    figures = {name: {"before": before[name], "after": after[name]} for name in ("accuracy", "mae")}
    print_diff(
        {**sides, "figures": figures, "changed": [], "targets": ["one_label"] * 2, "compared": 9, "settings": {}, "data": {}}
    )
    words = words_of(capsys.readouterr().out)
    assert "off by, on average 0.800 0.650 -0.150" in words and "30.0 % 40.0 % +10.0 points" in words


def test_findings_name_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([{"file": "samples", "lines": [3, 4], "message": "no text"}, {"file": "query", "lines": [2], "message": "x"}])
    assert lines_of(capsys.readouterr().err) == ["warning: samples, lines 3, 4: no text", "warning: query, line 2: x"]


@pytest.mark.parametrize(
    ("step", "notes", "words"),
    [
        ("validate", {"samples": 1, "query": 420, "texts": 9, "warnings": 0}, "1 sample, 420 query rows, 0 warnings"),
        ("extract", {"rows": 1234, "encoded": 34, "truncated": 1}, "34 texts of 1,234 encoded, 1 text cut"),
        ("tune", {"rung": "pool", "samples": 140, "classes": 14}, "rung pool, tuned on 140 samples of 14 classes"),
        ("evaluate", {"accuracy": 0.652, "ece": 0.049, "promote": True}, "65.2 % right, probabilities off by 4.9 points, passed"),
        (
            "evaluate",
            {"accuracy": 0.78, "micro_f1": 0.931, "ece": 0.027, "promote": True},
            "micro-F1 93.1 %, probabilities off by 2.7 points, passed",
        ),
        (
            "evaluate",
            {"accuracy": 0.365, "mae": 0.7448, "constant_mae": 1.0, "ece": 0.103, "promote": False},
            "off by 0.745 (a constant answer: 1.000), probabilities off by 10.3 points, held",
        ),
        (
            "evaluate",
            {"accuracy": 0.35, "mae": 1.94, "constant_mae": 2.56, "interval_coverage": 0.917, "ece": 0.03, "promote": True},
            "off by 1.940 (a constant answer: 2.560), 91.7 % of the 90 % intervals hold, passed",
        ),
        ("tune", {"rung": "probe", "samples": 48, "classes": 0}, "rung probe, tuned on 48 samples"),
        ("export", {"served": "model.onnx", "promote": False}, "model.onnx is served, held"),
        ("publish", {"promote": True}, "promote"),
        ("other", {"b": 1, "a": 0.12345, "c": {}}, "a 0.123, b 1"),
    ],
)
def test_notes_of_a_step_are_words(step: str, notes: dict[str, Any], words: str) -> None:
    assert what_was_done(step, notes) == words


def test_verbose_notes_are_all_of_them() -> None:
    assert what_was_done("tune", {"rung": "pool", "log_loss": 1.1644, "seconds": {}}, verbose=True) == "log_loss 1.16, rung pool"


def test_end_of_a_run_has_three_warnings_and_the_number_of_suspects(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [{"file": "samples", "lines": [number], "message": "odd"} for number in range(2, 7)]
    print_findings(findings, 3, "desk")
    print_suspects("desk", 3)
    print_suspects("desk", 1)
    print_suspects("desk", 0)
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        *(f"warning: samples, line {number}: odd" for number in (2, 3, 4)),
        "and 2 more: fsat validate desk",
    ]
    assert out.splitlines() == ["3 samples look mislabelled: fsat open desk", "1 sample looks mislabelled: fsat open desk"]
    print_findings(findings[:3], 3, "desk")
    assert "more" not in capsys.readouterr().err


def test_drift_ends_with_commands_that_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    print_after_drift("desk", "in/new texts.csv")
    commands = [line.split("  # ")[0].strip() for line in lines_of(capsys.readouterr().out) if "  # " in line]
    assert commands == [
        "fsat apply desk 'in/new texts.csv' --out labelled",
        "fsat add desk 'labelled/new texts.csv/review.csv'",
        "fsat run desk",
    ]
