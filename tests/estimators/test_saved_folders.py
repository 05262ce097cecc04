"""Estimators in folders of JSON and safetensors: they come back whole, and nothing else is loaded."""

from __future__ import annotations

import copy
import enum
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.exceptions import NotFittedError

from estimators.answer_kinds import ASKED, assert_same_answers
from estimators.toy_texts import LABELS, NEW, NUMBERS, TEXTS, Make
from fsat_tasks import FewShotClassifier, FewShotRegressor
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.errors import DataError, StoreError
from fsat_tasks.store.files import canonical_json


def loaded(estimator: Any, folder: Path) -> Any:
    """Save an estimator and load it again."""
    estimator.save(folder)
    return (FewShotRegressor if isinstance(estimator, FewShotRegressor) else FewShotClassifier).load(folder)


def test_an_estimator_comes_back_with_all_it_has_learnt(estimator: Any, encoder_store: Path, tmp_path: Path) -> None:
    again = loaded(estimator, tmp_path / "saved")
    assert_same_answers(again, estimator)
    assert repr(again).replace(type(again).__name__, type(estimator).__name__) == repr(estimator)
    assert again.get_params() == estimator.get_params()
    assert again.trace_ == estimator.trace_
    assert again.truncated_.tolist() == estimator.truncated_.tolist()
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"estimator.json", "arrays.safetensors"}


def test_it_learns_more_as_the_original_does(estimator: Any, encoder_store: Path, tmp_path: Path) -> None:
    is_regressor = isinstance(estimator, FewShotRegressor)
    answers = NUMBERS[:2] if is_regressor else estimator._labelled.rows[:2]
    original, again = copy.deepcopy(estimator), loaded(estimator, tmp_path / "saved")
    for one in (original, again):
        one.partial_fit(["an otter", "an eel"], answers)
    assert_same_answers(again, original)


def test_a_fine_tuned_encoder_is_in_the_folder(fine_tuned: Any, encoder_store: Path, tmp_path: Path) -> None:
    again = loaded(fine_tuned, tmp_path / "saved")
    assert (tmp_path / "saved" / "body.safetensors").is_file()
    assert_same_answers(again, fine_tuned)
    assert_same_answers(again.adapt(ASKED), fine_tuned.adapt(ASKED))


def test_an_adapted_classifier_comes_back_adapted(frozen: Make, encoder_store: Path, tmp_path: Path) -> None:
    adapted = frozen(coverage=0.8).fit(TEXTS, LABELS).adapt([*TEXTS[:4], *ASKED])
    again = loaded(adapted, tmp_path / "saved")
    np.testing.assert_array_equal(again.predict_proba(TEXTS[:4]), adapted.predict_proba(TEXTS[:4]))
    assert again.adaptation_ == adapted.adaptation_


def test_parameters_may_be_of_numpy_and_pathlib(encoder_store: Path, tmp_path: Path) -> None:
    order = np.array(["number", "animal", "travel"])
    parameters: dict[str, Any] = {
        "rungs": np.array(["probe"]),
        "ordered": order,
        "seed": np.int64(3),
        "coverage": np.float32(0.5),
    }
    classifier = FewShotClassifier(find_encoder("all-MiniLM-L6-v2").folder, device="cpu", **parameters).fit(TEXTS, LABELS)
    again = loaded(classifier, tmp_path / "saved")
    assert (again.rungs, again.ordered, again.seed, again.coverage) == (("probe",), order.tolist(), 3, 0.5)
    assert_same_answers(again, classifier)


class Topic(str, enum.Enum):  # noqa: UP042 - the kind that NumPy writes as Topic.NUMBER
    ANIMAL = "animal"
    NUMBER = "number"
    TRAVEL = "travel"


def test_members_of_an_enum_come_back_as_their_values_with_a_warning(frozen: Make, encoder_store: Path, tmp_path: Path) -> None:
    classifier = frozen().fit(TEXTS, [Topic(label) for label in LABELS])
    with pytest.warns(UserWarning, match=r"^save: labels of the type Topic will come back as plain text or numbers$") as found:
        again = loaded(classifier, tmp_path / "saved")
    assert [one.filename for one in found] == [__file__]
    assert [type(label) for label in again.predict(NEW).tolist()] == [str] * 3
    assert again.predict(NEW).tolist() == list(Topic)


