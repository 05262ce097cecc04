"""The verbs of `fsat` that run steps. Each step has a verb of its own, and the verb `run` runs all steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fsat_tasks.cli.common import (
    AsJson,
    DeviceName,
    EncoderName,
    Out,
    Seed,
    Shots,
    TaskName,
    Verbose,
    open_store,
    overrides,
)
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.cli.next_lines import command_again
from fsat_tasks.cli.streams import say_error, to_width
from fsat_tasks.runtime import logs
from fsat_tasks.runtime.progress import show_work

if TYPE_CHECKING:
    from fsat_tasks.steps.many_tasks import Outcome
    from fsat_tasks.store import Artefact
    from fsat_tasks.tasks.task import Task

verbs = typer.Typer()

MOST_WARNINGS = 3
"""Maximum number of data warnings at the end of a run. `fsat validate` prints all."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide, but do not change the champion.")]
Approve = Annotated[bool, typer.Option("--approve", help="Approve the model, if task.yaml has approval: true.")]
Unused = Annotated[bool, typer.Option(hidden=True)]
"""Hidden option. Only `run` and `publish` use it. The verb of every step accepts it, so that all verbs take the same options."""


@verbs.command()
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

    names, changes = list(tasks or []), overrides(shots, encoder, seed, device)
    if not names and not changed:
        raise typer.BadParameter("expected the name of a task, or --changed, got neither")
    if len(names) == 1 and not changed:
        _run("run", load_task(names[0], changes, dry_run, approve), out, as_json, verbose)
        return
    if out is not None:
        raise InputError("--out", "one task", "several", "Run them one by one to copy their models.")
    _run_many(names, changed, lambda name: load_task(name, changes, dry_run, approve), as_json, dry_run)


def _add_step(step: str, summary: str) -> None:
    """Add the verb of one of the steps before `publish`. These steps do not decide about the champion."""

    @verbs.command(step, help=summary)
    def verb(
        task: TaskName,
        shots: Shots = None,
        encoder: EncoderName = None,
        seed: Seed = None,
        device: DeviceName = None,
        out: Out = None,
        as_json: AsJson = False,
        dry_run: Unused = False,
        approve: Unused = False,
        verbose: Verbose = False,
    ) -> None:
        from fsat_tasks.tasks.task import load_task

        loaded = load_task(task, overrides(shots, encoder, seed, device), dry_run, approve)
        _run(step, loaded, out, as_json, verbose)


_add_step("validate", "Check the task's data with Great Expectations.")
_add_step("extract", "Encode every text of the task with ONNX Runtime.")
_add_step("tune", "Tune the model by the methods that help, cheapest first.")
_add_step("evaluate", "Measure the model, and ask the quality gates.")
_add_step("export", "Write the model as one ONNX graph, and check it.")


