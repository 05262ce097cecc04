"""Fixtures of the encoders' tests: the exported bundled encoder, on ONNX Runtime and on a backend that costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from fake_backend import FakeBackend, Make
from fsat_tasks.encoders import encoder as encoder_module
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.store import Artefact, Store


@pytest.fixture(scope="session")
def source() -> EncoderSource:
    return find_encoder("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def exported(demo_store: Path, source: EncoderSource) -> Artefact:
    return export_encoder(source, Store(demo_store))  # found there, not made


@pytest.fixture(scope="session")
def real(exported: Artefact) -> Encoder:
    return Encoder(exported, "cpu")


@pytest.fixture(scope="session")
def make(exported: Artefact) -> Make:
    """An encoder that runs a backend: make(FakeBackend()), without a session of ONNX Runtime."""

    def encoder(backend: FakeBackend, long_texts: Literal["cut", "mean"] = "cut") -> Encoder:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoder_module, "open_backend", lambda *_: backend)
            return Encoder(exported, "cpu", long_texts=long_texts)

    return encoder
