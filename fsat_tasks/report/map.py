"""Content of two sections of the report: the feature map, and the label distribution of samples and unlabelled rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fsat_tasks.runs.run import Run

__all__ = ["draw_map", "label_shares"]

MAP_ROWS, POOL_ROWS = 400, 500
COLOURS = 10
"""Maximum number of classes for which a point's colour shows its class. With more, it shows if the row was predicted right."""
NAMED = 24
"""Maximum number of classes whose names are on the map. With more classes, the names would cover the points."""
SHOWN_LABELS = 30
TEXT = 160
"""Maximum number of characters of a row in the title of the row's point."""


def draw_map(rows: Sequence[dict[str, Any]], run: Run, coloured: bool) -> dict[str, Any] | None:
    """Choose at most 400 rows at random, by the seed, and place them on the map.

    Each point has the class and a title of its row, and says whether the row was predicted right.

    Args:
        rows: samples and query rows, each with split, line, input, label and predicted.
        run: the run.
        coloured: whether each row has one class, so that a class can have a colour and a name on the map.

    Returns:
        the content of the section "Feature map", or None if there are fewer than three rows.
    """
    import numpy as np

    from fsat_tasks.numerics.geometry.feature_map import place_on_plane
    from fsat_tasks.numerics.geometry.layers import mix_layers

    if len(rows) < 3:
        return None
    head, seed = run.head, run.task.spec.seed
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:MAP_ROWS])
    kept = [rows[i] for i in drawn]
    places = place_on_plane(mix_layers(run.head_features([row["input"] for row in kept], "cpu"), head.layers), seed)
    labels = head.labels if coloured else sorted({row["label"] for row in kept})
    number = {label: i for i, label in enumerate(labels)}
    right = _is_right(kept, run)
    points = [
        {
            "x": round(12 + 576 * float(x), 1),
            "y": round(12 + 396 * float(y), 1),
            "sample": row["split"] == "samples",
            "right": is_right,
            "class": number[row["label"]],
            "title": _title(row, run.task.modality.show(row["input"], TEXT)),
        }
        for row, (x, y), is_right in zip(kept, places, right, strict=True)
    ]
    return {
        "points": sorted(points, key=lambda point: not point["right"]),  # wrong rows are drawn last, so that they are on top
        "names": _names(points, labels) if coloured else [],
        "by_class": coloured and len(labels) <= COLOURS,
        "labels": labels,
        "rows": len(rows),
        "samples": sum(point["sample"] for point in points),
        "wrong": sum(not point["right"] for point in points),
    }


def _is_right(rows: Sequence[dict[str, Any]], run: Run) -> list[bool]:
    target, rule = run.target, run.head.rule
    errors = target.errors([row["label"] for row in rows], [row["predicted"] for row in rows], rule.labels)
    return [bool(error <= target.within(rule)) for error in errors]


def _title(row: dict[str, Any], text: str) -> str:
    what = f"{'sample' if row['split'] == 'samples' else 'query row'}, line {row['line']}: {row['label']}"
    return f"{text}\n{what}" + ("" if row["label"] == row["predicted"] else f", taken for {row['predicted'] or 'nothing'}")


def _names(points: Sequence[dict[str, Any]], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Place the name of each class at the median of its points. A name that would cover a name placed before moves down."""
    import numpy as np

    if len(labels) > NAMED:
        return []
    names: list[dict[str, Any]] = []
    for i, label in enumerate(labels):
        own = np.array([(point["x"], point["y"]) for point in points if point["class"] == i])
        if len(own):
            x, y = np.median(own, axis=0)
            text = label if len(label) <= 26 else label[:25] + "…"
            half = 3.1 * len(text)
            names.append(
                {
                    "text": text,
                    "class": i,
                    "half": half,
                    "x": round(float(np.clip(x, half + 4, 596 - half)), 1),
                    "y": round(float(y), 1),
                }
            )
    names.sort(key=lambda name: name["y"])
    for i, name in enumerate(names):
        for above in names[:i]:
            if abs(name["x"] - above["x"]) < name["half"] + above["half"] and abs(name["y"] - above["y"]) < 13:
                name["y"] = round(above["y"] + 13, 1)
    return names


def label_shares(run: Run, shots: Counter[str]) -> dict[str, Any] | None:
    """Compare the share of samples that have each class with the share of at most 500 pool rows that are predicted to have it.

    Args:
        run: the run.
        shots: class -> number of samples that have it; empty for numbers.

    Returns:
        the content of the section "Label distribution", or None if the task has no classes or no pool.
    """
    head, spec = run.head, run.task.spec
    pool = run.pool.draw(min(spec.tune.pool_rows, POOL_ROWS), spec.seed)
    if not shots or not len(pool):
        return None
    features = run.head_features(list(run.pool.inputs(pool)), "cpu")
    answers = run.target.decide(head.outputs(features), head.rule)
    found = Counter(part for answer in answers for part in run.target.parts(answer))
    total = len(head.lines)
    labels: list[dict[str, Any]] = [
        {
            "label": label,
            "shots": shots[label] / total,
            "pool": found[label] / len(pool),
            "times": found[label] / len(pool) * total / shots[label],
        }
        for label in head.labels
    ]
    shown = sorted(labels, key=lambda row: -abs(row["pool"] - row["shots"]))[:SHOWN_LABELS]
    return {
        "labels": sorted(shown, key=lambda row: -row["pool"]),
        "classes": len(labels),
        "rows": len(pool),
        "most": max(max(row["shots"], row["pool"]) for row in labels),
    }
