"""Nothing that a user gives reaches the terminal as an escape: not in answers, tables, errors or the log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from json_result import result
from promoted_models import TASK, registry_of
from task_folder import Row

Cli = Callable[..., tuple[int, str, str]]

HOSTILE = "red \x1b[31m \x9b31m \x1b]0;title\x07 \x7f back\b \u202eturned \u2028 end"
SHOWN = r"red \u001b[31m \u009b31m \u001b]0;title\u0007 \u007f back\u0008 \u202eturned \u2028 end"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def test_predict_prints_every_text_as_json_of_the_same_text(demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    code, out, _ = cli("predict", "support-intents", HOSTILE)
    assert (code, RAW.search(out), json.loads(out)["text"]) == (0, None, HOSTILE)
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize("coloured", [False, True])
def test_history_shows_a_reason_without_its_escapes(
    coloured: bool, store_root: Path, data_root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    if coloured:
        monkeypatch.setenv("FORCE_COLOR", "1")
    registry_of(store_root, 1, 2)
    monkeypatch.setenv("COLUMNS", "300")
    assert cli("rollback", TASK, "--reason", HOSTILE.replace("\u2028 ", ""))[0] == 0
    code, out, _ = cli("history", TASK)
    own = re.sub(r"\x1b\[[\d;]*m", "", out)  # the colours of the table itself
    assert (code, RAW.search(own), own != out) == (0, None, coloured)
    assert SHOWN.replace(r"\u2028 ", "") in own
    assert result(cli("history", TASK, "--json")[1])["entries"][-1]["reason"] == HOSTILE.replace("\u2028 ", "")


def test_error_and_warning_show_a_label_without_its_escapes(
    make_task: Callable[..., str], store_root: Path, toy_rows: list[Row], cli: Cli
) -> None:
    label = "red \x1b[31m \x9b31m"
    name = make_task([*toy_rows, ("alone of its kind", label)])
    code, out, err = cli("validate", name)
    assert (code, RAW.search(out + err)) == (2, None)
    assert "'red " in err