def test_labels_that_json_cannot_hold_are_refused(frozen: Make, tmp_path: Path) -> None:
    classifier = frozen().fit(TEXTS[:8], [0.0] * 4 + [float("inf")] * 4)
    with pytest.raises(DataError, match="labels: expected finite numbers, got inf"):
        classifier.save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(toy: FewShotClassifier, tmp_path: Path) -> Path:
    toy.save(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_folder_that_save_wrote_is_replaced_and_any_other_is_left_alone(saved: Path, toy: FewShotClassifier) -> None:
    toy.save(saved)
    (saved / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(StoreError, match=r"one with other files: notes\.txt"):
        toy.save(saved)
    assert (saved / "notes.txt").read_text("utf-8") == "mine"
    assert FewShotClassifier.load(saved).classes_.tolist() == toy.classes_.tolist()


def test_nothing_is_left_of_a_folder_that_cannot_be_written(
    toy: FewShotClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fsat_tasks.estimators.saving.write_json", full)
    with pytest.raises(StoreError, match="No space left on device"):
        toy.save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def sealed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change estimator.json, and make its seal right again, as somebody would who knows the format."""
    values = json.loads((folder / "estimator.json").read_text("utf-8"))
    change(values)
    values.pop("seal")
    values["files"]["arrays.safetensors"] = hashlib.sha256((folder / "arrays.safetensors").read_bytes()).hexdigest()
    values["seal"] = hashlib.sha256(canonical_json(values).encode()).hexdigest()
    (folder / "estimator.json").write_text(json.dumps(values), "utf-8")


def arrays(folder: Path, **changes: Any) -> None:
    save_file({**load_file(folder / "arrays.safetensors"), **changes}, folder / "arrays.safetensors")
    sealed(folder, lambda values: None)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "no list": ("no estimator.json in it", lambda folder: (folder / "estimator.json").unlink()),
    "no arrays": ("no arrays.safetensors in it", lambda folder: (folder / "arrays.safetensors").unlink()),
    "a flipped bit": ("arrays.safetensors was changed", lambda folder: flip(folder / "arrays.safetensors")),
    "no JSON": ("Expecting value", lambda folder: (folder / "estimator.json").write_text("estimator")),
    "a list": ("another schema", lambda folder: (folder / "estimator.json").write_text("[]")),
    "a changed text": (
        "estimator.json was changed",
        lambda folder: (folder / "estimator.json").write_text(
            (folder / "estimator.json").read_text("utf-8").replace("a cat asleep", "a dog asleep"), "utf-8"
        ),
    ),
    "a later schema": ("another schema", lambda folder: sealed(folder, lambda values: values.update(schema=2))),
    "a regressor": ("it has a FewShotRegressor", lambda folder: sealed(folder, lambda v: v.update(estimator="FewShotRegressor"))),
    "an unknown parameter": ("unexpected keyword", lambda folder: sealed(folder, lambda v: v["parameters"].update(evil=1))),
    "a bad parameter": ("seed", lambda folder: sealed(folder, lambda values: values["parameters"].update(seed="x"))),
    "no state": ("state is no dict", lambda folder: sealed(folder, lambda values: values.update(state=None))),
    "an unknown field": ("state is no Learnt", lambda folder: sealed(folder, lambda values: values["state"].update(more=1))),
    "text for a number": (
        "state.layers is no int",
        lambda folder: sealed(folder, lambda values: values["state"].update(layers="3")),
    ),
    "another dataclass": ("setting is of no type", lambda f: sealed(f, lambda v: v["state"]["setting"].update({"is": "Path"}))),
    "a class too few": ("zip", lambda folder: sealed(folder, lambda v: v["state"]["answers"]["words"].pop())),
    "a label too few": ("as many rows", lambda folder: sealed(folder, lambda v: v["state"]["answers"]["rows"].pop())),
    "a label of a class without head": (
        "zip|classes",
        lambda folder: sealed(folder, lambda values: values["state"]["answers"]["rows"].__setitem__(0, "new")),
    ),
    "a lost array": (
        "not of its classes|shape|mismatch",
        lambda folder: arrays(folder, **{"state.head.weight": np.zeros((3, 5))}),
    ),
    "integers for weights": ("no array of float64", lambda folder: arrays(folder, **{"state.head.bias": np.zeros(3, np.int64)})),
    "an array too many": ("without a place: more", lambda folder: arrays(folder, more=np.zeros(1))),
}


def float_places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each number with a fraction in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from float_places(one, (*place, name))
    if isinstance(value, float):
        yield place


def put(values: Any, place: tuple[Any, ...], value: object) -> None:
    for name in place[:-1]:
        values = values[name]
    values[place[-1]] = value


def load_again(estimator: Any, folder: Path) -> None:
    (FewShotRegressor if isinstance(estimator, FewShotRegressor) else FewShotClassifier).load(folder)


def test_a_number_that_no_float_can_hold_is_one_clear_error(estimator: Any, tmp_path: Path) -> None:
    estimator.save(tmp_path / "saved")
    listing = (tmp_path / "saved" / "estimator.json").read_bytes()
    places = list(float_places(json.loads(listing)["state"]))
    assert len(places) > 10
    for place in places:
        (tmp_path / "saved" / "estimator.json").write_bytes(listing)
        sealed(tmp_path / "saved", lambda values, place=place: put(values["state"], place, 10**400))  # type: ignore[misc]
        with pytest.raises(DataError, match="is too large a number"):
            load_again(estimator, tmp_path / "saved")


def test_an_array_of_more_or_fewer_dimensions_is_one_clear_error(estimator: Any, tmp_path: Path) -> None:
    estimator.save(tmp_path / "saved")
    whole = load_file(tmp_path / "saved" / "arrays.safetensors")
    for name, array in whole.items():
        for other in (array[None], array[..., None], array.reshape(-1) if array.ndim > 1 else array.reshape(1, 1, -1)):
            arrays(tmp_path / "saved", **{**whole, name: np.ascontiguousarray(other)})
            with pytest.raises(DataError, match=rf"{name} has \d dimensions, not {array.ndim}"):
                load_again(estimator, tmp_path / "saved")


@pytest.mark.parametrize("damage", DAMAGES)
def test_anything_else_is_one_clear_error(saved: Path, damage: str) -> None:
    said, harm = DAMAGES[damage]
    harm(saved)
    with pytest.raises(DataError, match=said) as caught:
        FewShotClassifier.load(saved)
    assert caught.value.where == f"folder {saved}"
    assert caught.value.expected == "an estimator that `save` wrote"


def test_a_pipe_in_the_folder_keeps_nobody_waiting(saved: Path) -> None:
    (saved / "arrays.safetensors").unlink()
    os.mkfifo(saved / "arrays.safetensors")
    with pytest.raises(DataError, match="not a file"):
        FewShotClassifier.load(saved)


@pytest.mark.parametrize("kind", [FewShotClassifier, FewShotRegressor])
def test_an_estimator_that_is_not_fitted_is_not_saved(kind: Any, tmp_path: Path) -> None:
    for call in (kind().save, kind().export):
        with pytest.raises(NotFittedError):
            call(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []
