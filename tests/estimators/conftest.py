"""Fixtures of the estimators' tests: estimators that share one encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from estimators.answer_kinds import KINDS, fitted
from estimators.toy_texts import LABELS, TEXTS, Make, MakeRegressor, Remembering, make_regressor_with, make_with
from fsat_tasks import FewShotClassifier
from fsat_tasks.encoders.encoder import load_encoder


@pytest.fixture(scope="session")
def remembering(demo_store: Path) -> Remembering:
    """The encoder that all estimators share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_STORE", str(demo_store))  # read alone: the encoder is there already
        return Remembering(load_encoder("all-MiniLM-L6-v2", "cpu"), demo_store)


@pytest.fixture(scope="session")
def frozen(remembering: Remembering) -> Make:
    """Make a classifier whose rungs leave the encoder as it is: frozen(better=None, **parameters)."""
    return make_with(remembering)


@pytest.fixture(scope="session")
def regressor(remembering: Remembering) -> MakeRegressor:
    """Make a regressor whose rungs leave the encoder as it is: regressor(**parameters)."""
    return make_regressor_with(remembering)


@pytest.fixture(scope="module")
def toy(frozen: Make) -> FewShotClassifier:
    """A classifier fitted on the three classes; for reading."""
    return frozen().fit(TEXTS, LABELS)


@pytest.fixture(scope="module", params=KINDS)
def estimator(request: pytest.FixtureRequest, demo_store: Path) -> Any:
    """An estimator with each kind of answer in turn, fitted with the real encoder; for reading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_STORE", str(demo_store))  # read alone: the encoder is there already
        return fitted(request.param)


@pytest.fixture(scope="session")
def fine_tuned(demo_store: Path) -> Any:
    """A classifier with a fine-tuned encoder; for reading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_STORE", str(demo_store))  # read alone: the encoder is there already
        return fitted("fine-tuned")
