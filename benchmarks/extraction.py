"""Compare fsat and sentence-transformers by their rows/s of feature extraction, on the same texts in the same run.

python -m benchmarks.extraction --data FOLDER [--cuda] [--rows N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.cells import run_module
from benchmarks.command import about, add_out_option, save
from benchmarks.data import class_name, find_sets, load_split
from benchmarks.extraction_pages import SHOTS, Figures, cpu_page, gpu_page, pace, page_head
from benchmarks.extraction_workload import (
    CUDA_METHODS,
    ENCODER,
    METHODS,
    MIXED_FROM,
    PEER,
    REPEATED,
    make_texts,
    token_lengths,
    with_repeats,
)
from fsat_tasks import load_encoder
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.frozen import FrozenHead, fit_frozen_head
from fsat_tasks.runtime.machine import available_cores

CPU_SHAPES = [(tokens, *sides) for tokens in (512, 4096) for sides in ((384, 384), (384, 1536), (1536, 384))]
CUDA_SHAPES = [(8192, 8192, 8192)]
PACE_SHAPE = (512, 384, 1536)  # measured before and after each method, because a shared machine may slow down

Shape = tuple[int, int, int]
console = Console(stderr=True, soft_wrap=True, highlight=False)


def measure(kind: str, texts: list[str], methods: Sequence[str], folder: Path) -> list[Figures]:
    """Measure each method on the same texts. Return one entry per method, which also compares the method with the first one."""
    texts_file = folder / f"{kind}.json"
    texts_file.write_text(json.dumps(texts), "utf-8")
    entries: list[Figures] = []
    for method in methods:
        answer = folder / f"{kind}--{method}".replace(" ", "-")
        before = product_rate(PACE_SHAPE)
        error = run_module("benchmarks.extraction_workload", method, str(texts_file), str(answer))
        figures = {"error": error} if error else json.loads(Path(f"{answer}.json").read_text("utf-8"))
        entry = {"texts": kind, "method": method, "rows": len(texts), "pace": [before, product_rate(PACE_SHAPE)], **figures}
        if entry["error"] is None:
            entry |= {"rows_per_second": len(texts) / min(entry["seconds"]), "features": f"{answer}.npy"}
            entry |= _against((entries or [entry])[0], entry)
        said = f"{entry['rows_per_second']:.0f} rows/s, pace {pace(entry)}" if entry["error"] is None else entry["error"]
        console.print(f"{kind}: {method}: {said}", markup=False)
        entries.append(entry)
    return [{name: value for name, value in entry.items() if name != "features"} for entry in entries]


def _against(peer: Figures, entry: Figures) -> Figures:
    """Compare two methods: the ratio of their speeds, and the mean and minimum cosine between their features of the same row."""
    if peer["error"] is not None:
        return {}
    one, other = (np.load(side["features"]).astype(np.float64) for side in (peer, entry))  # (n, dim)
    cosines = (one * other).sum(axis=1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))  # (n,)
    ratio = entry["rows_per_second"] / peer["rows_per_second"]
    return {"ratio": ratio, "cosine": {"mean": float(cosines.mean()), "min": float(cosines.min())}}


def matrix_rate(shapes: list[Shape], device: str, precision: str, work: float) -> Figures:
    """Measure the FLOP/s of plain matrix products. A shape's rate is the best of 5 runs of `work` FLOP."""
    rates = {}
    for shape in shapes:
        name = "x".join(map(str, shape))
        rates[name] = max(product_rate(shape, device, precision, work) for _ in range(5))
        console.print(f"{device} {precision} {name}: {rates[name] / 1e9:,.1f} GFLOP/s")
    return {"precision": precision, "rates": rates, "best": max(rates.values())}


def product_rate(shape: Shape, device: str = "cpu", precision: str = "float32", work: float = 4e10) -> float:
    """Measure the FLOP/s of (rows, inner) @ (inner, columns) in torch, on all cores."""
    import torch

    torch.set_num_threads(available_cores())
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    rows, inner, columns = shape
    a, b = (torch.randn(sides, device=device).to(getattr(torch, precision)) for sides in ((rows, inner), (inner, columns)))
    result = a @ b
    calls = max(round(work / (2 * rows * inner * columns)), 1)
    wait()
    started = time.perf_counter()
    for _ in range(calls):
        torch.mm(a, b, out=result)
    wait()
    return calls * 2 * rows * inner * columns / (time.perf_counter() - started)


def encoder_flops(lengths: NDArray[np.int64]) -> float:
    """Count the FLOP of the encoder's blocks: two per weight and token, plus the FLOP of the two matrix products in attention."""
    config = json.loads((find_encoder(ENCODER).folder / "config.json").read_text("utf-8"))
    dim, layers = config["hidden_size"], config["num_hidden_layers"]
    weights = 4 * dim * dim + 2 * dim * config["intermediate_size"]
    return float(layers * (2 * weights * lengths.sum() + 2 * 2 * dim * (lengths**2).sum()))


def rate_share(rate: Figures, speeds: list[Figures], method: str, lengths: NDArray[np.int64]) -> Figures:
    """Return the rate of a method on texts of these lengths, as a share of the rate of plain matrix products."""
    entry = next(entry for entry in speeds if entry["method"] == method)
    if entry["error"] is not None:
        return {**rate, "method": method, "texts": entry["texts"], "reached": None, "share": None}
    reached = encoder_flops(lengths) / min(entry["seconds"])
    console.print(f"{method}: {reached / 1e9:.1f} GFLOP/s, {reached / rate['best']:.0%} of the matrix rate")
    return {**rate, "method": method, "texts": entry["texts"], "reached": reached, "share": reached / rate["best"]}


