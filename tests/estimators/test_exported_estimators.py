"""The model folder of an estimator: what `fsat export` writes, with answers that need neither fsat nor torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from estimators.answer_kinds import ASKED, fitted
from estimators.toy_texts import LABELS, NEW, TEXTS, Make
from fsat_tasks import FewShotClassifier, FewShotRegressor
from fsat_tasks.errors import DataError, StoreError
from fsat_tasks.estimators.adaptation import Adaptation

FILES = {
    *("model.onnx", "model-int8.onnx", "model-fp16.onnx", "tokenizer.json", "config.json", "README.md"),
    *("variants.json", "parity.json", "gates.json", "artefact.json"),
}


def served(folder: Path, file: str, texts: list[str]) -> tuple[Any, Any]:
    """Return what a server with ONNX Runtime and the package tokenizers alone gives."""
    codes = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(texts)
    session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
    feed = {"input_ids": [code.ids for code in codes], "attention_mask": [code.attention_mask for code in codes]}
    first, scope = session.run(None, {name: np.array(rows) for name, rows in feed.items()})
    return first, scope


@pytest.mark.parametrize("kind", ["one label", "taught by a pool", "several labels", "grades", "numbers"])
def test_any_onnx_runtime_gives_the_answers_of_the_estimator(kind: str, encoder_store: Path, tmp_path: Path) -> None:
    estimator = fitted(kind)
    estimator.export(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    config = json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))
    outputs, scope = served(tmp_path / "model", "model.onnx", ASKED)
    expected = estimator.predict(ASKED)[:, None] if isinstance(estimator, FewShotRegressor) else estimator.predict_proba(ASKED)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    np.testing.assert_array_equal(scope >= float(config["scope_threshold"]), estimator.in_scope(ASKED))
    small, _ = served(tmp_path / "model", config["served"], NEW)
    passed = {one["file"] for one in json.loads((tmp_path / "model" / "variants.json").read_text("utf-8")) if one["passes"]}
    # numbers that are nearly learnt by heart lose by any rounding, so their gate may refuse int8; it never may for labels
    assert config["served"] == ("model.onnx" if kind == "numbers" and "model-int8.onnx" not in passed else "model-int8.onnx")
    assert config["served"] in passed
    np.testing.assert_array_equal(small.argmax(axis=1), outputs[: len(NEW)].argmax(axis=1))
    assert config["labels"] == ([] if isinstance(estimator, FewShotRegressor) else list(estimator.classes_))
    assert config["task"] == "model"
    assert f"{len(TEXTS)} samples, each left out in turn" in (tmp_path / "model" / "README.md").read_text("utf-8")


def test_a_fine_tuned_encoder_is_in_the_graph_and_not_in_the_store(fine_tuned: Any, encoder_store: Path, tmp_path: Path) -> None:
    fine_tuned.export(tmp_path / "model")
    outputs, scope = served(tmp_path / "model", "model.onnx", ASKED)
    np.testing.assert_allclose(outputs, fine_tuned.predict_proba(ASKED), atol=1e-4)
    np.testing.assert_allclose(scope, fine_tuned.score_samples(ASKED), atol=1e-3)
    assert [path.name for path in tmp_path.iterdir() if path != encoder_store] == ["model"]
    assert not (encoder_store / "tuned-encoder").exists()


def test_labels_that_are_no_text_are_json_as_in_a_task(estimator: Any) -> None:
    view = estimator._task_view()
    assert len(view.labels) == len(TEXTS)
    if isinstance(estimator, FewShotClassifier):
        assert view.classes == [label if isinstance(label, str) else json.dumps(label) for label in estimator.classes_.tolist()]
        assert {part for label in view.labels for part in view.target.parts(label)} == {*view.classes}


def test_labels_with_every_separator_cannot_be_several(frozen: Make, tmp_path: Path) -> None:
    classifier = frozen(rungs=("probe",)).fit(TEXTS, [["|;,/~^\t"] if i % 2 else ["cat"] for i in range(len(TEXTS))])
    with pytest.raises(DataError, match="a character that no label has"):
        classifier.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_adapted_classifier_is_not_exported(frozen: Make, tmp_path: Path) -> None:
    adapted = frozen().fit(TEXTS, LABELS)
    adapted._adaptation = Adaptation(np.array([0.1, 0.0, 0.0]), {})
    with pytest.raises(DataError, match="got one that is adapted to a batch of texts"):
        adapted.export(tmp_path / "model")


def test_a_folder_with_other_files_is_left_alone(frozen: Make, encoder_store: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("mine", "utf-8")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        frozen().fit(TEXTS, LABELS).export(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["thesis.txt"]
