"""The verb `fsat export-strings`, which writes an ONNX graph that takes texts. It only parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.common import AsJson, TaskName, check_out, open_store
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.runtime.progress import show_work

verbs = typer.Typer()


@verbs.command("export-strings")
def export_strings(
    task: TaskName,
    out: Annotated[
        Path | None, typer.Option(help="Also copy the files into this folder.", callback=check_out, show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the champion as one ONNX file that takes texts."""
    from fsat_tasks.models.strings import MODEL
    from fsat_tasks.models.strings import export_strings as write
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.steps.pipeline import summary

    if out is not None:
        from fsat_tasks.store.copies import check_out_folder, copy_out

        check_out_folder(out)
    store = open_store()
    with show_work(f"write the champion of {task} as a graph that takes texts"):
        made = write(task, store, champion_model(task, store))
        if out is not None:
            copy_out(made, out)
    if as_json:
        print_json({"task": task, **summary(made)})
        return
    parity = made.json("parity.json")
    typer.echo(f"{task}: {(out or made.path) / MODEL}")
    typer.echo(
        f"the token ids of {parity['texts']} texts equal the tokenizer's, "
        f"{parity['rows']} answers differ from the model's by at most {parity['max_difference']:.1e}"
    )
