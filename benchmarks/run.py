"""Run fsat and its peers on a folder of few-shot sets. Finished cells are not run again.

python -m benchmarks.run --data FOLDER --out benchmarks/results
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.cells import ROOT, Cell, Settings, is_done, read_cells, run_cell, run_module
from benchmarks.data import available_shots, digest, find_sets
from benchmarks.features import FeatureCache, encoder_source
from benchmarks.machine import commit, machine
from benchmarks.methods import METHODS, TRACKS
from benchmarks.plots import write_plots
from benchmarks.setfit_env import setfit_python
from benchmarks.tables import markdown, summarise

SETFIT_STEPS = 500
BUDGET_SECONDS = 240.0

console = Console(stderr=True, soft_wrap=True, highlight=False)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of sets: SET/{train_K,train,test,oos_test}.jsonl")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="results; started again, it goes on there")
    parser.add_argument("--sets", type=_names, help="default: every folder with a test.jsonl")
    parser.add_argument("--shots", type=_numbers, help="shots a class; default: those of the fixed splits")
    parser.add_argument("--resamples", type=int, default=10, help="splits drawn from train.jsonl, besides the fixed one")
    parser.add_argument("--tracks", type=_among(TRACKS), default=list(TRACKS), help=f"default: {','.join(TRACKS)}")
    parser.add_argument("--methods", type=_among(METHODS), default=list(METHODS), help=f"default: {','.join(METHODS)}")
    parser.add_argument("--encoder", default="all-MiniLM-L6-v2", help="a name or a folder")
    parser.add_argument("--budget-seconds", type=float, default=BUDGET_SECONDS, help="of fsat-ladder; default %(default)g")
    parser.add_argument(
        "--setfit-steps",
        type=int,
        default=SETFIT_STEPS,
        help="SetFit's training steps at most, 0 for a whole epoch; default %(default)s",
    )
    parser.add_argument("--cell-seconds", type=float, help="stop a cell after so long, and report it as failed")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "fsat-benchmarks",
        help="features and SetFit's environment; default %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser.parse_args(arguments)


def plan(options: argparse.Namespace) -> list[Cell]:
    """List the cells, split by split. If a run is stopped early, each split that it finished therefore has all methods."""
    cells = []
    splits = ["fixed", *(f"seed-{seed}" for seed in range(1, options.resamples + 1))]
    sets = find_sets(options.data, options.sets)
    digests = {name: digest(options.data / name) for name in sets}
    for split in splits:
        for name in sets:
            folder = options.data / name
            fixed, pool = available_shots(folder), (folder / "train.jsonl").is_file()
            for shots in options.shots or fixed:
                for track in options.tracks:
                    if (split == "fixed" and shots not in fixed) or (
                        not pool and (split != "fixed" or track == "semi-supervised")
                    ):
                        continue
                    for method in options.methods:
                        if track in METHODS[method].tracks:
                            cells.append(Cell(method, name, shots, split, track, digests[name]))
    return cells


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 if all cells ran, 1 if some failed, 2 if nothing could be run."""
    options = parse(arguments)
    try:
        cells = plan(options)
        settings = Settings(
            options.data.absolute(),
            options.out,
            options.cache.expanduser().absolute(),
            options.encoder,
            encoder_source(options.encoder).revision,
            options.setfit_steps,
            options.budget_seconds,
            options.cell_seconds,
            commit(ROOT),
        )
        _refuse_other_encoder(settings)
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", markup=False)
        return 2
    if not cells:
        console.print("error: nothing to run: no set has such splits, or no such method has such a track")
        return 2
    try:
        run_cells(cells, settings)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
    summary = write_results(settings, options)
    failed = [cell for cell in read_cells(settings.out) if cell["error"] is not None]
    if options.json:
        print(json.dumps(summary, indent=1))
    console.print(f"{len(failed)} failed; results in {settings.out / 'results.md'}", markup=False)
    return 1 if failed else 0


