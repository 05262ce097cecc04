"""The verbs around new files: apply labels them, add takes back what a person labelled. They only parse, call and print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsat_tasks.cli.common import AsJson, TaskName, open_store

if TYPE_CHECKING:
    from fsat_tasks.tasks.task import Task

verbs = typer.Typer()


@verbs.command()
def apply(
    task: TaskName,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help=".csv, .jsonl, .parquet or .txt files. Default: task.yaml's apply.files.", show_default=False),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Name of the text column. Default: the task's.", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also copy the results into this folder, in a subfolder for each file.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label files with the champion. Texts that it is unsure of are put aside for review."""
    from fsat_tasks.registry.champion import champion_model
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller, totals
    from fsat_tasks.traffic.review import REVIEW, copy_result

    spec = load_task(task, {"text": column})
    paths = _paths(spec, files or [], out)
    store = open_store()
    labeller = Labeller(spec, store, champion_model(task, store))
    done = []
    for path in paths:
        result = labeller.label(path)
        if out is not None:
            copy_result(store, result, out / path.name)
        folder = result.path if out is None else out / path.name
        where = {"predictions": str(folder / PREDICTIONS), "review": str(folder / REVIEW)}
        done.append({**summary(result), "file": str(path), **where})
        if not as_json:
            _print(done[-1])
    if as_json:
        typer.echo(json.dumps(done, indent=2))
    elif any(one["to_review"] for one in done):
        about = totals(done)
        copy = "" if out else f" To get a copy that you can edit: fsat apply {task} ... --out FOLDER."
        typer.echo(f"{100 * about['abstained_share']:.1f} % of the rows have no answer.{copy}")
        typer.echo(f"Fill in labels in review.csv, then: fsat add {task} review.csv")


@verbs.command()
def add(
    task: TaskName,
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file, such as a review.csv.", show_default=False)],
    text: Annotated[str, typer.Option(help="Name of its text column.")] = "text",
    label: Annotated[str, typer.Option(help="Name of its label column.")] = "label",
    new_label: Annotated[
        list[str] | None,
        typer.Option(help="Allow a label that no sample has yet; may be repeated.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append labelled rows to the samples, as from a review.csv."""
    from fsat_tasks.data.append import add_samples
    from fsat_tasks.errors import DataError
    from fsat_tasks.tasks.task import load_task

    spec = load_task(task)
    if not file.is_file() or file.suffix not in (".csv", ".jsonl", ".parquet"):
        raise DataError("FILE", "a .csv, .jsonl or .parquet file", repr(str(file)))
    counts = add_samples(spec, file, text, label, new_label or ())
    if as_json:
        typer.echo(json.dumps(counts, indent=2))
        return
    left = f"{counts['already']} already there, {counts['held_out']} in the query file, {counts['unlabelled']} without a label"
    typer.echo(f"{task}: added {counts['added']} samples, {counts['out_of_scope']} out-of-scope texts; left out {left}")
    if counts["added"]:
        typer.echo(f"Now: fsat run {task}")


def _paths(task: Task, files: list[Path], out: Path | None) -> list[Path]:
    from fsat_tasks.errors import InputError
    from fsat_tasks.tasks.files import check_file, find_files

    paths = [check_file(file, "FILE") for file in files] if files else find_files(task)
    names = [path.name for path in paths]
    if out is not None and len(set(names)) < len(names):
        raise InputError("--out", "files with different names", "two of one name", "Label them one after the other.")
    return paths


def _print(done: dict[str, Any]) -> None:
    names = ("rows", "answered", "out_of_scope", "unsure", "blank")
    counts = ", ".join(f"{name.replace('_', ' ')} {done[name]:,}" for name in names)
    typer.echo(f"{done['file']}: {'labelled' if done['built'] else 'was labelled before'}; {counts}")
    typer.echo(f"  predictions  {done['predictions']}")
    typer.echo(f"  review       {done['review']}, {done['to_review']:,} texts")
