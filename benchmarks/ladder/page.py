"""The results of the ladder's benchmark as a page in Markdown."""

from __future__ import annotations

from typing import Any

__all__ = ["page"]


def page(results: dict[str, Any]) -> str:
    """Return the tables of the rungs, of the final model and of the draws."""
    return "\n".join([*_head(results), *_rungs(results), *_finals(results), *_draws(results)]) + "\n"


def _head(results: dict[str, Any]) -> list[str]:
    draws = results["draws"]
    sets = ", ".join(f"{sum(row['set'] == name for row in draws)} of {name}" for name in sorted({row["set"] for row in draws}))
    return [
        "# The ladder on many small tasks\n",
        f"{len(draws)} small tasks drawn from `train.jsonl`: {sets}.",
        "Each has 2 to 20 classes, 3 to 10 shots a class, 100 to 2,000 unlabelled rows, and a budget of",
        f"{results['budget_seconds']:.0f} planned seconds. No row of a test set takes part.\n",
        "Made by `python -m benchmarks.ladder`.\n",
        "A rung is compared with the best of the rungs before it, in hindsight: it helps or harms if its accuracy on unseen rows",
        "differs by more than one point.\n",
    ]


def _rungs(results: dict[str, Any]) -> list[str]:
    lines = [
        "| rung | tried | taken | helped | no change | harmed | mean points | refused | would have helped | would have harmed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rung in results["rungs"].items():
        if rung["taken"]["draws"] + rung["refused"]["draws"] == 0:  # the first rung has none before it
            continue
        taken, refused = rung["taken"], rung["refused"]
        same = taken["draws"] - taken["helped"] - taken["harmed"]
        lines.append(
            f"| {name} | {rung['tried']} | {taken['draws']} | {taken['helped']} | {same} | {taken['harmed']} "
            f"| {100 * taken['mean']:+.2f} | {refused['draws']} | {refused['helped']} | {refused['harmed']} |"
        )
    return [*lines, ""]


def _finals(results: dict[str, Any]) -> list[str]:
    lines = [
        "Regret is the accuracy that the best rung in hindsight has more than the final model.\n",
        "| final model | accuracy % | log-loss | mean regret, points | harmed % |",
        "|---|---|---|---|---|",
    ]
    for name, final in results["final"].items():
        lines.append(
            f"| {name} | {100 * final['accuracy']:.2f} | {final['log_loss']:.3f} | {100 * final['regret']:.2f} "
            f"| {100 * final['harmed']:.1f} |"
        )
    return [*lines, ""]


def _draws(results: dict[str, Any]) -> list[str]:
    lines = ["Accuracy in % of every rung that was tried; in bold those that were taken.\n"]
    names = list(results["rungs"])
    lines += [f"| draw | set | classes | shots | pool | {' | '.join(names)} |", "|---|" * 1 + "---|" * (4 + len(names))]
    for row in results["draws"]:
        cells = [_cell(row["rungs"].get(name)) for name in names]
        lines.append(
            f"| {row['number']} | {row['set']} | {row['classes']} | {row['shots']} | {row['pool']} | {' | '.join(cells)} |"
        )
    return lines


def _cell(rung: dict[str, Any] | None) -> str:
    if rung is None:
        return ""
    text = f"{100 * rung['accuracy']:.1f}"
    return f"**{text}**" if rung["taken"] else text
