"""The command `fsat`: one verb a step, and the few around them. It only parses, calls and prints."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsat_tasks.cli import airflow as airflow_cli
from fsat_tasks.cli import housekeeping as housekeeping_cli
from fsat_tasks.cli import new_files as apply_cli
from fsat_tasks.cli import registry as registry_cli
from fsat_tasks.cli import snapshots as snapshot_cli
from fsat_tasks.cli import strings as strings_cli
from fsat_tasks.cli import watch as watch_cli
from fsat_tasks.cli.common import AsJson, TaskName, open_store
from fsat_tasks.errors import FsatError
from fsat_tasks.runtime import logs

if TYPE_CHECKING:
    from fsat_tasks.store import Artefact, Store
    from fsat_tasks.tasks.task import Task

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Few-shot adaptive tuning: make a text classifier from a handful of labelled samples, and publish it only if it "
    "passes its gates.",
    epilog="Exit codes: 0 done; 1 a fault in fsat or the machine; 2 bad input, nothing was written; "
    "3 the model was held; 4 drift. Folders: FSAT_DATA has the tasks (default ./data), FSAT_STORE the artefacts "
    "(default ./.fsat).",
)

EXIT_HELD = 3

log = logging.getLogger(__name__)


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Shots = Annotated[int | None, typer.Option(min=1, help="Samples of each class to use. Default: all.", show_default=False)]
EncoderName = Annotated[
    str | None, typer.Option("--encoder", help="Name of the encoder. Default: the task's.", show_default=False)
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of all random draws. Default: the task's.", show_default=False)
]
DeviceName = Annotated[Device | None, typer.Option(help="Device to run on. Default: the task's.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(help="Also copy the step's files into this folder; for run, the model's files.", show_default=False),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also print the statistics behind each sentence.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide, but do not change the champion.")]
Approve = Annotated[bool, typer.Option("--approve", help="Approve the model, if task.yaml has approval: true.")]


def main() -> None:
    """Entry point. Every expected error becomes one line and an exit code."""
    json_lines = False
    try:
        json_lines = logs.configure()
        app(prog_name="fsat")
    except FsatError as error:
        if json_lines:
            log.error("%s", error)
        else:
            typer.secho(f"fsat: {error}", err=True, fg=None if not sys.stderr.isatty() else "red")
        sys.exit(error.exit_code)


def _step(step: str, summary: str) -> None:
    """Add the verb of one step."""

    def verb(
        task: TaskName,
        shots: Shots = None,
        encoder: EncoderName = None,
        seed: Seed = None,
        device: DeviceName = None,
        out: Out = None,
        as_json: AsJson = False,
        dry_run: DryRun = False,
        approve: Approve = False,
        verbose: Verbose = False,
    ) -> None:
        from fsat_tasks.tasks.task import load_task

        _run(step, load_task(task, _overrides(shots, encoder, seed, device), dry_run, approve), out, as_json, verbose)

    if step != "publish":  # it alone decides
        verb.__annotations__ |= {
            name: Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", hidden=True)] for name in ("dry_run", "approve")
        }
    app.command(step, help=summary)(verb)


def _overrides(shots: int | None, encoder: str | None, seed: int | None, device: Device | None) -> dict[str, Any]:
    return {"shots": shots, "encoder": encoder, "seed": seed, "device": device and device.value}


@app.command()
def run(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK", help="Names of task folders.", show_default=False)] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Run only tasks without an up-to-date result; without TASK, of all tasks.")
    ] = False,
    shots: Shots = None,
    encoder: EncoderName = None,
    seed: Seed = None,
    device: DeviceName = None,
    out: Out = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
    approve: Approve = False,
    verbose: Verbose = False,
) -> None:
    """Run all steps, from samples to a published model. Several tasks run in turn, and one that fails stops no other."""
    from fsat_tasks.errors import InputError
    from fsat_tasks.tasks.task import load_task

    names, overrides = list(tasks or []), _overrides(shots, encoder, seed, device)
    if not names and not changed:
        raise typer.BadParameter("expected the name of a task, or --changed, got neither")
    if len(names) == 1 and not changed:
        _run("run", load_task(names[0], overrides, dry_run, approve), out, as_json, verbose)
        return
    if out is not None:
        raise InputError("--out", "one task", "several", "Run them one by one to copy their models.")
    _run_many(names, changed, overrides, dry_run, approve, as_json)


_step("validate", "Check the task's data with Great Expectations.")
_step("extract", "Encode every text of the task with ONNX Runtime.")
_step("tune", "Tune the model by the methods that help, cheapest first.")
_step("evaluate", "Measure the model, and ask the quality gates.")
_step("export", "Write the model as one ONNX graph, and check it.")
_step("publish", "Decide, write the report, and move the champion.")


@app.command()
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
    except BrokenPipeError:  # the reader of our output has gone, as `head` does: that is no fault, and nothing is left to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
def status(
    task: Annotated[str | None, typer.Argument(help="Name of a task. Default: all tasks.")] = None, as_json: AsJson = False
) -> None:
    """Show each task's champion. With --json also its figures and files."""
    from fsat_tasks.registry.status import task_status
    from fsat_tasks.tasks.workspace import Workspace

    workspace = Workspace.from_env()
    if task is not None:
        workspace.task_folder(task)
    rows = [task_status(workspace, name) for name in ([task] if task else workspace.task_names())]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from fsat_tasks.cli.run_tables import print_status

    print_status(rows)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new task.", show_default=False)],
    samples: Annotated[Path, typer.Option(help="A .csv, .jsonl or .parquet file of samples.", show_default=False)],
    text: Annotated[str, typer.Option(help="Name of its text column.")] = "text",
    label: Annotated[str, typer.Option(help="Name of its label column.")] = "label",
) -> None:
    """Make a task folder from a file of labelled samples."""
    from fsat_tasks.data.new_task import create_task

    folder = create_task(name, samples, text, label)
    typer.echo(f"Made {folder}. Describe the classes in task.yaml there, then: fsat run {name}")