def head_parity(data: Path, encoders: dict[str, Encoder]) -> list[Figures]:
    """Evaluate heads on features of the pretrained encoder. Fit and evaluation may use different precisions of the encoder."""
    rows = load_split(data / MIXED_FROM, SHOTS, "fixed")
    parts = (rows.texts, [class_name(label) for label in rows.classes], rows.query)
    features = {name: [encoder.encode(part, "all") for part in parts] for name, encoder in encoders.items()}
    heads = {name: fit_frozen_head(shots, rows.labels, names) for name, (shots, names, _) in features.items()}
    reference = _answers(heads["fp32"], features["fp32"][2])
    entries = []
    for fitted_on, asked_with in (("fp32", "fp32"), ("fp32", "int8"), ("int8", "int8")):
        answers = _answers(heads[fitted_on], features[asked_with][2])
        entry = {
            "set": MIXED_FROM,
            "shots": SHOTS,
            "rows": len(answers),
            "fitted_on": fitted_on,
            "asked_with": asked_with,
            "layers": heads[fitted_on].chosen.layers,
            "accuracy": float((answers == rows.truth).mean()),
            "agreement": float((answers == reference).mean()),
        }
        console.print(f"head on {fitted_on}, rows {asked_with}: accuracy {entry['accuracy']:.4f}, same {entry['agreement']:.4f}")
        entries.append(entry)
    return entries


def _answers(found: FrozenHead, features: NDArray[np.float32]) -> NDArray[np.int64]:
    answers: NDArray[np.int64] = found.head.logits(mix_layers(features, found.chosen.layers)).argmax(axis=1)
    return answers


def repeats(short: list[str], speeds: list[Figures], folder: Path) -> list[Figures]:
    """Return the time for rows with repeated texts, relative to the time for the same number of distinct rows."""
    before = {entry["method"]: entry for entry in speeds if entry["texts"] == "short" and entry["error"] is None}
    entries = measure("repeats", with_repeats(short), [name for name in (PEER, "fsat fp32 last") if name in before], folder)
    return [
        {
            "method": entry["method"],
            "share": REPEATED,
            "seconds": min(entry["seconds"]),
            "time_ratio": min(entry["seconds"]) / min(before[entry["method"]]["seconds"]),
        }
        for entry in entries
        if entry["error"] is None
    ]


def run_on_gpu(data: Path, rows: int, folder: Path) -> Figures:
    import torch

    if not torch.cuda.is_available():
        raise ValueError("torch finds no GPU")
    encoder = load_encoder(ENCODER, "cpu")
    texts = make_texts(data, rows, encoder)["sets"]
    lengths = token_lengths(encoder, texts)
    speeds = measure("sets", texts, list(CUDA_METHODS), folder)
    rate = matrix_rate(CUDA_SHAPES, "cuda", "bfloat16", 2e13)
    runs = speeds[-1]["error"] is None
    return {
        "texts": _sizes({"sets": lengths}),
        "speeds": speeds,
        "device": torch.cuda.get_device_name(),
        "numeric_class": load_encoder(ENCODER, device="cuda").numeric_class if runs else "not at all",
        "matrix_rate": rate_share(rate, speeds, "fsat cuda last", lengths),
    }


def run(data: Path, rows: int, folder: Path) -> Figures:
    # exported here, so that the workers' times do not include the export
    encoders = {"fp32": load_encoder(ENCODER, "cpu"), "int8": load_encoder(ENCODER, "cpu", precision="int8")}
    texts = make_texts(data, rows, encoders["fp32"])
    lengths = {kind: token_lengths(encoders["fp32"], some) for kind, some in texts.items()}
    speeds = measure("short", texts["short"], list(METHODS), folder)
    again = repeats(texts["short"], speeds, folder)
    rate = matrix_rate(CPU_SHAPES, "cpu", "float32", 2e10)
    share = rate_share(rate, speeds, "fsat fp32 last", lengths["short"])
    for kind in ("natural", "mixed", "long"):
        speeds += measure(kind, texts[kind], list(METHODS), folder)
    return {
        "texts": _sizes(lengths),
        "speeds": speeds,
        "repeats": again,
        "matrix_rate": share,
        "head_parity": head_parity(data, encoders),
    }


def _sizes(lengths: Mapping[str, NDArray[np.int64]]) -> Figures:
    return {
        kind: {"rows": len(n), "min": int(n.min()), "mean": float(n.mean()), "max": int(n.max())} for kind, n in lengths.items()
    }


def main() -> int:
    """Return the exit code: 0 if the results are written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help=f"sets: SET/{{train,test}}.jsonl, {MIXED_FROM} among them")
    parser.add_argument("--cuda", action="store_true", help="on a GPU, into a page of its own")
    parser.add_argument("--rows", type=int, default=3000, help="short and mixed texts; long ones in proportion; default 3000")
    add_out_option(parser)
    options = parser.parse_args()
    out = options.out.absolute()
    os.environ |= {"FSAT_STORE": str(out / "cells" / "extraction-store"), "HF_HUB_OFFLINE": "1"}  # for the workers, too
    facts = {**about(), "encoder": ENCODER, "threads": os.environ.get("OMP_NUM_THREADS", "default")}
    facts["machine"]["versions"][PEER] = version(PEER)
    try:
        find_sets(options.data, [MIXED_FROM])
        with tempfile.TemporaryDirectory() as folder:
            results = {**facts, **(run_on_gpu if options.cuda else run)(options.data, options.rows, Path(folder))}
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", markup=False)
        return 2
    name, page = ("extraction-cuda", gpu_page) if options.cuda else ("extraction", cpu_page)
    save(out, name, results, "\n".join([*page_head(results), *page(results)]) + "\n")
    console.print(f"results in {out / name}.md", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