def run_cells(cells: list[Cell], settings: Settings) -> None:
    todo = [cell for cell in cells if not is_done(cell, settings)]
    console.print(f"{len(cells)} cells, {len(cells) - len(todo)} of them done before")
    _extract(todo, settings)
    refused = _setfit_refusal(settings) if any(cell.method == "setfit" for cell in todo) else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not todo) as bar:
        work = bar.add_task("", total=len(todo))
        for cell in todo:
            bar.update(work, description=f"{cell.set} {cell.shots} {cell.split} {cell.track} {cell.method}")
            error = run_cell(cell, settings, refused if cell.method == "setfit" else None)
            if error is not None:
                console.print(f"failed: {cell.path(settings.out).stem}: {error[-300:]}", markup=False)
            elif not console.is_terminal:  # a progress bar is of no use in a log
                console.print(f"done: {cell.path(settings.out).stem}", markup=False)
            bar.advance(work)


def write_results(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Write results.json, results.md and the plots of all cells in the results folder. Return the summary."""
    cells = read_cells(settings.out)
    loads = [cell["load_average"] for cell in cells] or [0.0]
    about = {
        "machine": machine(),
        "encoders": sorted({cell["spec"]["encoder"] for cell in cells}),
        "commits": sorted({cell["commit"] for cell in cells}),
        "threads": sorted({cell["threads"] for cell in cells}),
        "load_average": {"median": float(np.median(loads)), "max": max(loads)},
    }
    summary = summarise(cells)
    # only the plot needs the bins, so they stay in the cells' own files
    brief = [{**cell, "figures": {k: v for k, v in cell["figures"].items() if k != "reliability"}} for cell in cells]
    settings.out.mkdir(parents=True, exist_ok=True)
    results = {**about, "summary": summary, "cells": brief}
    (settings.out / "results.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
    (settings.out / "results.md").write_text(markdown(summary, cells, about), "utf-8")
    write_plots(cells, settings.out)
    return {**about, "summary": summary}


def _extract(cells: list[Cell], settings: Settings) -> None:
    """Extract the features that the cells share, in a separate process.

    In the same process, the memory of the extraction would be counted as memory of the cells.
    """
    wanted: dict[str, set[str]] = {}
    for cell in cells:
        if METHODS[cell.method].shared_features:
            files = {"test", "oos_test", f"train_{cell.shots}" if cell.split == "fixed" else "train"}
            wanted.setdefault(cell.set, set()).update(files | ({"train"} if cell.track == "semi-supervised" else set()))
    cache = FeatureCache(settings.cache / "features", settings.encoder, settings.encoder_revision)
    for name, files in wanted.items():
        paths = [settings.data / name / f"{file}.jsonl" for file in sorted(files)]
        missing = cache.missing([path for path in paths if path.is_file()])
        if missing:
            console.print(f"extracting features: {name}: {', '.join(path.stem for path in missing)}")
            stems = [path.stem for path in missing]
            error = run_module("benchmarks.features", settings.encoder, str(settings.data / name), str(cache.folder), *stems)
            if error is not None:
                console.print(f"failed: features of {name}: {error}", markup=False)


def _setfit_refusal(settings: Settings) -> str | None:
    try:
        with console.status("SetFit's environment; the first time some minutes"):
            setfit_python(settings.cache)
    except RuntimeError as error:
        return str(error)
    return None


def _refuse_other_encoder(settings: Settings) -> None:
    others = {
        cell["spec"]["encoder"]
        for cell in read_cells(settings.out)
        if cell["spec"]["encoder_revision"] != settings.encoder_revision
    }
    if others:
        raise ValueError(f"{settings.out} has results of another encoder ({', '.join(others)}): give another folder by --out")


def _names(value: str) -> list[str]:
    return [name for name in value.split(",") if name]


def _numbers(value: str) -> list[int]:
    return [int(name) for name in _names(value)]


def _among(known: Any) -> Any:
    def names(value: str) -> list[str]:
        unknown = [name for name in _names(value) if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}; got {', '.join(unknown)}")
        return _names(value)

    return names


if __name__ == "__main__":
    sys.exit(main())
