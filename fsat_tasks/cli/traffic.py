"""The verbs for new texts. `predict` and `apply` label the texts, and `watch` tells whether the texts have drifted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsat_tasks.cli.column_help import column_options
from fsat_tasks.cli.common import AsJson, TaskName, Verbose, check_out, open_store
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.cli.streams import drop_output, say_error, standard_input
from fsat_tasks.runtime.printable import shell_command, shown_name
from fsat_tasks.runtime.progress import show_progress, show_work

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
    as_json: AsJson = False,
) -> None:
    """Label texts with the task's champion. One JSON object a line; with --json, all in one object at the end."""
    from fsat_tasks.errors import InputError
    from fsat_tasks.tasks.workspace import require_file

    if text is not None and file is not None:
        raise InputError("fsat predict", "a text or --file", "both")
    if file is not None:
        require_file(file, "--file")
    if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("text", "UTF-8", "bytes that are not")
    asked = nullcontext() if file is None else column_options(file, {"--column": column})
    with show_work(f"open the champion of {task}"), asked:
        answers = _answers(task, text, file, column)
    if text is None and file is None and sys.stdin.isatty():
        say_error("one text a line; Ctrl-D ends")
    if as_json:
        print_json({"task": task, "answers": list(answers)})
        return
    try:
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
    from fsat_tasks.cli.foreign_texts import texts_in, warn_of_foreign
    from fsat_tasks.data.formats.registry import describe
    from fsat_tasks.errors import InputError
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.store.copies import no_files
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller, totals
    from fsat_tasks.traffic.predictions_csv import PREDICTIONS_CSV, csv_adder
    from fsat_tasks.traffic.review import REVIEW, check_results, copy_result

    if form is Format.csv and out is None:
        raise InputError("--format csv", "--out FOLDER beside it", "none", "The store keeps predictions as Parquet alone.")
    spec = load_task(task, {"text": column})
    paths = _paths(spec, files or [], out)
    if out is not None:
        for path in paths:  # before the work
            check_results(out / path.name)
    store = open_store()
    with show_work(f"open the champion of {task}"):
        labeller = Labeller(spec, store, champion_model(task, store))
    done, labelled = [], []
    for path in paths:
        with show_work(f"apply {path.name}"), column_options(path, {"--column": spec.spec.text}):
            result = labeller.label(path)
        labelled.append(result.path / PREDICTIONS)
        if out is not None:
            more = csv_adder(spec, path, result) if form is Format.csv else no_files
            copy_result(result, out / path.name, more)
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
    warn_of_foreign(texts_in(labelled), labeller.model)


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
    from fsat_tasks.tasks.files import newest_file
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.tasks.workspace import require_file

    if file is not None:
        require_file(file, "FILE")
    loaded = load_task(task, {"text": column})
    traffic = file or newest_file(loaded)
    with show_work(f"watch {task}"), column_options(traffic, {"--column": loaded.spec.text}):
        from fsat_tasks.traffic.watch import watch_traffic

        watched = watch_traffic(loaded, open_store(), traffic)
    drift = watched.json("drift.json")
    if as_json:
        result = {**watched.reference(), "path": str(watched.path), "traffic": str(traffic), **drift}
        print_json(result, EXIT_DRIFT if drift["drift"] else 0)
    else:
        from fsat_tasks.cli.drift_tables import print_after_drift, print_drift

        print_drift(drift, shown_name(str(traffic)), shown_name(str(watched.path / "drift.json")), verbose)
        if drift["drift"]:
            print_after_drift(task, str(traffic))
    if drift["drift"]:
        sys.exit(EXIT_DRIFT)


def _answers(task: str, text: str | None, file: Path | None, column: str) -> Iterator[dict[str, Any]]:
    """Open the champion, and return its answers to a text, a file, or the lines of standard input."""
    from fsat_tasks.cli.foreign_texts import watched
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.traffic.predictions import predict, predict_file, predict_stream

    store = open_store()
    if text is not None:
        return predict(task, [text], store)
    if file is not None:
        rows, answers = predict_file(task, file, column, store)
        answers = watched(answers, champion_model(task, store))
        return answers if sys.stdout.isatty() else _counted(answers, f"predict {file.name}", rows)
    answers = predict_stream(task, standard_input(), "standard input", store)
    return answers if sys.stdout.isatty() or sys.stdin.isatty() else _counted(answers, "predict", None)


def _counted(answers: Iterator[dict[str, Any]], label: str, rows: int | None) -> Iterator[dict[str, Any]]:
    """Yield the answers while a moving line counts them. On a terminal that shows the answers or what is typed, none may move."""
    with show_progress(label, rows) as report:
        for done, answer in enumerate(answers, start=1):
            report(done)
            yield answer


def _paths(task: Task, files: list[Path], out: Path | None) -> list[Path]:
    from fsat_tasks.errors import InputError
    from fsat_tasks.tasks.files import check_file, find_files

    paths = [check_file(file, "FILE") for file in files] if files else find_files(task)
    names = [path.name for path in paths]
    if out is not None and len(set(names)) < len(names):
        raise InputError("--out", "files with different names", "two of one name", "Label them one after the other.")
    return paths


def _print(done: dict[str, Any], about: str) -> None:
    from fsat_tasks.cli.run_tables import terminal

    names = ("rows", "answered", "out_of_scope", "unsure", "blank", *(["truncated"] if done["truncated"] else []))
    counts = ", ".join(f"{name.replace('_', ' ')} {done[name]:,}" for name in names)
    made = "labelled" if done["built"] else "was labelled before"
    terminal().print(f"{shown_name(done['file'])} ({about}): {made}; {counts}", markup=False, soft_wrap=False)
    typer.echo(f"  predictions  {shown_name(done['predictions'])}")
    typer.echo(f"  review       {shown_name(done['review'])}, {done['to_review']:,} texts")


def _print_next(task: str, done: list[dict[str, Any]], unanswered: float, out: Path | None) -> None:
    """Print the commands that add the reviewed labels to the samples, or the one that makes copies for a review."""
    reviewed = [one for one in done if one["to_review"]]
    if not reviewed:
        return
    typer.echo(f"{100 * unanswered:.1f} % of the rows have no answer.")
    if out is None:
        typer.echo("To label them yourself, get copies that you can edit:")
        typer.echo(f"  {shell_command(['fsat', 'apply', task, *(one['file'] for one in reviewed), '--out', 'labelled'])}")
        return
    typer.echo("Fill in the column `label` of each review.csv, then:")
    for one in reviewed:
        typer.echo(f"  {shell_command(['fsat', 'add', task, one['review']])}")
