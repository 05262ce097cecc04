"""task.yaml: accepted values, and errors that name the file, the key, the expected value and the value that came."""

from __future__ import annotations

import json
import pickle  # noqa: TID251
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.task import Task, load_task


@pytest.fixture
def load(data_root: Path) -> Callable[..., Task]:
    """Load a task whose task.yaml has this content, beside an empty s.csv."""
    folder = data_root / "task"
    folder.mkdir()
    (folder / "s.csv").touch()

    def from_content(content: str | bytes, **overrides: Any) -> Task:
        (folder / "task.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_task("task", overrides)

    return from_content


def test_only_samples_are_required(load: Callable[..., Task]) -> None:
    task = load("samples: s.csv\n")
    assert (task.name, task.spec.samples, task.spec.query, task.dry_run) == ("task", "s.csv", None, False)
    assert (task.spec.text, task.spec.label, task.spec.shots, task.spec.seed) == ("text", "label", None, 0)
    assert task.file("samples") == (task.folder / "s.csv").resolve()
    assert task.file("query") is None


def test_ending_of_a_file_may_be_in_capitals(load: Callable[..., Task], data_root: Path) -> None:
    (data_root / "task" / "S.CSV").touch()
    assert load("samples: S.CSV\n").spec.samples == "S.CSV"


def test_specification_is_frozen(load: Callable[..., Task]) -> None:
    task = load("samples: s.csv\n")
    with pytest.raises(ValidationError, match="frozen"):
        task.spec.seed = 3


def test_labels_like_no_and_on_stay_text(load: Callable[..., Task]) -> None:
    task = load("samples: s.csv\nclasses: {no: refusal, on: switched on, y: yes please, off: off}\n")
    assert task.spec.classes == {"no": "refusal", "on": "switched on", "y": "yes please", "off": "off"}


def test_labels_that_look_like_other_types_are_text_in_the_files_own_letters(load: Callable[..., Task]) -> None:
    labels = ["b", "007", "true", "1.0", "null", "no", "~", "0x1F", "2024-02-30", "1_000", "<<", ".nan", "12:30:45", ""]
    written = "".join(f"  {label}: words\n" for label in labels)
    assert list(load(f"samples: s.csv\nclasses:\n{written}").spec.classes) == labels
    quoted = ", ".join(f'"{label}": words' for label in labels)
    assert list(load(f"samples: s.csv\nclasses: {{{quoted}}}\n").spec.classes) == labels


def test_dates_are_text_and_an_emoji_may_be_two_escapes_as_json_writes_it(load: Callable[..., Task]) -> None:
    task = load(json.dumps({"samples": "s.csv", "classes": {"🎉": "party"}}))
    assert task.spec.classes == {"🎉": "party"}
    assert load("samples: s.csv\ndescription: 2024-02-30\n").spec.description == "2024-02-30"


def test_alias_gives_the_value_of_its_anchor_and_many_of_them_cost_nothing(load: Callable[..., Task]) -> None:
    task = load("samples: s.csv\nschedules: {tune: &daily '@daily', watch: *daily}\n")
    assert task.spec.schedules.watch == "@daily"
    bomb = "samples: s.csv\nslices:\n- &a0 [x]\n" + "".join(f"- &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(50))
    with pytest.raises(TaskError, match=r"line 3: slices\.0: expected text, got a list\. 50 more problem"):
        load(bomb)


def test_overrides_win_and_none_keeps_the_tasks_own(load: Callable[..., Task]) -> None:
    content = "samples: s.csv\nshots: 5\nseed: 1\nencoder: {name: own, max_tokens: 64}\n"
    assert load(content, shots=None, seed=None, encoder=None, device=None).spec.shots == 5
    spec = load(content, shots=2, seed=9, encoder="other", device="cpu").spec
    assert (spec.shots, spec.seed, spec.encoder.name, spec.encoder.max_tokens, spec.device) == (2, 9, "other", 64, "cpu")
    assert load("samples: s.csv\n", encoder="other").spec.encoder.name == "other"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected keys and values, at least `samples: FILE`, got nothing"),
        ("- a\n", ", line 1: expected keys and values, at least `samples: FILE`, got a list"),
        ("description: x\n", "samples: expected this key, got nothing"),
        ("samples: s.csv\nquery_rows: q.csv\n", "query_rows: expected one of the keys description, samples,"),
        ("samples: s.csv\nqurey: q.csv\n", "got an unknown key. Did you mean 'query'?"),
        ("samples: s.csv\ngates: {min_acuracy: 1}\n", "gates.min_acuracy: .* unknown key. Did you mean 'min_accuracy'?"),
        ("samples: s.csv\nencoder: {nmae: x}\n", "encoder.nmae: expected one of the keys name, max_tokens,.*'name'"),
        ("samples: s.csv\nshots: five\n", ", line 2: shots: expected a whole number, got 'five'"),
        ("samples: s.csv\nshots: 2.0\n", "shots: expected a whole number, got 2.0"),
        ("samples: s.csv\nshots: true\n", "shots: expected a whole number, got true"),
        ("samples: s.csv\nshots: 0\n", "shots: expected 1 or more, got 0"),
        ("samples: s.csv\nschedules: {tune: soon}\n", "schedules.tune: expected a cron line .* got 'soon'"),
        ("samples: s.csv\nschedules: {watch: '61 3 * * 1'}\n", "schedules.watch: expected a cron line .*, got '61 3"),
        ("samples: s.csv\nschedules: {tune: '0 0 30 2 *'}\n", "schedules.tune: expected a cron line .*, got '0 0 30"),
        ("samples: s.csv\nschedules: {tune: 'R R * * *'}\n", "schedules.tune: expected a cron line .*, got 'R R"),
        ("samples: s.csv\nschedules: {apply: '0 0 3 * * 1'}\n", "schedules.apply: expected a cron line .*, got '0 0 3"),
        ("samples: s.csv\ntriggers: {apply: new}\n", "triggers.apply: expected a list such as [a, b], got 'new'"),
        ("samples: s.csv\nseed: -1\n", "seed: expected 0 or more, got -1"),
        ("samples: s.csv\ngates: {max_ece: 2}\n", "gates.max_ece: expected 1 or less, got 2"),
        ("samples: s.csv\ngates: {max_ece: .nan}\n", "gates.max_ece: expected 1 or less, got .nan"),
        ("samples: s.csv\ndevice: tpu\n", "device: expected 'auto', 'cpu' or 'cuda', got 'tpu'"),
        ("samples: s.csv\nclasses: [a, b]\n", "classes: expected keys and values, got a list"),
        ("samples: s.csv\nclasses: {one: 1}\n", 'classes.one: expected text, got 1. In quotes it is text: "1".'),
        ("samples: 7\n", ", line 1: samples: expected text, got 7."),
        ("samples: s.pdf\n", "samples: expected a .csv, .tsv, .xlsx, .json, .jsonl, .parquet or .arrow file, got 's.pdf'"),
        ("samples: s.csv\nencoder: minilm\n", "encoder: expected keys and values, got 'minilm'"),
        ("samples: s.csv\nshots: x\nseed: y\n", "shots: .*1 more problem(s) in this file."),
        ("samples: other.csv\n", "samples: expected a file in .*/task, got 'other.csv', which is not there. Files there: s.csv"),
        (f"samples: {'a' * 300}.csv\n", "samples: expected a file in .*which cannot be reached: File name too long"),
        ("samples: ../task/../x.csv\n", "samples: expected a file inside .*, got '../task/../x.csv'"),
        ("samples: /etc/passwd.csv\n", "samples: expected a file inside .*, got '/etc/passwd.csv'"),
        ('samples: "a\\0.csv"\n', ", line 1: samples: expected text, got a NUL character"),
        (
            'samples: s.csv\ndescription: "a\\ud800"\n',
            r", line 2: description: expected text, got half of a surrogate pair, '\ud800'",
        ),
        (
            'samples: s.csv\nclasses: {"a\\udc00": x}\n',
            r", line 2: classes: expected text, got half of a surrogate pair, '\udc00'",
        ),
        ("samples: s.csv\nquery: ../q.csv\n", "query: expected a file inside .*, got '../q.csv'"),
        ("samples: s.csv\nseed: 1\nseed: 2\n", ", line 3: expected each key once, got 'seed' a second time, after line 2"),
        (
            "samples: s.csv\nclasses: {a: x, a: y}\n",
            ", line 2: classes: expected each key once, got 'a' a second",
        ),
        ("samples: [\n", ", line 2: expected a value or a closing bracket, got the end of the file"),
        ("samples: s.csv\n\tseed: 1\n", ", line 2: expected spaces, got a tab"),
        ("samples: " + "[" * 5000, ", line 1: expected a few levels of values inside values, got too many"),
        (
            "samples: !!python/object/apply:os.getcwd []\n",
            ", line 1: samples: expected a value without a tag, got 'tag:yaml.org,2002:python",
        ),
        ("samples: s.csv\ndescription: caf\xe9\n".encode("latin-1"), ", line 2: expected UTF-8, got the byte 0xe9"),
        ("samples: s.csv\n\0\n", r", line 2: expected text, got the character '\x00'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_file(
    content: str | bytes, message: str, load: Callable[..., Task], data_root: Path
) -> None:
    with pytest.raises(TaskError) as caught:
        load(content)
    said = str(caught.value)
    pattern = message if ".*" in message else re.escape(message)
    assert re.search(pattern.replace("(s)", r"\(s\)"), said), said
    assert said.startswith(str(data_root / "task" / "task.yaml"))
    assert "\n" not in said
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("name", "value"), [("shots", 0), ("seed", -1), ("seed", 2**32), ("device", "tpu")])
def test_overrides_are_checked_like_the_file(name: str, value: object, load: Callable[..., Task]) -> None:
    with pytest.raises(TaskError, match=f"^{name} of this run: expected"):
        load("samples: s.csv\n", **{name: value})


def test_wrong_type_is_said_even_where_an_override_would_hide_it(load: Callable[..., Task]) -> None:
    with pytest.raises(TaskError, match="encoder: expected"):
        load("samples: s.csv\nencoder: minilm\n", encoder="other")


def test_link_out_of_the_folder_is_refused(load: Callable[..., Task], data_root: Path) -> None:
    (data_root / "secret.csv").write_text("text,label\n")
    (data_root / "task" / "link.csv").symlink_to("../secret.csv")
    with pytest.raises(TaskError, match=r"samples: expected a file inside .*, got 'link.csv'"):
        load("samples: link.csv\n")


def test_errors_travel_between_processes_whole() -> None:
    error = TaskError("here", "this", "that", "Do so.")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.fix) == (TaskError, "here: expected this, got that. Do so.", "Do so.")
