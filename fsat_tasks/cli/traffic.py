"""The verbs for new texts. `predict` and `apply` label the texts, and `watch` tells whether the texts have drifted."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsat_tasks.cli.column_help import column_options
from fsat_tasks.cli.common import AsJson, TaskName, Verbose, check_out, open_store
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.cli.streams import drop_output, standard_input

if TYPE_CHECKING:
    from fsat_tasks.tasks.task import Task

verbs = typer.Typer()

EXIT_DRIFT = 4


class Format(StrEnum):
    """Values of --format."""

    parquet = "parquet"
    csv = "csv"


@verbs.command()
def predict(
    task: TaskName,
    text: Annotated[str | None, typer.Argument(help="One text. Default: lines of standard input.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option(help="A table, or a file with a text in each line.", show_default=False)] = None,
    column: Annotated[str, typer.Option(help="Name of the text column in the file.")] = "text",
) -> None:
    """Label texts with the task's champion. One JSON object a line."""
    from fsat_tasks.errors import InputError
    from fsat_tasks.traffic.predictions import predict as predict_texts
    from fsat_tasks.traffic.predictions import predict_file, predict_stream

    if text is not None and file is not None:
        raise InputError("fsat predict", "a text or --file", "both")
    if file is not None and not file.is_file():
        raise InputError("--file", "a file", f"{str(file)!r}, which is not there")
    if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("text", "UTF-8", "bytes that are not")
    store = open_store()
    asked = nullcontext() if file is None else column_options(file, {"--column": column})
    if file is not None:
        answers = predict_file(task, file, column, store)
    elif text is not None:
        answers = predict_texts(task, [text], store)
    else:
        answers = predict_stream(task, standard_input(), "standard input", store)
    try:
        with asked:
            for answer in answers:
                typer.echo(json.dumps(answer, ensure_ascii=False))
    except BrokenPipeError:  # the program that read the output, such as `head`, has ended; this is no error
        drop_output()


@verbs.command()
def apply(
    task: TaskName,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Tables or .txt files. Default: task.yaml's apply.files.", show_default=False),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Name of the text column. Default: the task's.", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Also copy the results into this folder, in a subfolder for each file.", callback=check_out, show_default=False
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Format of the predictions in --out: csv also has the file's own columns.")
    ] = Format.parquet,
    as_json: AsJson = False,
) -> None:
    """Label files with the champion. Texts that it is unsure of are put aside for review."""
    from fsat_tasks.data.formats.registry import describe
    from fsat_tasks.errors import InputError
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.store.copies import no_files
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller, totals
    from fsat_tasks.traffic.predictions_csv import PREDICTIONS_CSV, csv_adder
    from fsat_tasks.traffic.review import REVIEW, copy_result

    if form is Format.csv and out is None:
        raise InputError("--format csv", "--out FOLDER beside it", "none", "The store keeps predictions as Parquet alone.")
    spec = load_task(task, {"text": column})
    paths = _paths(spec, files or [], out)
    store = open_store()
    labeller = Labeller(spec, store, champion_model(task, store))
    done = []
    for path in paths:
        with column_options(path, {"--column": spec.spec.text}):
            result = labeller.label(path)
        if out is not None:
            more = csv_adder(spec, path, result) if form is Format.csv else no_files
            copy_result(store, result, out / path.name, more)
        folder = result.path if out is None else out / path.name
        predictions = folder / (PREDICTIONS_CSV if form is Format.csv else PREDICTIONS)
        where = {"predictions": str(predictions), "review": str(folder / REVIEW)}
        done.append({**summary(result), "file": str(path), **where})
        if not as_json:
            _print(done[-1], describe(path, spec.row_format().columns))
    if as_json:
        print_json({"task": task, "files": done})
    else:
        _print_next(task, done, totals(done)["abstained_share"], out)


@verbs.command()
def watch(
    task: TaskName,
    file: Annotated[
        Path | None, typer.Argument(help="File of new texts. Default: the newest of watch.traffic.", show_default=False)
    ] = None,
    column: Annotated[str | None, typer.Option(help="Name of the text column. Default: the task's.", show_default=False)] = None,
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
    loaded = load_task(task, {"text": column})
    traffic = file or newest_file(loaded)
    with column_options(traffic, {"--column": loaded.spec.text}):
        watched = watch_traffic(loaded, open_store(), traffic)
    drift = watched.json("drift.json")
    if as_json:
        result = {**watched.reference(), "path": str(watched.path), "traffic": str(traffic), **drift}
        print_json(result, EXIT_DRIFT if drift["drift"] else 0)
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


def _print(done: dict[str, Any], about: str) -> None:
    names = ("rows", "answered", "out_of_scope", "unsure", "blank", *(["truncated"] if done["truncated"] else []))
    counts = ", ".join(f"{name.replace('_', ' ')} {done[name]:,}" for name in names)
    typer.echo(f"{done['file']} ({about}): {'labelled' if done['built'] else 'was labelled before'}; {counts}")
    typer.echo(f"  predictions  {done['predictions']}")
    typer.echo(f"  review       {done['review']}, {done['to_review']:,} texts")


def _print_next(task: str, done: list[dict[str, Any]], unanswered: float, out: Path | None) -> None:
    """Print the commands that add the reviewed labels to the samples, or the one that makes copies for a review."""
    reviewed = [one for one in done if one["to_review"]]
    if not reviewed:
        return
    typer.echo(f"{100 * unanswered:.1f} % of the rows have no answer.")
    if out is None:
        typer.echo("To label them yourself, get copies that you can edit:")
        typer.echo(f"  {shlex.join(['fsat', 'apply', task, *(one['file'] for one in reviewed), '--out', 'labelled'])}")
        return
    typer.echo("Fill in the column `label` of each review.csv, then:")
    for one in reviewed:
        typer.echo(f"  {shlex.join(['fsat', 'add', task, one['review']])}")
