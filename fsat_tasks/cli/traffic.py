"""The verbs for new texts. `predict` and `apply` label the texts, and `watch` tells whether the texts have drifted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsat_tasks.cli.common import AsJson, TaskName, Verbose, open_store

if TYPE_CHECKING:
    from fsat_tasks.tasks.task import Task

verbs = typer.Typer()

EXIT_DRIFT = 4


@verbs.command()
def predict(
    task: TaskName,
    text: Annotated[str | None, typer.Argument(help="One text. Default: lines of standard input.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option(help="A .csv, .jsonl, .parquet or text file.", show_default=False)] = None,
    column: Annotated[str, typer.Option(help="Name of the text column in the file.")] = "text",
) -> None:
    """Label texts with the task's champion. One JSON object a line."""
    from fsat_tasks.data.readers import read_lines, read_texts
    from fsat_tasks.errors import InputError
    from fsat_tasks.traffic.predictions import predict as label_texts

    if text is not None and file is not None:
        raise InputError("fsat predict", "a text or --file", "both")
    if file is not None and not file.is_file():
        raise InputError("--file", "a file", f"{str(file)!r}, which is not there")
    if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("text", "UTF-8", "bytes that are not")
    texts = [text] if text is not None else read_texts(file, column) if file else read_lines(sys.stdin.buffer, "standard input")
    try:
        for answer in label_texts(task, texts, open_store()):
            typer.echo(json.dumps(answer, ensure_ascii=False))
    except BrokenPipeError:
        # the program that read the output, such as `head`, has ended; this is no error, and the rest of the output is dropped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    from fsat_tasks.registry.champion_files import champion_model
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
def watch(
    task: TaskName,
    file: Annotated[
        Path | None, typer.Argument(help="File of new texts. Default: the newest of watch.traffic.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Tell whether new texts have drifted. Exit code 4 if so."""
    from fsat_tasks.errors import InputError
    from fsat_tasks.tasks.files import newest_file
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.watch import watch_traffic

    if file is not None and not file.is_file():
        raise InputError("file", "a file", f"{str(file)!r}, which is not there")
    loaded = load_task(task)
    traffic = file or newest_file(loaded)
    watched = watch_traffic(loaded, open_store(), traffic)
    drift = watched.json("drift.json")
    if as_json:
        typer.echo(json.dumps({**watched.reference(), "path": str(watched.path), "traffic": str(traffic), **drift}, indent=2))
    else:
        from fsat_tasks.cli.drift_tables import print_drift

        print_drift(drift, str(traffic), str(watched.path / "drift.json"), verbose)
    if drift["drift"]:
        sys.exit(EXIT_DRIFT)


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
