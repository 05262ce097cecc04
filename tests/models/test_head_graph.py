"""The graph of an encoder and a head, against the head that it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from fsat_tasks.encoders.apart_graph import let_fuse
from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.encoders.prepare import padded_batches
from fsat_tasks.models.graph_parts import half_precision, take_apart, whole
from fsat_tasks.models.head_graph import join_head
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.calibrated import CalibratedHead
from fsat_tasks.numerics.heads.memory import Memory, TaughtHead
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.scope import fit_scope
from fsat_tasks.runtime.session import open_session
from fsat_tasks.store import Artefact, Store

TEXTS = ["short", "a somewhat longer text about a card that was declined", "", "ünïcödé 🙂"]


def made_up_head(classes: int, layers: int, outside: int = 0) -> CalibratedHead:
    """Return a head with random weights and samples, whose scope score knows this number of rows that are out of scope."""
    rng = np.random.default_rng(layers)
    linear = LinearHead(rng.normal(size=(classes, layers * 384)) * 5, rng.normal(size=classes))
    labels = np.repeat(np.arange(classes), 3)
    samples, names = (mix_layers(rng.normal(size=(rows, layers, 384)), layers) for rows in (len(labels), classes))
    far = mix_layers(rng.normal(size=(outside, layers, 384)), layers)
    scope = fit_scope(samples, OneLabel(labels, classes), names, 0.7, linear.logits(samples), far)
    return CalibratedHead(linear, layers, 0.7, scope, 0.0)


def with_memory(head: CalibratedHead, rows: int, share: float) -> CalibratedHead:
    """Return the head with a memory of random pool rows."""
    rng = np.random.default_rng(rows)
    classes, dim = head.linear.weight.shape
    basis = np.linalg.qr(rng.normal(size=(dim, min(dim, 256))))[0]
    keys = unit_rows(mix_layers(rng.normal(size=(rows, head.layers, 384)), head.layers) @ basis)
    memory = Memory(basis, keys, rng.dirichlet(np.ones(classes), rows), share)
    return replace(head, head=TaughtHead(head.linear, memory))


@pytest.fixture
def exported(encoder_store: Path) -> Artefact:
    return export_encoder(find_encoder("all-MiniLM-L6-v2"), Store(encoder_store))


@pytest.mark.parametrize(("layers", "pool", "outside"), [(1, 0, 0), (1, 300, 1), (2, 7, 4), (6, 0, 0)])
def test_graph_gives_the_probabilities_and_scope_scores_of_the_head(
    layers: int, pool: int, outside: int, exported: Artefact, tmp_path: Path
) -> None:
    head = made_up_head(5, layers, outside)
    if pool:
        head = with_memory(head, pool, 2.0)
    onnx.save(join_head(onnx.load(exported.path / "encoder.onnx"), head), tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx", "cpu")
    assert [value.name for value in session.get_outputs()] == ["probabilities", "scope"]
    features = Encoder(exported, "cpu").encode(TEXTS, "all")
    expected, expected_scope = head.outputs(features), head.scope_scores(features)
    for rows, feed, _ in padded_batches(open_preparer(exported.path).prepare(TEXTS), 1024):
        found, scope = session.run(None, feed)
        np.testing.assert_allclose(found, expected[rows], atol=2e-6)
        np.testing.assert_allclose(scope, expected_scope[rows], rtol=1e-4, atol=1e-4)


def test_graph_of_the_last_layer_alone_has_no_pooling_of_the_others(exported: Artefact) -> None:
    encoder = onnx.load(exported.path / "encoder.onnx")
    last, all_blocks = (len(join_head(encoder, made_up_head(2, layers)).graph.node) for layers in (1, 6))
    assert last < all_blocks


@pytest.mark.parametrize("layers", [1, 2])
def test_graphs_that_are_made_without_the_weights_values_are_those_made_with_them(exported: Artefact, layers: int) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    head, path = with_memory(made_up_head(3, layers), 30, 0.5), exported.path / "encoder.onnx"
    parts = take_apart(path)
    plain = join_head(onnx.load(path), head)
    assert whole(join_head(parts.graph, head), parts).SerializeToString() == plain.SerializeToString()
    half = whole(half_precision(join_head(parts.graph, head), parts), parts)
    let_fuse(plain.graph)
    assert half.SerializeToString() == convert_float_to_float16(plain, keep_io_types=True).SerializeToString()
    assert len(parts.graph.SerializeToString()) < 1_000_000
