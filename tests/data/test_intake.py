"""Rows that `fsat init` takes over: columns that are named, guessed or joined; files of any format; and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsat_tasks.data.column_guess import guess_label, guess_text
from fsat_tasks.data.new_task import NewTask, Wishes, create_task
from fsat_tasks.data.readers import read_rows
from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.tasks.task import load_task
from task_folder import write_rows

ZENDESK = """\
Ticket ID;Subject;Ticket Description;Group
1;Rechnung;<div class="x"><p>Zu hoch für mich</p></div>;billing
2;Login;"<p>Passwort &amp; Name falsch</p>";login
3;Frage;;
4;Frage;<p>Wo?</p>;
5;;<p>Noch einmal</p>;billing
"""


@pytest.fixture
def zendesk(tmp_path: Path) -> Path:
    path = tmp_path / "zendesk.csv"
    path.write_bytes(ZENDESK.encode("cp1252"))
    return path


def rows_of(made: NewTask, split: str = "samples") -> list[tuple[str | None, str | None]]:
    """Return the rows of a file of the new task, as the steps read them."""
    task = load_task(made.folder.name)
    path, labelled = task.file(split), split in ("samples", "query")
    assert path is not None
    rows = read_rows(path, task.row_format(), task.spec.label if labelled else None)
    return list(zip(rows.inputs, rows.labels or [None] * len(rows.lines), strict=True))


def test_columns_are_joined_html_is_stripped_and_rows_without_a_label_are_left_out(data_root: Path, zendesk: Path) -> None:
    made = create_task("z", {"samples": zendesk}, Wishes(("Subject", "Ticket Description"), "Group", strip_html=True))
    assert rows_of(made) == [
        ("Rechnung\nZu hoch für mich", "billing"),
        ("Login\nPasswort & Name falsch", "login"),
        ("Noch einmal", "billing"),
    ]
    taken = made.taken["samples"]
    assert (taken.about, taken.count, taken.dropped) == ("CSV, semicolons, Windows-1252", 3, {"no label": 2})
    assert (made.folder / "samples.csv").read_text("utf-8").startswith("text,Group,Ticket ID\n")


def test_html_that_stays_is_a_warning(data_root: Path, zendesk: Path) -> None:
    said: list[str] = []
    create_task("z", {"samples": zendesk}, Wishes(("Ticket Description",), "Group"), said.append)
    assert said[:1] == [f"{zendesk}: 100 % of the texts have HTML, which the model learns too (to remove it: --strip-html)"]


def test_columns_that_cannot_be_guessed_come_with_the_command_to_type(data_root: Path, zendesk: Path) -> None:
    with pytest.raises(DataError) as caught:
        create_task("z", {"samples": zendesk})
    assert "got the columns 'Ticket ID', 'Subject', 'Ticket Description', 'Group'." in str(caught.value)
    assert f"fsat init z --samples {zendesk} --text 'Ticket Description' --label " in str(caught.value)
    assert list(data_root.iterdir()) == []


def test_other_file_whose_columns_cannot_be_guessed_is_named(data_root: Path, tmp_path: Path) -> None:
    samples = write_rows(tmp_path / "s.csv", [("a cat", "pet"), ("a plane", "travel")])
    query = tmp_path / "q.csv"
    query.write_text("Nr,words,kind\n1,a dog in the garden,pet\n2,a cat in the garden,pet\n3,a plane,travel\n4,a car,travel\n")
    with pytest.raises(DataError) as caught:
        create_task("t", {"samples": samples, "query": query}, Wishes(strip_html=True))
    assert f"{query}: expected a column whose name says that it has the texts, got the columns 'Nr', 'words'" in str(caught.value)
    options = f"--samples {samples} --query {query} --query-text words --query-label kind --strip-html"
    assert caught.value.fix == f"Name the columns, such as: fsat init t {options}"
    assert list(data_root.iterdir()) == []
    made = create_task("t", {"samples": samples, "query": query}, Wishes(query_text=("words",), query_label="kind"))
    assert rows_of(made, "query")[0] == ("a dog in the garden", "pet")


def test_columns_of_the_query_file_need_the_file(data_root: Path, tmp_path: Path) -> None:
    samples = write_rows(tmp_path / "s.csv", [("a cat", "pet"), ("a plane", "travel")])
    with pytest.raises(TaskError, match="--query-text and --query-label: expected --query FILE beside them, got none"):
        create_task("t", {"samples": samples}, Wishes(query_label="kind"))


def test_suggested_command_repeats_every_option(data_root: Path, zendesk: Path) -> None:
    files = {"samples": zendesk, "query": zendesk, "unlabelled": zendesk, "out_of_scope": zendesk}
    with pytest.raises(DataError) as caught:
        create_task("z", files, Wishes(("Subjct",), target="several_labels", separator=",", strip_html=True))
    given = " ".join(f"--{key} {path}" for key, path in files.items()).replace("out_of_scope", "out-of-scope")
    columns = "--text Subject --label Group --target several_labels --separator , --strip-html"
    assert caught.value.fix.endswith(f"Name the columns, such as: fsat init z {given} {columns}")
    assert "Did you mean 'Subject'?" in caught.value.fix


def test_only_column_of_texts_is_taken_from_a_file_without_labels(data_root: Path, tmp_path: Path) -> None:
    files = {"samples": write_rows(tmp_path / "s.csv", [("a cat", "pet"), ("a plane", "travel")])}
    files |= {"unlabelled": tmp_path / "u.csv", "out_of_scope": tmp_path / "o.csv"}
    files["unlabelled"].write_text("Nr,Eingabe,Kanal\n1,where is my dog now,Web\n2,my train was very late,Web\n")
    files["out_of_scope"].write_text("Eingabe\nhello\n")
    made = create_task("t", files)
    assert made.taken["unlabelled"].columns.text == made.taken["out_of_scope"].columns.text == ("Eingabe",)
    files["unlabelled"].write_text("Frage,Antwort\nwhere is my dog now,it is in the garden\n")
    with pytest.raises(DataError, match="Call its text column 'text', as in the samples, or remove its other columns"):
        create_task("u", files)


def test_query_rows_that_are_samples_are_a_warning_with_the_lines_of_both(data_root: Path, tmp_path: Path) -> None:
    samples = write_rows(tmp_path / "s.csv", [("a cat", "pet"), ("a dog", "pet"), ("a plane", "travel"), ("a car", "travel")])
    query = write_rows(tmp_path / "q.csv", [("a goat", "pet"), ("A dog!", "pet")])
    said: list[str] = []
    assert create_task("t", {"samples": samples, "query": query}, warn=said.append).folder.is_dir()
    wrong = f"a text that is also among the samples ({samples}, line 3), which makes the figures too good"
    assert said == [f"{query}, line 3: {wrong} (remove it from one file)"]


def test_classes_with_too_few_samples_are_a_warning(data_root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    samples = write_rows(tmp_path / "s.csv", [("a cat", "V-1"), ("a dog", "V-2"), ("a plane", "V-2")])
    create_task("t", {"samples": samples}, warn=said.append)
    assert said[0].startswith(f"{samples}: classes with fewer than 2 samples: 1 of 2, which validate refuses (label more")


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        (["id", "text", "label"], "text", "label"),
        (["Message Body", "Support Queue"], "Message Body", "Support Queue"),
        (["user.text", "labels.id", "labels.name"], "user.text", "labels.name"),
        (["description", "body", "category_id", "category"], "body", "category"),
        (["Text", "Kategorie"], "Text", "Kategorie"),
        (["Nr", "Beschreibung", "Klasse"], "Beschreibung", "Klasse"),
        (["texte", "catégorie"], "texte", "catégorie"),
        (["Mensaje", "Categoría"], "Mensaje", "Categoría"),
        (["messaggio", "etichetta"], "messaggio", "etichetta"),
        (["bericht", "categorie"], "bericht", "categorie"),
        (["a", "b"], None, None),
    ],
)
def test_columns_are_guessed_by_their_names(columns: list[str], text: str | None, label: str | None) -> None:
    assert (guess_text(columns), guess_label(columns)) == (text, label)


def test_other_files_get_the_columns_of_the_samples(data_root: Path, tmp_path: Path) -> None:
    files = {
        "samples": write_rows(tmp_path / "s.csv", [("a cat", "pet"), ("a plane", "travel")]),
        "query": tmp_path / "q.json",
        "unlabelled": tmp_path / "pool.txt",
        "out_of_scope": tmp_path / "out.tsv",
    }
    files["query"].write_text(json.dumps([{"body": "a dog", "intent": ["pet"]}, {"body": "", "intent": "pet"}]))
    files["unlabelled"].write_text("a ship\n\na train\n")
    files["out_of_scope"].write_text("id\tmessage\n1\thello\n")
    made = create_task("t", files)
    assert rows_of(made, "query") == [("a dog", "pet")]
    assert rows_of(made, "unlabelled") == [("a ship", None), ("a train", None)]
    assert rows_of(made, "out_of_scope") == [("hello", None)]
    assert {key: taken.dropped for key, taken in made.taken.items()} == {
        "samples": {},
        "query": {"no text": 1},
        "unlabelled": {"no text": 1},
        "out_of_scope": {},
    }


def test_plain_files_are_copied_as_they_are(data_root: Path, tmp_path: Path) -> None:
    content = '{"label": "pet", "text": "a cat", "more": [1]}\n{"label": "travel", "text": "a plane"}\n'
    (tmp_path / "s.jsonl").write_text(content)
    made = create_task("t", {"samples": tmp_path / "s.jsonl"})
    assert (made.folder / "samples.jsonl").read_text() == content


def test_several_labels_are_taken_with_their_separator(data_root: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "s.csv", [("a", "x, y"), ("b", "y"), ("c", "x")])
    made = create_task("t", {"samples": tmp_path / "s.csv"}, Wishes(target="several_labels", separator=","))
    assert load_task("t").spec.separator == ","
    assert set(load_task("t").spec.classes) == {"x", "y"}
    assert made.taken["samples"].rows.labels == ["x,y", "y", "x"]
    (tmp_path / "l.json").write_text(json.dumps([{"text": "a", "label": ["x", "y"]}, {"text": "b", "label": ["y"]}]))
    made = create_task("u", {"samples": tmp_path / "l.json"}, Wishes(target="several_labels"))
    assert rows_of(made) == [("a", "x|y"), ("b", "y")]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(separator=","), "--separator: expected --target several_labels beside it, got --target one_label"),
        (Wishes(target="several_labels", separator=", "), "--separator: expected one character, got ', '"),
        (Wishes(target="stars"), "--target: expected one of"),
    ],
)
def test_options_that_do_not_fit_are_named(wishes: Wishes, message: str, data_root: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "s.csv", [("a", "x"), ("b", "y")])
    with pytest.raises(TaskError, match=message):
        create_task("t", {"samples": tmp_path / "s.csv"}, wishes)


def test_list_of_labels_needs_the_target_for_it(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"text": "a", "label": ["x", "y"]}\n')
    with pytest.raises(DataError, match=r"line 1, column 'label': expected one label, got a list of labels.*several_labels"):
        create_task("t", {"samples": tmp_path / "s.jsonl"})
    assert list(data_root.iterdir()) == []


def test_classes_that_are_numbers_are_a_warning(data_root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    create_task("t", {"samples": write_rows(tmp_path / "s.csv", [("a", "0"), ("b", "1")])}, warn=said.append)
    assert "the classes are numbers, which tell the model nothing" in said[0]
