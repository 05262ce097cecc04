"""The data checks: each says what is wrong, in which file and on which lines. It says nothing about sound data."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsat_tasks.data.checks import Finding, check_rows
from fsat_tasks.data.readers import Rows
from fsat_tasks.inputs.text import Texts
from fsat_tasks.tasks.spec import ValidationSpec

Table = list[tuple[str | None, str | None]]

CLEAN: Table = [
    ("a cat asleep on the sofa", "animal"),
    ("the dog barks all night", "animal"),
    ("book a flight to Rome", "travel"),
    ("the train leaves at noon", "travel"),
]


def rows(table: Table, file: str = "samples.csv", labelled: bool = True) -> Rows:
    """Rows on the lines 2, 3, 4, ... as in a CSV file."""
    texts = [text if text and text.strip() else None for text, _ in table]  # a blank row is None
    labels = [label for _, label in table]
    return Rows(file, list(range(2, len(table) + 2)), texts, labels if labelled else [])


def found(table: Table, bounds: ValidationSpec | None = None, **others: Table) -> dict[tuple[str, str], Finding]:
    """Findings by file and check."""
    files = {"samples": rows(table)}
    for split, content in others.items():
        files[split] = rows(content, f"{split}.csv", labelled=split == "query")
    findings = check_rows(files, Texts(), bounds or ValidationSpec())
    assert [finding.severity for finding in findings] == sorted(finding.severity for finding in findings)
    by_check = {(finding.file, finding.check): finding for finding in findings}
    assert len(by_check) == len(findings)
    return by_check


def lines(findings: dict[tuple[str, str], Finding]) -> dict[tuple[str, str], tuple[int, ...]]:
    return {key: finding.lines for key, finding in findings.items()}


def test_clean_rows_have_no_findings() -> None:
    query: Table = [("a goat on a hill", "animal"), ("a hotel by the sea", "travel")]
    other: Table = [("what is nine plus two", None), ("count to ten", None)]
    assert found(CLEAN, query=query, unlabelled=other, out_of_scope=other) == {}


@pytest.mark.parametrize("empty", [None, "", "  ", "\n\t\u2003"])
def test_row_without_text_is_critical_where_rows_have_labels_and_a_warning_elsewhere(empty: str | None) -> None:
    findings = found([*CLEAN, (empty, "animal")], unlabelled=[("words", None), (empty, None)])
    assert lines(findings) == {("samples.csv", "text"): (6,), ("unlabelled.csv", "text"): (3,)}
    assert [finding.severity for finding in findings.values()] == ["critical", "warning"]


def test_row_without_label_is_critical() -> None:
    findings = found([*CLEAN, ("a goat on a hill", None)], query=[("a hotel by the sea", None)])
    assert lines(findings) == {("samples.csv", "label"): (6,), ("query.csv", "label"): (2,)}
    assert {finding.severity for finding in findings.values()} == {"critical"}


@pytest.mark.parametrize("label", [" travel", "travel ", "travel\n", "\ttravel", "\u00a0travel", "", " "])
def test_blanks_around_a_label_are_critical(label: str) -> None:
    findings = found([*CLEAN, ("a hotel by the sea", label)], ValidationSpec(min_shots=1))
    assert lines(findings) == {("samples.csv", "label_blanks"): (6,)}
    assert findings["samples.csv", "label_blanks"].severity == "critical"


def test_blanks_within_a_label_are_not() -> None:
    assert found([*CLEAN, ("two goats on a hill", "farm animal"), ("one hundred sheep", "farm animal")]) == {}


@pytest.mark.parametrize("label", ["farm\nanimal", "farm\tanimal", "farm\x7fanimal", "farm\u2028animal"])
def test_control_characters_within_a_label_are_critical(label: str) -> None:
    findings = found([*CLEAN, ("two goats on a hill", label), ("one hundred sheep", label)], query=[("a goat on a hill", label)])
    assert lines(findings) == {("samples.csv", "label_characters"): (6, 7), ("query.csv", "label_characters"): (2,)}
    assert findings["samples.csv", "label_characters"].message.endswith(f"in the label {label!r} (remove it)")


def test_labels_that_look_alike_are_a_warning_with_their_lines() -> None:
    rows: Table = [
        (f"text {number}", label) for number, label in enumerate(["pin", "pin", "pin", "PIN", "PIN", "p\u0456n", "p\u0456n"])
    ]
    findings = found(rows)
    assert list(findings) == [("samples.csv", "look_alikes")]
    finding = findings["samples.csv", "look_alikes"]
    assert finding.severity == "warning"
    assert finding.message == (
        "labels 'p\\u0456n' (lines 7, 8) and 'pin' differ by look-alike letters alone; "
        "labels 'PIN' (lines 5, 6) and 'pin' differ by case alone (write them the same)"
    )


def test_class_of_one_sample_is_told_with_the_class_that_it_looks_like() -> None:
    findings = found([*CLEAN, ("two goats on a hill", "Animal")])
    assert findings["samples.csv", "shots"].message == (
        "fewer than 2 samples of a class: 'Animal' (1); labels 'Animal' (line 6) and 'animal' differ by case alone"
        " (label more, or lower validation.min_shots)"
    )


@pytest.mark.parametrize(
    "again",
    ["A CAT asleep on the sofa!", "a  cat, asleep\ton the sofa", "ａ cat asleep on the sofa", "a_cat asleep on the sofa."],
)
def test_repeated_text_is_a_warning_whatever_its_case_width_spacing_and_punctuation(again: str) -> None:
    findings = found(
        [*CLEAN, (again, "animal")], unlabelled=[("hello there", None), ("Hello, there!", None), ("hello there", None)]
    )
    assert lines(findings) == {("samples.csv", "duplicates"): (6,), ("unlabelled.csv", "duplicates"): (3, 4)}
    assert {finding.severity for finding in findings.values()} == {"warning"}


def test_texts_of_punctuation_alone_are_not_all_the_same() -> None:
    assert found([*CLEAN, ("???", "animal"), ("!!!", "travel")]) == {}


def test_nearly_repeated_text_is_a_warning_on_the_later_line_alone() -> None:
    long = "please send the replacement for my broken debit card to the new address in Leeds"
    table: Table = [(long, "animal"), *CLEAN, (long.replace("Leeds", "Leeds4"), "animal")]
    findings = found(table)
    assert lines(findings) == {("samples.csv", "near_duplicates"): (7,)}
    assert found(table, ValidationSpec(near_duplicate=1.0)) == {}


def test_same_text_under_two_labels_is_critical_on_both_lines() -> None:
    findings = found([*CLEAN, ("A cat asleep on the sofa.", "travel")])
    assert findings["samples.csv", "conflicts"].lines == (2, 6)
    assert findings["samples.csv", "conflicts"].severity == "critical"
    assert (
        findings["samples.csv", "conflicts"].message == "the same text under two labels, such as 'animal' and 'travel' (keep one)"
    )


def test_another_script_is_a_warning() -> None:
    findings = found([*CLEAN, ("кот спит на диване", "animal")], unlabelled=[("你好，我的卡还没到", None), ("123 🎉 !", None)])
    assert lines(findings) == {("samples.csv", "script"): (6,), ("unlabelled.csv", "script"): (2,)}


def test_the_common_script_is_the_one_of_most_rows() -> None:
    table: Table = [
        ("кот спит на диване", "a"),
        ("собака лает", "a"),
        ("билет на самолёт", "b"),
        ("поезд уходит", "b"),
        ("train", "b"),
    ]
    assert lines(found(table)) == {("samples.csv", "script"): (6,)}


def test_long_text_is_a_warning_from_its_length_in_characters() -> None:
    findings = found([*CLEAN, ("ä" * 1000, "animal"), ("word " * 200 + "x", "animal")])
    assert lines(findings) == {("samples.csv", "length"): (7,)}


def test_one_class_alone_is_critical() -> None:
    findings = found(CLEAN[:2])
    assert findings["samples.csv", "classes"].message == "only 1 class (at least two that differ are needed)"
    assert findings["samples.csv", "classes"].severity == "critical"


def test_class_below_the_fewest_shots_is_critical_with_all_its_lines() -> None:
    table: Table = [*CLEAN, ("seven plus two", "number")]
    assert lines(found(table)) == {("samples.csv", "shots"): (6,)}
    assert found(table, ValidationSpec(min_shots=1)) == {}
    assert lines(found(table, ValidationSpec(min_shots=3))) == {("samples.csv", "shots"): (2, 3, 4, 5, 6)}


def test_imbalance_is_a_warning_from_more_than_five_times_the_smallest_class() -> None:
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo"]
    table: Table = [*CLEAN[:2], *((word, "word") for word in words[:10])]
    assert found(table) == {}
    findings = found([*table, (words[10], "word")])
    assert lines(findings) == {("samples.csv", "balance"): ()}
    assert findings["samples.csv", "balance"].message == (
        "class 'word' has 11 samples and 'animal' 2 (label more of the small ones, or see tune.class_weight)"
    )


def test_class_of_thousands_is_a_warning_that_names_it() -> None:
    most: Table = [(f"number {number} of all", "other") for number in range(1001)]
    findings = found([*CLEAN, *most])
    assert lines(findings) == {("samples.csv", "balance"): (), ("samples.csv", "crowd"): ()}
    assert findings["samples.csv", "crowd"].message == (
        "over 1,000 samples of a class: 'other' (1,001). Few-shot sets have 1 to 50 (is it the right file?)"
    )
    assert ("samples.csv", "crowd") not in found([*CLEAN, *most[:-1]])


def test_more_rows_than_meant_are_a_warning_with_their_number() -> None:
    findings = found(CLEAN, ValidationSpec(many_rows=3))
    assert list(findings) == [("samples.csv", "size")]
    assert findings["samples.csv", "size"].message.startswith("4 rows, where few-shot sets have at most 3")
    assert findings["samples.csv", "size"].severity == "warning"
    assert found(CLEAN, ValidationSpec(many_rows=4)) == {}


def test_query_label_that_no_sample_has_is_critical() -> None:
    findings = found(CLEAN, query=[("a goat on a hill", "animal"), ("seven plus two", "number")])
    assert lines(findings) == {("query.csv", "unknown_label"): (3,)}
    assert findings["query.csv", "unknown_label"].severity == "critical"
    assert findings["query.csv", "unknown_label"].message == (
        "a label that no sample has, 'number'; labels of the samples: 'animal', 'travel' (correct it, or add samples of it)"
    )
    alike = found(CLEAN, query=[("a goat on a hill", "Animal")])["query.csv", "unknown_label"].message
    assert "labels 'Animal' and 'animal' differ by case alone" in alike


def test_query_row_that_is_a_sample_too_is_critical_and_one_that_nearly_is_a_warning() -> None:
    long = "please send the replacement for my broken debit card to the new address in Leeds"
    findings = found(
        [*CLEAN, (long, "travel")],
        query=[
            ("a goat on a hill", "animal"),
            ("The dog barks all night!", "animal"),
            (long.replace("Leeds", "Leeds4"), "travel"),
        ],
    )
    assert lines(findings) == {("query.csv", "leakage"): (3,), ("query.csv", "near_leakage"): (4,)}
    assert findings["query.csv", "leakage"].severity == "critical"
    assert findings["query.csv", "near_leakage"].severity == "warning"


def test_unlabelled_rows_may_repeat_samples() -> None:
    assert found(CLEAN, unlabelled=[(text, None) for text, _ in CLEAN]) == {}


def test_samples_without_any_text_or_label_are_findings_and_no_crash() -> None:
    assert {check for _, check in found([(None, None), ("", None)])} >= {"text", "label", "classes"}


def test_where_names_the_first_ten_lines_and_counts_the_others() -> None:
    finding = Finding("duplicates", "warning", "s.csv", "again", tuple(range(2, 15)))
    assert finding.where == "s.csv, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"
    assert Finding("classes", "critical", "s.csv", "one").where == "s.csv"
    assert finding.to_json()["lines"] == list(range(2, 15))


def test_great_expectations_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found(CLEAN) == {}
    assert list(tmp_path.iterdir()) == []
