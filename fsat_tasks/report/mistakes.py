"""Content of the report's tables about right and wrong answers: classes, confusions and the largest errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["class_figures", "confusions", "grade_confusions", "label_mistakes", "largest_errors"]

Row = dict[str, Any]
Parts = Callable[[str], Sequence[str]]
"""Function that returns the classes that a label names."""
CONFUSIONS, EXAMPLES, LARGEST = 12, 3, 12
MISSED, TOO_MUCH = "missed", "given wrongly"


def class_figures(rows: Sequence[Row], shots: Counter[str], parts: Parts) -> list[Row]:
    """List number of rows, recall, precision and F1 of each class that has rows. The class with the lowest F1 comes first."""
    truth = Counter(part for row in rows for part in parts(row["label"]))
    predicted = Counter(part for row in rows for part in parts(row["predicted"]))
    right = Counter(part for row in rows for part in {*parts(row["label"])} & {*parts(row["predicted"])})
    classes = [
        {
            "label": label,
            "shots": shots[label],
            "rows": truth[label],
            "recall": right[label] / truth[label],
            "precision": right[label] / predicted[label] if predicted[label] else None,
            "f1": 2 * right[label] / (truth[label] + predicted[label]),
        }
        for label in sorted(truth)
    ]
    return sorted(classes, key=lambda row: row["f1"])


def confusions(rows: Sequence[Row]) -> Row:
    """List the most frequent pairs of a true label and a wrong label. A pair's examples are the rows with the surest mistakes."""
    wrong = _surest(rows)
    pairs = Counter((row["label"], row["predicted"]) for row in wrong)
    return {
        "says": "The pairs that are confused most, each with the mistakes that the model was surest of.",
        "heads": ("is", "was taken for", "taken for"),
        "pairs": [_pair(pair, count, wrong) for pair, count in pairs.most_common(CONFUSIONS)],
    }


def grade_confusions(rows: Sequence[Row], order: Sequence[str]) -> Row:
    """List the pairs of a true and a wrong grade that cost most. The cost is the number of rows times the steps between them.

    Args:
        rows: rows with their answers.
        order: the grades, from the lowest to the highest.
    """
    wrong = _surest(rows)
    place = {grade: i for i, grade in enumerate(order)}
    pairs = Counter((row["label"], row["predicted"]) for row in wrong)
    costs = {(label, guess): count * abs(place[label] - place[guess]) for (label, guess), count in pairs.items()}
    costliest = sorted(costs, key=lambda pair: (-costs[pair], place[pair[0]], place[pair[1]]))[:CONFUSIONS]
    return {
        "says": "The pairs that cost most, each with the mistakes that the model was surest of. Steps are the rows of a pair "
        "times the distance between its two grades.",
        "heads": ("is", "was taken for", "taken for"),
        "pairs": [{**_pair(pair, pairs[pair], wrong), "steps": costs[pair]} for pair in costliest],
    }


def _surest(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with a wrong answer, the surest answers first."""
    return sorted((row for row in rows if row["label"] != row["predicted"]), key=lambda row: -row["probability"])


def _pair(pair: tuple[str, str], count: int, wrong: Sequence[Row]) -> Row:
    own = [row for row in wrong if (row["label"], row["predicted"]) == pair][:EXAMPLES]
    return {
        "label": pair[0],
        "predicted": pair[1],
        "rows": count,
        "examples": [_example(row, f"{100 * row['probability']:.1f} %") for row in own],
    }


def label_mistakes(rows: Sequence[Row], parts: Parts) -> Row:
    """List the labels that are missed or given wrongly most often. The examples of a mistake are the surest answers."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in _surest(rows):
        true, given = {*parts(row["label"])}, {*parts(row["predicted"])}
        mistakes = [(label, MISSED) for label in true - given] + [(label, TOO_MUCH) for label in given - true]
        for mistake in mistakes:
            found.setdefault(mistake, []).append(row)
    most = sorted(found, key=lambda mistake: (-len(found[mistake]), mistake))[:CONFUSIONS]
    return {
        "says": "The labels that the model misses or gives wrongly most often, each with the answers that it was surest of.",
        "heads": ("label", "mistake", ""),
        "pairs": [
            {
                "label": label,
                "predicted": kind,
                "rows": len(found[label, kind]),
                "examples": [_example(row, _instead(row, kind, parts)) for row in found[label, kind][:EXAMPLES]],
            }
            for label, kind in most
        ],
    }


def _instead(row: Row, kind: str, parts: Parts) -> str:
    """Say which labels were given although one was missed, or which labels are right although another one was given."""
    if kind == MISSED:
        return f"given {', '.join(parts(row['predicted'])) or 'no label'}"
    return f"is {', '.join(parts(row['label']))}"


def _example(row: Row, note: str) -> Row:
    return {"text": row["text"], "line": row["line"], "note": note}


def largest_errors(rows: Sequence[Row]) -> list[Row]:
    """List the rows whose predicted number is farthest from the true one."""
    errors = [{**row, "error": float(row["predicted"]) - float(row["label"])} for row in rows]
    return sorted(errors, key=lambda row: -abs(row["error"]))[:LARGEST]
