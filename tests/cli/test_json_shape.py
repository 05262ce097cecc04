"""Output of verbs with `--json`: one object, for results and for errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from json_result import failure, result

Cli = Callable[..., tuple[int, str, str]]


def test_result_stands_with_schema_verb_and_exit_code(cli: Cli, data_root: Path, store_root: Path) -> None:
    whole = json.loads(cli("status", "--json")[1])
    assert whole == {"schema": 1, "command": "status", "exit_code": 0, "result": {"tasks": []}, "error": None}


def test_error_has_its_parts_and_stays_a_sentence_on_standard_error(cli: Cli, data_root: Path, store_root: Path) -> None:
    code, out, err = cli("validate", "nowhere", "--json")
    assert (code, json.loads(out)["exit_code"]) == (2, 2)
    error = failure(out)
    assert (error["kind"], error["where"], error["got"]) == ("TaskError", "task 'nowhere'", "none of that name")
    assert error["fix"].endswith("fsat init nowhere --samples FILE.")
    assert err == f"fsat: {error['message']}\n"


def test_command_line_that_cannot_be_read_is_an_error_too(cli: Cli) -> None:
    code, out, err = cli("run", "task", "--json", "--shots", "none")
    assert (code, failure(out)["kind"], failure(out)["where"]) == (2, "UsageError", None)
    assert "Usage: fsat run [OPTIONS] [TASK]..." in err


def test_mistake_in_fsat_is_an_error_with_its_type(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fsat_tasks.tasks import workspace

    monkeypatch.setattr(workspace.Workspace, "task_names", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli("status", "--json")
    assert failure(capsys.readouterr().out)["kind"] == "ZeroDivisionError"


def test_stop_is_an_error_that_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch, data_root: Path) -> None:
    from fsat_tasks.tasks import workspace

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workspace.Workspace, "task_names", stop)
    code, out, err = cli("status", "--json")
    assert (code, failure(out)["kind"]) == (130, "Stopped")
    assert err == "fsat: stopped. The same command goes on from where it stopped.\n"


def test_word_after_two_dashes_is_no_option(cli: Cli, data_root: Path, store_root: Path) -> None:
    code, out, _ = cli("predict", "nowhere", "--", "--json")
    assert (code, out) == (2, "")


def test_doctor_path_and_open_have_it(demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    import webbrowser

    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert {check["name"] for check in result(cli("doctor", "--json")[1])["checks"]} >= {"versions", "encoders", "store", "data"}
    assert Path(result(cli("path", "support-intents", "--json")[1])["path"], "config.json").is_file()
    assert result(cli("open", "support-intents", "--json")[1])["opened"] is False
