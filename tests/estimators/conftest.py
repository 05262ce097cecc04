"""Fixtures of the estimators' tests: classifiers that share one encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from estimators.toy_texts import LABELS, TEXTS, Make, Remembering, make_with
from fsat_tasks import FewShotClassifier
from fsat_tasks.encoders.encoder import load_encoder


@pytest.fixture(scope="session")
def frozen(demo_store: Path) -> Make:
    """Make a classifier whose rungs leave the encoder as it is: frozen(better=None, **parameters)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_STORE", str(demo_store))  # read alone: the encoder is there already
        return make_with(Remembering(load_encoder("all-MiniLM-L6-v2", "cpu"), demo_store))


@pytest.fixture(scope="module")
def toy(frozen: Make) -> FewShotClassifier:
    """A classifier fitted on the three classes; for reading."""
    return frozen().fit(TEXTS, LABELS)
