"""The verbs of `fsat` that run steps. Each step has a verb of its own, and the verb `run` runs all steps."""

from __future__ import annotations

import json
import sys
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
from fsat_tasks.runtime import logs

if TYPE_CHECKING:
    from fsat_tasks.store import Artefact, Store
    from fsat_tasks.tasks.task import Task

verbs = typer.Typer()

EXIT_HELD = 3

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
    _run_many(names, changed, lambda name: load_task(name, changes, dry_run, approve), as_json)


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
    verbose: Verbose = False,
) -> None:
    """Decide, write the report, and move the champion."""
    from fsat_tasks.tasks.task import load_task

    loaded = load_task(task, overrides(shots, encoder, seed, device), dry_run, approve)
    _run("publish", loaded, out, as_json, verbose)


def _run(step: str, task: Task, out: Out, as_json: bool, verbose: bool) -> None:
    from fsat_tasks.steps.pipeline import run_steps, summary

    store = open_store()
    with store.in_use():  # protects the artefacts from housekeeping until they are copied and shown
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


def _run_many(names: list[str], changed: bool, load: Callable[[str], Task], as_json: bool) -> None:
    from fsat_tasks.cli.run_tables import print_outcome, print_outcomes
    from fsat_tasks.steps.changed import changed_tasks
    from fsat_tasks.steps.many_tasks import run_many, worst_exit_code

    if changed:
        names = changed_tasks(names, load)
    report = (lambda _: None) if as_json else print_outcome
    outcomes = run_many(dict.fromkeys(names), load, report, open_store())
    if as_json:
        typer.echo(json.dumps({outcome.task: outcome.to_json() for outcome in outcomes}, indent=2))
    else:
        print_outcomes(outcomes)
    sys.exit(worst_exit_code(outcomes))


def _held(task: Task, store: Store, published: Artefact) -> bool:
    """Return True if a gate held the model, or if a person must still approve it. In the second case, print how to approve it."""
    from fsat_tasks.registry.approval import awaits_approval

    if not awaits_approval(task, store, published):
        return not published.json("decision.json")["promote"]
    typer.echo("held: not approved. Read the report. To approve the model, run the same command with --approve.", err=True)
    return True


def _print(step: str, task: str, artefacts: dict[str, Artefact], verbose: bool) -> None:
    """Print the results of a run for a person. The data warnings and the ladder are printed only if this run made them.

    The verb of a step always prints the result of this step, even if an earlier run made the result.
    """
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
    """Return a function that prints one line on standard error for each step that made an artefact, and for the verb's step."""
    from fsat_tasks.cli.run_tables import what_was_done

    def report(step: str, artefact: Artefact | None) -> None:
        if artefact is None:
            if sys.stderr.isatty():  # a terminal, where the next line overwrites this one when the step ends
                typer.echo(f"{step:<9} ...\r", err=True, nl=False)
        elif artefact.built or verb in ("run", step):
            done = f"{artefact.manifest['wall_seconds']:.1f} s" if artefact.built else "unchanged"
            typer.echo(f"{step:<9} {done:>9}  {what_was_done(step, artefact.manifest['notes'], verbose)}", err=True)

    return report
