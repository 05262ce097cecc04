"""Serving: the exported folder alone answers as the tuned head does, and only with the files that were published."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.data.readers import read_inputs
from fsat_tasks.errors import DataError, RegistryError, TaskError
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.text import Texts
from fsat_tasks.models.served import Answered, ServedModel
from fsat_tasks.models.variants import MODEL
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic import predictions
from fsat_tasks.traffic.predictions import BATCH, predict, predict_stream

TASK = "support-intents"
TEXTS = ["my card has not arrived", "", "🎉", "word " * 1000, "the cash machine kept my money", "PIN blocked"]


@pytest.fixture
def served(demo_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's model folder. FSAT_STORE names its store, which is only read."""
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    return champion_model(TASK).path


def served_graph(folder: Path) -> str:
    """File name of the graph that answers."""
    return str(json.loads((folder / "config.json").read_text())["served"])


def test_probabilities_add_up_to_one_in_the_order_of_the_labels(served: Path) -> None:
    model = ServedModel(served)
    probabilities = model.run(TEXTS)[0]
    assert probabilities.shape == (len(TEXTS), len(model.rule.labels)) == (len(TEXTS), 14)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert model.rule.labels == sorted(model.rule.labels)
    assert model.rule.labels[probabilities[0].argmax()] == "card_not_arrived"


