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
"""Maximum number of characters of a row's text in the title of the row's point."""


def draw_map(rows: Sequence[dict[str, Any]], run: Run) -> dict[str, Any] | None:
    """Choose at most 400 rows at random, by the seed, and place them on the map.

    Each point has the class and a title of its row, and says whether the row was predicted right.

    Args:
        rows: samples and query rows, each with split, line, text, label and predicted.

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
    places = place_on_plane(mix_layers(run.head_features([row["text"] for row in kept], "cpu"), head.layers), seed)
    number = {label: i for i, label in enumerate(head.labels)}
    points = [
        {
            "x": round(12 + 576 * float(x), 1),
            "y": round(12 + 396 * float(y), 1),
            "sample": row["split"] == "samples",
            "right": row["label"] == row["predicted"],
            "class": number[row["label"]],
            "title": _title(row),
        }
        for row, (x, y) in zip(kept, places, strict=True)
    ]
    return {
        "points": sorted(points, key=lambda point: not point["right"]),  # wrong rows are drawn last, so that they are on top
        "names": _names(points, head.labels),
        "by_class": len(head.labels) <= COLOURS,
        "labels": head.labels,
        "rows": len(rows),
        "samples": sum(point["sample"] for point in points),
        "wrong": sum(not point["right"] for point in points),
    }


def _title(row: dict[str, Any]) -> str:
    text = row["text"] if len(row["text"]) <= TEXT else row["text"][: TEXT - 1] + "…"
    what = f"{'sample' if row['split'] == 'samples' else 'query row'}, line {row['line']}: {row['label']}"
    return f"{text}\n{what}" + ("" if row["label"] == row["predicted"] else f", taken for {row['predicted']}")


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
    """Compare the label shares of the samples with the shares of the labels that are predicted for at most 500 pool rows.

    Args:
        shots: label -> number of samples.

    Returns:
        the content of the section "Label distribution", or None if the task has no pool.
    """
    head, spec = run.head, run.task.spec
    pool = run.pool.draw(min(spec.tune.pool_rows, POOL_ROWS), spec.seed)
    if not len(pool):
        return None
    features = run.head_features(list(run.pool.texts(pool)), "cpu")
    found = Counter(head.probabilities(features).argmax(axis=1).tolist())
    total = sum(shots.values())
    labels: list[dict[str, Any]] = [
        {
            "label": label,
            "shots": shots[label] / total,
            "pool": found[i] / len(pool),
            "times": found[i] / len(pool) * total / shots[label],
        }
        for i, label in enumerate(head.labels)
    ]
    shown = sorted(labels, key=lambda row: -abs(row["pool"] - row["shots"]))[:SHOWN_LABELS]
    return {
        "labels": sorted(shown, key=lambda row: -row["pool"]),
        "classes": len(labels),
        "rows": len(pool),
        "most": max(max(row["shots"], row["pool"]) for row in labels),
    }
