"""A second modality, for tests: a row is a vector of six numbers. Its encoder is a tiny network in torch."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fsat_tasks.encoders import kinds
from fsat_tasks.encoders.graph import TorchEncoder
from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource, read_config
from fsat_tasks.errors import DataError, EncoderError
from fsat_tasks.inputs import modalities
from fsat_tasks.inputs.modality import Modality, Place
from fsat_tasks.runtime.kept import Kept

NUMBERS, DIM, LAYERS = 6, 16, 3
COLUMNS = tuple("abcdef")


class Vectors(Modality):
    """Six numbers in six columns. The notation has them in one line."""

    noun: ClassVar = "vector"
    oddities: ClassVar = {"large": "a number beyond 100"}
    perturbations: ClassVar = {"noise": lambda row, rng: _write([x + rng.gauss(0, 0.01) for x in _numbers(row)])}

    def columns(self, text: str) -> tuple[str, ...]:
        return COLUMNS

    def read(self, cells: Sequence[object], place: Place, longest: int) -> str | None:
        if all(cell is None for cell in cells):
            return None
        return _write([_number(cell, place.of(at)) for at, cell in enumerate(cells)])

    def read_line(self, line: str, where: str) -> str:
        cells = line.split()
        if len(cells) != NUMBERS:
            raise DataError(where, f"{NUMBERS} numbers", str(len(cells)))
        return _write([_number(cell, where) for cell in cells])

    def cells(self, row: str) -> tuple[str, ...]:
        return tuple(row.split())

    def fingerprint(self, row: str) -> str:
        return _write(np.round(_numbers(row), 3).tolist())

    def similar(self, marks: Sequence[str], others: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
        left, right = (np.array([_numbers(mark) or [np.nan] * NUMBERS for mark in some]) for some in (marks, others))
        near = 1 / (1 + np.linalg.norm(left[:, None] - right, axis=2)) > max(threshold, 0.99)
        yield from zip(*(side.tolist() for side in near.nonzero()), strict=True)

    def trait(self, row: str) -> str | None:
        return None

    def find_oddities(self, row: str, usual: str | None) -> Collection[str]:
        return ["large"] if max(map(abs, _numbers(row))) > 100 else []

    def anchor(self, words: str) -> None:
        return None


def _numbers(row: str) -> list[float]:
    return [float(cell) for cell in row.split()]


def _write(numbers: Sequence[float]) -> str:
    return " ".join(repr(float(x)) for x in numbers)


def _number(cell: object, where: str) -> float:
    try:
        number = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(where, "a number", "none" if cell is None else repr(cell)) from None
    if not np.isfinite(number):
        raise DataError(where, "a finite number", repr(cell))
    return number


class VectorPreparer:
    """Divides the numbers by a scale, which is a file of the encoder."""

    def __init__(self, folder: Path) -> None:
        self.scale = float(json.loads((folder / "scale.json").read_text())["scale"])

    def prepare(self, inputs: Sequence[str]) -> list[Prepared]:
        return [Prepared({"vector": np.array(_numbers(row), np.float32) / np.float32(self.scale)}, NUMBERS) for row in inputs]

    def examples(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        yield {"vector": np.random.default_rng(0).normal(size=(64, NUMBERS)).astype(np.float32)}


class _Network(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(NUMBERS, DIM)
        self.blocks = nn.ModuleList(nn.Linear(DIM, DIM) for _ in range(LAYERS - 1))


class VectorEncoder(TorchEncoder):
    """An embedding and two blocks, each of unit length."""

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"vector": ("batch",)}
    layers, dim, normalize = LAYERS, DIM, True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.body = _Network()
        self.body.load_state_dict(load_file(folder / "model.safetensors"))
        self.eval()

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        states = [self.body.embedding(vector.unsqueeze(1))]  # (batch, 1, dim)
        for block in self.body.blocks:
            states.append(states[-1] + torch.tanh(block(states[-1])))
        every = torch.cat(states, dim=1)  # (batch, layers, dim)
        every = every / every.pow(2).sum(2, keepdim=True).clamp(min=1e-12).sqrt()
        return every, every[:, -1]

    def example(self) -> tuple[Tensor, ...]:
        return (torch.ones(2, NUMBERS),)

    def untuned(self) -> list[nn.Parameter]:
        return list(self.body.embedding.parameters())


class VectorEncoders:
    """Encoders whose config.json has the key `scale`."""

    preparer_files: tuple[str, ...] = ("scale.json",)

    def read_settings(self, name: str, folder: Path, longest: int | None) -> dict[str, Any]:
        config = read_config(folder / "config.json", name)
        if "scale" not in config:
            raise EncoderError(f"encoder {name!r}", "an encoder of vectors", "another")
        return {"normalize": True, **config}

    def load(self, source: EncoderSource) -> TorchEncoder:
        return VectorEncoder(source.folder)

    def save_preparer(self, source: EncoderSource, folder: Path) -> None:
        (folder / "scale.json").write_text(json.dumps({"scale": source.settings["scale"]}))

    def open_preparer(self, folder: Path, kept: Kept | None) -> VectorPreparer:
        return VectorPreparer(folder)

    def limit(self, settings: Mapping[str, Any]) -> str:
        return f"{NUMBERS} numbers"


def plug_in(patch: pytest.MonkeyPatch) -> None:
    """Make the modality `vector` known. This is what a plug-in adds to the two registries."""
    patch.setitem(modalities.MODALITIES, "vector", Vectors())
    patch.setitem(kinds.KINDS, "vector", VectorEncoders())


def write_encoder(folder: Path, **settings: float) -> None:
    """Write a random encoder into a folder."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    save_file(_Network().state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"scale": 2.0, **settings}))


def draw_rows(rows: int, seed: int, spread: float = 0.5) -> list[tuple[dict[str, float], str]]:
    """Draw rows of three classes around their centres. Each is a record of the six columns, and its label."""
    rng, centres = random.Random(seed), np.random.default_rng(0).normal(size=(3, NUMBERS)) * 2
    labels = [number % 3 for number in range(rows)]
    return [
        ({name: round(rng.gauss(x, spread), 4) for name, x in zip(COLUMNS, centres[label], strict=True)}, "xyz"[label])
        for label in labels
    ]
