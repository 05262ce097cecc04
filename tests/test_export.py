"""The exported graph against the head that it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from fsat_tasks.encoder import Encoder, load_tokenizer, open_session, token_batches
from fsat_tasks.export import join_head
from fsat_tasks.extract import task_encoder
from fsat_tasks.spec import load_task
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tune import Head

TEXTS = ["short", "a somewhat longer text about a card that was declined", "", "ünïcödé 🙂"]


@pytest.fixture
def exported(encoder_store: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Artefact:
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    return task_encoder(load_task("support-intents"), Store(encoder_store))


@pytest.mark.parametrize("layers", [1, 2, 6])
def test_graph_gives_the_probabilities_of_the_head(layers: int, exported: Artefact, tmp_path: Path) -> None:
    rng = np.random.default_rng(layers)
    weight = rng.normal(size=(5, layers * 384)).astype(np.float32) * 5
    head = Head(list("abcde"), layers, weight, rng.normal(size=5).astype(np.float32), temperature=0.7, lines=[])
    onnx.save(join_head(onnx.load(exported.path / "encoder.onnx"), head), tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx", "cpu")
    assert [value.name for value in session.get_outputs()] == ["probabilities"]
    expected = head.probabilities(Encoder(exported, "cpu").encode(TEXTS, "all"))
    for rows, ids, mask in token_batches(*load_tokenizer(exported.path / "tokenizer.json"), TEXTS):
        found = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        np.testing.assert_allclose(found, expected[rows], atol=2e-6)


def test_graph_of_the_last_layer_alone_has_no_pooling_of_the_others(exported: Artefact) -> None:
    encoder = onnx.load(exported.path / "encoder.onnx")
    heads = [
        Head(["a", "b"], layers, np.ones((2, layers * 384), np.float32), np.zeros(2, np.float32), 1.0, []) for layers in (1, 6)
    ]
    last, all_blocks = (len(join_head(encoder, head).graph.node) for head in heads)
    assert last < all_blocks
