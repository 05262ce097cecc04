"""The verbs that write task folders. `fsat init` makes a folder, and `fsat add` appends samples to a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.column_help import column_options
from fsat_tasks.cli.common import AsJson, TaskName, shown_path, warn
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.runtime.progress import show_work

verbs = typer.Typer()


def _targets(incomplete: str) -> list[str]:
    """Return the targets that begin with some letters, for the completion of a shell."""
    from fsat_tasks.targets.registered import TARGETS

    return [name for name in TARGETS if name.startswith(incomplete)]


@verbs.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new task.", show_default=False)],
    samples: Annotated[Path, typer.Option(help="File or folder of labelled samples; see docs/formats.md.", show_default=False)],
    text: Annotated[
        list[str] | None,
        typer.Option(help="Its text column; may be repeated, to join columns. Default: guessed.", show_default=False),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Its label column. Default: guessed.", show_default=False)] = None,
    query: Annotated[Path | None, typer.Option(help="Held-out labelled rows, for the figures.", show_default=False)] = None,
    query_text: Annotated[
        list[str] | None,
        typer.Option(help="Text column of the query file; may be repeated. Default: as in the samples.", show_default=False),
    ] = None,
    query_label: Annotated[
        str | None, typer.Option(help="Label column of the query file. Default: as in the samples.", show_default=False)
    ] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Texts without labels, as they come in.", show_default=False)] = None,
    out_of_scope: Annotated[
        Path | None, typer.Option(help="Texts that belong to none of the classes.", show_default=False)
    ] = None,
    target: Annotated[
        str, typer.Option(help="What a label is: one_label, several_labels, grade or number.", autocompletion=_targets)
    ] = "one_label",
    separator: Annotated[
        str | None, typer.Option(help="Character between labels, for several_labels. Default: |", show_default=False)
    ] = None,
    strip_html: Annotated[bool, typer.Option("--strip-html", help="Remove tags of HTML from the texts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a task folder from samples in any of many formats."""
    from fsat_tasks.cli.new_task_tables import print_new_task
    from fsat_tasks.data.new_task import create_task
    from fsat_tasks.data.wishes import Wishes
    from fsat_tasks.steps.languages import find_unread
    from fsat_tasks.tasks.task import load_task

    given = {"samples": samples, "query": query, "unlabelled": unlabelled, "out_of_scope": out_of_scope}
    wishes = Wishes(tuple(text or ()), label, tuple(query_text or ()), query_label, target, separator, strip_html)
    with show_work(f"make the task {name}"):
        made = create_task(name, {key: path for key, path in given.items() if path is not None}, wishes, warn)
    if not as_json:
        print_new_task(name, made)
    with show_work("look at the languages"):
        unread = find_unread(load_task(name), {key: one.rows for key, one in made.taken.items()})
    for finding in unread:
        warn(f"{finding.file}: {finding.message}")
    if as_json:
        print_json(made.to_json())
        return
    first = "Look at" if target == "number" else "Describe the classes in"
    typer.echo(f"{first} {shown_path(made.folder / 'task.yaml')}, then:")
    typer.echo(f"  fsat run {name}")


@verbs.command()
def add(
    task: TaskName,
    file: Annotated[
        Path,
        typer.Argument(help="File or folder of labelled rows, such as a review.csv: docs/formats.md.", show_default=False),
    ],
    text: Annotated[str, typer.Option(help="Name of its text column.")] = "text",
    label: Annotated[str, typer.Option(help="Name of its label column.")] = "label",
    new_label: Annotated[
        list[str] | None,
        typer.Option(help="Allow a label that no sample has yet; may be repeated.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append labelled rows to the samples, as from a review.csv."""
    from fsat_tasks.data.append import NEW_FILE, add_samples
    from fsat_tasks.quality.wording import plural
    from fsat_tasks.tasks.task import load_task

    loaded = load_task(task)
    with show_work(f"add {file.name}"), column_options(file, {"--text": text, "--label": label}):
        counts = add_samples(loaded, file, text, label, new_label or (), warn)
    if as_json:
        print_json({"task": task, **counts})
        return
    left = f"{counts['already']} already there, {counts['held_out']} in the query file, {counts['unlabelled']} without a label"
    added = f"{plural(counts['added'], 'sample')}, {plural(counts['out_of_scope'], 'out-of-scope text')}"
    typer.echo(f"{task}: added {added}; left out {left}")
    if counts["out_of_scope"] and loaded.spec.out_of_scope is None:
        typer.echo(f"Made {shown_path(loaded.folder / NEW_FILE)} for the out-of-scope texts; task.yaml names it.")
    if counts["added"] or counts["out_of_scope"]:
        typer.echo(f"Now: fsat run {task}")