def test_graph_answers_as_the_head_on_the_encoders_features(
    served: Path, demo_store: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    from fsat_tasks.encoders.encoder import load_encoder
    from fsat_tasks.models.head import load_head
    from fsat_tasks.store import Store

    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    (key,) = (path.name for path in demo_store.glob("tune/*/*"))
    tuned = Store(demo_store).find("tune", key)
    assert tuned is not None
    head = load_head(tuned)
    expected = head.outputs(load_encoder("all-MiniLM-L6-v2", "cpu").encode(TEXTS, "all"))
    np.testing.assert_allclose(ServedModel(served, MODEL).run(TEXTS)[0], expected, atol=1e-4)
    bound = load_task(TASK).spec.gates.max_variant_error  # the served graph may be a smaller variant
    np.testing.assert_allclose(ServedModel(served).run(TEXTS)[0], expected, atol=bound)


def test_model_folder_works_anywhere(served: Path, tmp_path: Path) -> None:
    for name in (served_graph(served), "tokenizer.json", "config.json"):
        shutil.copyfile(served / name, tmp_path / name)
    np.testing.assert_array_equal(ServedModel(tmp_path).run(TEXTS)[0], ServedModel(served).run(TEXTS)[0])


def test_model_folder_says_what_it_is(served: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    config = json.loads((served / "config.json").read_text())
    assert (config["task"], config["labels"]) == (TASK, sorted(load_task(TASK).spec.classes))
    card = (served / "README.md").read_text()
    assert TASK in card
    assert all(label in card for label in config["labels"])


def test_answers_come_in_the_order_of_the_texts(served: Path) -> None:
    model = ServedModel(served)
    texts = [*(f"payment number {i} was declined" for i in range(BATCH - 4)), *TEXTS]  # some of these are in a second batch
    answers = list(predict(TASK, texts))
    assert [answer["text"] for answer in answers] == texts
    probabilities = model.run(texts)[0]
    assert [answer["label"] for answer in answers] == [model.rule.labels[i] for i in probabilities.argmax(1)]
    assert [answer["probability"] for answer in answers] == pytest.approx(probabilities.max(1).tolist(), abs=1e-4)


def test_endless_input_is_answered_in_bounded_batches(served: Path) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "my card has not arrived"

    assert len(list(itertools.islice(predict(TASK, endless()), BATCH + 2))) == BATCH + 2
    assert taken == 2 * BATCH == 128


def test_lines_that_come_at_once_are_answered_64_at_a_time(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    class Counted(ServedModel):
        def answer(self, inputs: Sequence[str]) -> Answered:
            batches.append(len(inputs))
            return super().answer(inputs)

    monkeypatch.setattr(predictions, "ServedModel", Counted)
    stream = io.BytesIO(b"my card\n" * 130)
    answers = list(predict_stream(TASK, stream, "pipe"))
    assert batches == [64, 64, 2]
    assert answers == list(predict(TASK, ["my card"])) * 130


@pytest.mark.parametrize("stream", [False, True])
def test_one_warning_says_how_many_texts_the_encoder_did_not_read_to_their_end(
    stream: bool, served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["short", *["word " * 300] * (BATCH + 1)]
    answers = predict_stream(TASK, io.BytesIO("\n".join(texts).encode()), "pipe") if stream else predict(TASK, texts)
    assert len(list(answers)) == BATCH + 2
    assert caplog.messages == ["65 of 66 texts were cut to 256 tokens, because the encoder reads no more"]
    assert [answer["text"] for answer in predict(TASK, ["short"])] == ["short"]
    assert len(caplog.messages) == 1


def test_no_texts_have_no_answers(served: Path) -> None:
    assert list(predict(TASK, [])) == []


def test_prediction_needs_neither_torch_nor_transformers(demo_store: Path) -> None:
    code = (
        "import sys; from fsat_tasks.traffic.predictions import predict; print(list(predict('support-intents', ['hello'])));"
        "print([name for name in ('torch', 'transformers', 'pandas', 'great_expectations', 'sklearn') if name in sys.modules])"
    )
    environment = {**os.environ, "FSAT_STORE": str(demo_store)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[1] == "[]"


def test_task_without_a_champion_says_how_to_make_one(store_root: Path) -> None:
    with pytest.raises(RegistryError, match=r"'support-intents': expected a published model, got none yet. .*fsat run"):
        list(predict(TASK, ["x"]))
    with pytest.raises(TaskError):
        list(predict("../x", ["x"]))


@pytest.mark.parametrize("name", ["the served graph", MODEL, "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_model_that_is_not_the_published_one_answers_nothing(name: str, damage: str, demo_copy: Path) -> None:
    folder = champion_model(TASK).path
    path = folder / (served_graph(folder) if name == "the served graph" else name)
    content = path.read_bytes()
    path.unlink()
    if damage == "altered":
        path.write_bytes(content[:-10] + b"0123456789")
    with pytest.raises(RegistryError, match=r"expected the files that were published, got missing or altered ones.*fsat run"):
        list(predict(TASK, ["x"]))


def test_whole_artefact_with_another_digest_is_not_the_published_model(demo_copy: Path) -> None:
    for path in (demo_copy / "registry" / TASK).glob("*.json*"):
        champion = json.loads(path.read_text())
        champion["model"]["digest"] = "0" * 64
        path.write_text(json.dumps(champion) + "\n")
    with pytest.raises(RegistryError, match="expected the files that were published"):
        champion_model(TASK)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b'id,body\n1,first\n2,"sec\nond"\n3,\n'),
        ("t.jsonl", b'{"body": "first"}\n{"body": "sec\\nond"}\n{"body": null}\n'),
        ("t.txt", b"first\nsec\r\n\n"),
    ],
)
def test_texts_are_read_from_tables_and_from_lines(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    expected = ["first", "sec", ""] if name == "t.txt" else ["first", "sec\nond", ""]
    assert list(read_inputs(tmp_path / name, RowFormat(Texts(), "body", 100))) == expected


def test_lines_with_damaged_letters_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("gut für\n".encode() + b"caf\xe9\n")
    with pytest.raises(DataError, match=r"t\.txt, line 2: expected UTF-8, got the byte 0xe9"):
        list(read_inputs(tmp_path / "t.txt", RowFormat(Texts(), "text", 100)))


def test_missing_column_of_a_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"body\na\n")
    with pytest.raises(DataError, match="expected a column 'text', got the columns 'body'"):
        list(read_inputs(tmp_path / "t.csv", RowFormat(Texts(), "text", 100)))
