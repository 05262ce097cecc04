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


def test_init_says_what_came_in(cli: Cli, data_root: Path, store_root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("body,queue\na cat,pets\na dog,pets\na plane,travel\n,travel\n")
    code, out, _ = cli("init", "mine", "--samples", str(tmp_path / "mine.csv"), "--json")
    made = result(out)
    assert (code, made["task"], made["folder"]) == (0, "mine", str(data_root / "mine"))
    samples = made["files"][0]
    assert (samples["for"], samples["text"], samples["label"], samples["rows"]) == ("samples", ["body"], "queue", 3)
    assert (samples["classes"], samples["left_out"]) == ({"pets": 2, "travel": 1}, {"no text": 1})


def test_predict_has_all_answers_in_one_object(
    demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    lines = [json.loads(line) for line in cli("predict", "support-intents", "charged twice")[1].splitlines()]
    answered = result(cli("predict", "support-intents", "charged twice", "--json")[1])
    assert answered == {"task": "support-intents", "answers": lines}
    assert failure(cli("predict", "support-intents", "--file", "none.csv", "--json")[1])["where"] == "--file"
