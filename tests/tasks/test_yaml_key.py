"""A key that is added to a task.yaml: everything else in the file stays as it is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.yaml_file import parse_yaml
from fsat_tasks.tasks.yaml_key import with_key


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("samples: s.csv # mine\n", "samples: s.csv # mine\nkey: a.csv\n"),
        ("samples: s.csv", "samples: s.csv\nkey: a.csv\n"),
        ("samples: s.csv\n# key: b.csv # words\nseed: 1\n", "samples: s.csv\nkey: a.csv # words\nseed: 1\n"),
        ("samples: s.csv\n# key: b.csv   words\nseed: 1\n", "samples: s.csv\nkey: a.csv \nseed: 1\n"),
        ('{"samples": "s.csv"}', '{"samples": "s.csv", "key": "a.csv"}'),
        ("{samples: s.csv, gates: {max_ece: 1}}\n", '{samples: s.csv, gates: {max_ece: 1}, "key": "a.csv"}\n'),
        ("samples: s.csv\nclasses:\n  a: |\n    words\n", "samples: s.csv\nclasses:\n  a: |\n    words\nkey: a.csv\n"),
    ],
)
def test_key_finds_its_place(before: str, after: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(before)
    assert with_key(tmp_path / "task.yaml", "key", "a.csv") == after


@pytest.mark.parametrize("content", ["key: b.csv\n", "samples: s.csv\n...\n", "  samples: s.csv\n"])
def test_form_without_room_is_left_to_the_person(content: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(content)
    with pytest.raises(TaskError, match=r"Add the line: key: a\.csv"):
        with_key(tmp_path / "task.yaml", "key", "a.csv")


@given(st.dictionaries(st.sampled_from("abcdef"), st.text("xyz :#'\n\"{}[]|", max_size=8), min_size=1))
def test_other_keys_stay_whatever_they_have(values: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.yaml"
        with path.open("w") as file:
            YAML().dump(values, file)
        assert parse_yaml(path, with_key(path, "key", "a.csv")).values == {**values, "key": "a.csv"}
