"""The nodes of each link give the outputs and the certainty of the numerics."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from fsat_tasks.models.link_nodes import OUTPUT_NAMES, link_part
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.runtime.session import open_session

TEMPERATURE = 2.5


@pytest.mark.parametrize("link", list(Link))
def test_nodes_of_a_link_give_its_outputs_and_its_certainty(link: Link) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 1 if link is Link.IDENTITY else 4)) * 6.0
    if link is Link.CUMULATIVE:
        logits = -np.sort(-logits, axis=1)  # the chance of a higher grade falls
    constants, nodes = link_part(link, TEMPERATURE)
    outputs = [OUTPUT_NAMES.get(link, "probabilities"), "scope.certainty"]
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes],
        "link",
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", logits.shape[1]])],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found, certainty = open_session(model.SerializeToString(), "cpu").run(outputs, {"logits": logits.astype(np.float32)})
    np.testing.assert_allclose(found, link.outputs(logits, TEMPERATURE), atol=2e-6, rtol=2e-6)
    np.testing.assert_allclose(certainty[:, 0], link.certainty(logits), atol=2e-5)


@pytest.mark.parametrize("link", [Link.SOFTMAX, Link.CUMULATIVE])
def test_probabilities_of_one_answer_sum_to_one(link: Link) -> None:
    logits = -np.sort(-np.random.default_rng(1).normal(size=(30, 3)) * 30.0, axis=1)
    np.testing.assert_allclose(link.outputs(logits).sum(axis=1), 1.0)
