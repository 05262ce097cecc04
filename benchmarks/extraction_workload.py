"""Methods and texts of `benchmarks.extraction`, and a command that times one method in a process of its own.

python -m benchmarks.extraction_workload METHOD TEXTS.json ANSWER (started by `benchmarks.extraction.measure`)
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import find_sets, read_rows
from fsat_tasks import load_encoder
from fsat_tasks.encoders import backends
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.kinds import find_encoder

__all__ = [
    "CUDA_METHODS",
    "ENCODER",
    "METHODS",
    "MIXED_FROM",
    "PEER",
    "REPEATED",
    "ROUNDS",
    "make_texts",
    "token_lengths",
    "with_repeats",
]

ENCODER = "all-MiniLM-L6-v2"
MIXED_FROM = "banking77"  # the set that mixed and long texts are made from
LONG_SHARE = 400 / 3000  # number of long rows per short row
CUDA_SHARE = 16  # number of rows on a GPU per short row, because 3,000 rows end before the GPU is warm
REPEATED = 0.3
ROUNDS, WARM_UP = 3, 64

Encode = Callable[[list[str]], NDArray[np.float32]]


def sentence_transformers(device: str = "cpu", **options: Any) -> Encode:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(find_encoder(ENCODER).folder), device=device, local_files_only=True, **options)
    encode: Encode = model.encode
    return encode


def fsat(precision: Any = "fp32", layers: Any = "last", device: str = "cpu") -> Encode:
    return partial(load_encoder(ENCODER, device=device, precision=precision).encode, layers=layers)


def fsat_torch() -> Encode:
    """Return fsat's encoder on a GPU. It runs in torch, because this function hides that ONNX Runtime can use the GPU."""
    backends.onnxruntime_runs_on_cuda = lambda: False  # type: ignore[assignment, attr-defined]
    return fsat(device="cuda")


PEER = "sentence-transformers"
METHODS: dict[str, Callable[[], Encode]] = {
    PEER: sentence_transformers,
    # the provider is named, because by default a build for GPUs takes a GPU's provider even on a machine without a GPU
    f"{PEER} ONNX": partial(sentence_transformers, backend="onnx", model_kwargs={"provider": "CPUExecutionProvider"}),
    "fsat fp32 last": fsat,
    "fsat fp32 all layers": partial(fsat, layers="all"),
    "fsat int8 last": partial(fsat, precision="int8"),
}
CUDA_METHODS: dict[str, Callable[[], Encode]] = {
    f"{PEER} cuda": partial(sentence_transformers, "cuda"),
    f"{PEER} cuda bf16": partial(sentence_transformers, "cuda", model_kwargs={"torch_dtype": "bfloat16"}),
    "fsat cuda torch last": fsat_torch,
    "fsat cuda last": partial(fsat, device="cuda"),
}


def work(method: str, texts_file: str, answer: str) -> None:
    """Time a method on texts. Write ANSWER.json, and the last layer's features as ANSWER.npy."""
    texts = json.loads(Path(texts_file).read_text("utf-8"))
    try:
        encode = (METHODS | CUDA_METHODS)[method]()
    except Exception as error:  # a missing backend must not stop the other methods
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        Path(f"{answer}.json").write_text(json.dumps({"error": f"not available: {reason}"}), "utf-8")
        return
    encode(texts[:WARM_UP])
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        features = encode(texts)
        seconds.append(time.perf_counter() - started)
    np.save(f"{answer}.npy", features[:, -1] if features.ndim == 3 else features)
    Path(f"{answer}.json").write_text(json.dumps({"error": None, "seconds": seconds}), "utf-8")


def make_texts(data: Path, rows: int, encoder: Encoder) -> dict[str, list[str]]:
    """Return kind -> texts. All texts of a kind are distinct, because fsat would encode a repeated text only once."""
    rng = random.Random(0)
    every = _distinct([path for name in find_sets(data, None) for path in _files(data / name)])
    lengths = token_lengths(encoder, every)
    one_length = [every[at] for at in np.flatnonzero(lengths == np.bincount(lengths).argmax())]
    pool = _distinct([data / MIXED_FROM / "train.jsonl"])
    return {
        "short": rng.sample(one_length, min(rows, len(one_length))),
        "natural": rng.sample(pool, min(rows, len(pool))),
        "mixed": mixed_texts(pool, rows, rng),
        "long": long_texts(pool, token_lengths(encoder, pool), max(round(rows * LONG_SHARE), 1), rng),
        "sets": rng.sample(every, min(CUDA_SHARE * rows, len(every))),
    }


def mixed_texts(pool: list[str], rows: int, rng: random.Random) -> list[str]:
    """Make texts from the pool. One half are single texts of the pool. Each text of the other half joins 1 to 12 pool texts."""
    texts = dict.fromkeys(rng.sample(pool, min(rows // 2, len(pool))))
    while len(texts) < rows:
        texts[" ".join(rng.sample(pool, rng.randint(1, 12)))] = None
    return list(texts)


def long_texts(pool: list[str], lengths: NDArray[np.int64], rows: int, rng: random.Random) -> list[str]:
    """Make long texts. Each joins as many random texts of the pool as fit into the encoder's maximum length."""
    most, frame = find_encoder(ENCODER).settings["max_tokens"], 2  # [CLS] and [SEP]
    texts: dict[str, None] = {}
    while len(texts) < rows:
        order = rng.sample(range(len(pool)), min(most, len(pool)))
        fitting = int(np.searchsorted(frame + np.cumsum(lengths[order] - frame), most, side="right"))
        texts[" ".join(pool[at] for at in order[: max(fitting, 1)])] = None
    return list(texts)


def with_repeats(texts: list[str]) -> list[str]:
    """Return as many rows as there are texts. The share REPEATED of these rows are copies of the remaining rows."""
    rng = random.Random(0)
    kept = texts[: round(len(texts) * (1 - REPEATED))]
    rows = kept + rng.choices(kept, k=len(texts) - len(kept))
    rng.shuffle(rows)
    return rows


def token_lengths(encoder: Encoder, texts: list[str]) -> NDArray[np.int64]:
    return np.array([row.size for row in encoder.prepare(texts)], np.int64)


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "train.jsonl", folder / "test.jsonl") if path.is_file()]


def _distinct(paths: list[Path]) -> list[str]:
    return list(dict.fromkeys(text for path in paths for text in read_rows(path)[0]))


if __name__ == "__main__":
    work(*sys.argv[1:])