@verbs.command()
def publish(
    task: TaskName,
    shots: Shots = None,
    encoder: EncoderName = None,
    seed: Seed = None,
    device: DeviceName = None,
    out: Out = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
    approve: Approve = False,
    experiment: Annotated[
        bool, typer.Option("--experiment", help="Only decide, and exit with 0 even if the model is held. For dvc exp run.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Decide, write the report, and move the champion."""
    from fsat_tasks.tasks.task import load_task

    loaded = load_task(task, overrides(shots, encoder, seed, device), dry_run or experiment, approve)
    _run("publish", loaded, out, as_json, verbose, held_is_done=experiment)


def _run(verb: str, task: Task, out: Out, as_json: bool, verbose: bool, held_is_done: bool = False) -> None:
    started, last = time.perf_counter(), "publish" if verb == "run" else verb
    with show_work(task.name):
        from fsat_tasks.registry.registry import Registry
        from fsat_tasks.steps.many_tasks import outcome_of
        from fsat_tasks.steps.pipeline import run_steps

        store = open_store()
        before = Registry(store.root, task.name).version() if last == "publish" else 0
        if out is not None:
            from fsat_tasks.store.copies import check_out_folder, copy_out

            check_out_folder(out)  # before the work, and before a champion is moved
        with store.in_use():  # protects the artefacts from housekeeping until they are copied
            artefacts = run_steps(task, last, None if as_json or logs.in_json() else _reporter(verb, task, verbose), store)
            if out is not None:
                copy_out(artefacts["export" if verb == "run" else verb], out)
            outcome = outcome_of(task, artefacts, store, before, started) if last == "publish" else None
    if as_json:
        _print_json(verb, task, artefacts, outcome)
    else:
        _print(verb, artefacts, outcome, verbose)
    if outcome is not None and outcome.exit_code and not held_is_done:
        sys.exit(outcome.exit_code)


def _run_many(names: list[str], changed: bool, load: Callable[[str], Task], as_json: bool, dry_run: bool) -> None:
    from fsat_tasks.cli.run_tables import print_outcome, print_outcomes
    from fsat_tasks.steps.changed import changed_tasks
    from fsat_tasks.steps.many_tasks import run_many, worst_exit_code

    if changed:
        with show_work("look for tasks that have changed"):
            names = changed_tasks(names, load)
    report = (lambda _: None) if as_json else print_outcome
    outcomes = run_many(dict.fromkeys(names), load, report, open_store())
    exit_code = worst_exit_code(outcomes)
    if as_json:
        print_json({"tasks": [outcome.to_json() for outcome in outcomes]}, exit_code)
    else:
        print_outcomes(outcomes)
        if dry_run and outcomes:
            typer.echo("Dry run: nothing was published, and no champion was changed.")
    sys.exit(exit_code)


def _print_json(verb: str, task: Task, artefacts: dict[str, Artefact], outcome: Outcome | None) -> None:
    from fsat_tasks.steps.pipeline import summary

    if outcome is None:
        print_json({"task": task.name, "steps": {name: summary(artefact) for name, artefact in artefacts.items()}})
        return
    decided = outcome.to_json(command_again())
    print_json({"tasks": [decided]} if verb == "run" else decided, outcome.exit_code)


def _print(verb: str, artefacts: dict[str, Artefact], outcome: Outcome | None, verbose: bool) -> None:
    """Print the results of a run for a person. The ladder is printed only if this run made it.

    The verb of a step always prints the result of this step, even if an earlier run made the result. A whole run has the first
    data warnings and the number of suspected labels at its end, where people look; other verbs have the warnings that they found.
    """
    from fsat_tasks.cli.next_lines import print_next
    from fsat_tasks.cli.run_tables import print_decision, print_findings, print_ladder, print_suspects
    from fsat_tasks.registry.next_steps import after_run

    findings = artefacts["validate"].json("findings.json")
    if verb != "run" and (artefacts["validate"].built or verb == "validate"):
        print_findings(findings)
    if verb == "tune" or ("tune" in artefacts and artefacts["tune"].built):
        print_ladder(artefacts["tune"], verbose)
    if outcome is not None and outcome.decided is not None:
        print_decision(outcome.decided, artefacts, verbose)
        if verb == "run":
            print_findings(findings, MOST_WARNINGS, outcome.task)
            print_suspects(outcome.task, artefacts["publish"].manifest["notes"].get("suspects", 0))
        print_next(after_run(outcome.decided, command_again()), outcome.decided.ending)


def _reporter(verb: str, task: Task, verbose: bool) -> Callable[[str, Artefact | None], None]:
    """Return a function that prints one line on standard error for each step that made an artefact, and for the verb's step.

    On a terminal, it also says after the first step how long the run may take.
    """
    from fsat_tasks.cli.run_tables import what_was_done

    def report(step: str, artefact: Artefact | None) -> None:
        if artefact is None:
            if step == "extract" and sys.stderr.isatty():
                _say_estimate(task, "publish" if verb == "run" else verb)
        elif artefact.built or verb in ("run", step):
            done = f"{artefact.manifest['wall_seconds']:.1f} s" if artefact.built else "unchanged"
            say_error(f"{step:<9} {done:>9}  {what_was_done(step, artefact.manifest['notes'], verbose)}")

    return report


def _say_estimate(task: Task, last: str) -> None:
    from fsat_tasks.steps.estimate import estimate_seconds, say_estimate

    if seconds := estimate_seconds(task, last):
        say_error(to_width(f"The steps from here on take {say_estimate(seconds)}."))
