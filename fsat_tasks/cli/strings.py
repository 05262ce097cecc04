"""The verb `fsat export-strings`, which writes an ONNX graph that takes texts. It only parses, calls and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.common import open_store

verbs = typer.Typer()


@verbs.command("export-strings")
def export_strings(
    task: Annotated[str, typer.Argument(help="Name of a task.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Also copy the files into this folder.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Write the champion as one ONNX file that takes texts."""
    from fsat_tasks.models.strings import MODEL
    from fsat_tasks.models.strings import export_strings as write
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.steps.pipeline import summary

    store = open_store()
    made = write(task, store, champion_model(task, store))
    if out is not None:
        from fsat_tasks.store.copies import copy_out

        copy_out(made, out)
    if as_json:
        typer.echo(json.dumps(summary(made), indent=2))
        return
    parity = made.json("parity.json")
    typer.echo(f"{task}: {(out or made.path) / MODEL}")
    typer.echo(
        f"the token ids of {parity['texts']} texts equal the tokenizer's, "
        f"{parity['rows']} answers differ from the model's by at most {parity['max_difference']:.1e}"
    )