app.add_typer(apply_cli.verbs)
app.add_typer(registry_cli.verbs)
app.add_typer(housekeeping_cli.verbs)
app.add_typer(snapshot_cli.verbs)
app.add_typer(airflow_cli.verbs, name="airflow")
app.add_typer(watch_cli.verbs)
app.add_typer(strings_cli.verbs)


def _run(step: str, task: Task, out: Path | None, as_json: bool, verbose: bool) -> None:
    from fsat_tasks.steps.pipeline import run_steps, summary

    store = open_store()
    with store.in_use():  # until what was made is copied and shown
        last = "publish" if step == "run" else step
        artefacts = run_steps(task, last, None if as_json or logs.in_json() else _reporter(step, verbose), store)
        if out is not None:
            from fsat_tasks.store.copies import copy_out

            copy_out(artefacts["export" if step == "run" else step], out)
        if as_json:
            typer.echo(json.dumps({name: summary(artefact) for name, artefact in artefacts.items()}, indent=2))
        else:
            _print(step, task.name, artefacts, verbose)
        if last == "publish" and _held(task, store, artefacts["publish"]):
            sys.exit(EXIT_HELD)


def _run_many(names: list[str], changed: bool, overrides: dict[str, Any], dry_run: bool, approve: bool, as_json: bool) -> None:
    from fsat_tasks.cli.run_tables import print_outcome, print_outcomes
    from fsat_tasks.steps.changed import changed_tasks
    from fsat_tasks.steps.many_tasks import run_many, worst_exit_code
    from fsat_tasks.tasks.task import load_task

    if changed:
        names = changed_tasks(names, overrides)
    report = (lambda _: None) if as_json else print_outcome
    outcomes = run_many(dict.fromkeys(names), lambda name: load_task(name, overrides, dry_run, approve), report, open_store())
    if as_json:
        typer.echo(json.dumps({outcome.task: outcome.to_json() for outcome in outcomes}, indent=2))
    else:
        print_outcomes(outcomes)
    sys.exit(worst_exit_code(outcomes))


def _held(task: Task, store: Store, published: Artefact) -> bool:
    """Whether a gate held the model, or nobody gave the approval that it needs, and then how to give it."""
    from fsat_tasks.registry.approval import awaits_approval

    if not awaits_approval(task, store, published):
        return not published.json("decision.json")["promote"]
    typer.echo("held: not approved. Read the report. To approve the model, run the same command with --approve.", err=True)
    return True


def _print(step: str, task: str, artefacts: dict[str, Artefact], verbose: bool) -> None:
    """Print what a person wants to see of a run: the data warnings of a new check, a new ladder, and the decision."""
    from fsat_tasks.cli.run_tables import print_decision, print_findings, print_ladder
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.tasks.workspace import Workspace

    if artefacts["validate"].built or step == "validate":
        print_findings(artefacts["validate"].json("findings.json"))
    if step == "tune" or ("tune" in artefacts and artefacts["tune"].built):
        print_ladder(artefacts["tune"], verbose)
    if "publish" in artefacts:
        champion = Registry(Workspace.from_env().store, task).champion()
        print_decision(task, artefacts["publish"], artefacts["export"], champion, verbose)


def _reporter(verb: str, verbose: bool) -> Callable[[str, Artefact | None], None]:
    """A line on standard error for each step that did something, and for the one asked for."""
    from fsat_tasks.cli.run_tables import what_was_done

    def report(step: str, artefact: Artefact | None) -> None:
        if artefact is None:
            if sys.stderr.isatty():  # the line is written over when the step ends
                typer.echo(f"{step:<9} ...\r", err=True, nl=False)
        elif artefact.built or verb in ("run", step):
            done = f"{artefact.manifest['wall_seconds']:.1f} s" if artefact.built else "unchanged"
            typer.echo(f"{step:<9} {done:>9}  {what_was_done(step, artefact.manifest['notes'], verbose)}", err=True)

    return report
