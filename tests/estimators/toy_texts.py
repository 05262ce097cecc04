"""Twelve texts of three classes, and how estimators for the tests are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsat_tasks import FewShotClassifier, FewShotRegressor
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.numerics.evidence.held_out import Comparison
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.tuning.ladder import run_ladder
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.state import LadderSettings, Rung
from fsat_tasks.tuning.trial import Fit

FROZEN = ("prototypes", "probe")
TEXTS = [
    "a cat asleep on the sofa",
    "the dog barks all night",
    "a horse in the field",
    "two goats on a hill",
    "seven plus two is nine",
    "the square root of sixteen",
    "count from one to ten",
    "half of forty is twenty",
    "book a flight to Rome",
    "the train leaves at noon",
    "a hotel near the airport",
    "rent a car for a week",
]
LABELS = ["animal"] * 4 + ["number"] * 4 + ["travel"] * 4
NUMBERS = [4.0, 4.5, 5.0, 3.5, -1.0, 0.0, 0.5, -0.5, 9.0, 9.5, 10.0, 8.5]  # about 4, 0 and 9 for the three classes
GRADES = {"number": 2, "animal": 10, "travel": 30}
NEW = ["the puppy chases a cat", "three times three", "a bus ticket to the coast"]

SEVERAL = [
    ["animal"],
    ["animal", "noise"],
    {"animal"},
    ("animal",),
    ["number"],
    ["number"],
    ["number"],
    ["number"],
    [],
    [],
    ["noise"],
    [],
]
MATRIX = np.array([[int(label in row) for label in ("animal", "noise", "number")] for row in SEVERAL])


class Remembering:
    """The real encoder, which encodes each text once. Features of the demo's texts come from its run."""

    def __init__(self, encoder: Encoder, demo_store: Path) -> None:
        self.encoder, self.prepare, self.source = encoder, encoder.prepare, encoder.source
        self.cuts, self.limit = encoder.cuts, encoder.limit
        (extracted,) = demo_store.glob("extract/*/*/manifest.json")
        files = [file for place in ("validate/*/*/texts.parquet", "pool/*/*/pool.parquet") for file in demo_store.glob(place)]
        texts = [text for file in files for text in pq.read_table(file)["text"].to_pylist()]
        done = Artefact(extracted.parent, json.loads(extracted.read_text("utf-8")))
        self.known = dict(
            zip(texts, Run(load_task("support-intents"), Store(demo_store), {"extract": done}).features(texts), strict=True)
        )

    def encode(self, texts: Sequence[str], layers: Any, progress: Any = None) -> NDArray[np.float32]:
        if fresh := [text for text in dict.fromkeys(texts) if text not in self.known]:
            self.known |= zip(fresh, self.encoder.encode(fresh, layers), strict=True)
        return np.stack([self.known[text] for text in texts]) if len(texts) else self.encoder.encode([], layers)


Make = Callable[..., FewShotClassifier]
"""make(better=None, **parameters) -> a classifier without fine-tuning, not fitted.

If `better` is True every rung above the first is taken, if it is False none is; by default the evidence decides.
"""


def make_with(encoder: Remembering) -> Make:
    """Return a maker of classifiers that share the encoder, so that no text is encoded twice."""

    class Remembered(FewShotClassifier):
        better: bool | None = None

        def _load_encoder(self) -> Encoder:
            return cast("Encoder", encoder)

        def _run_ladder(self, material: Material, settings: LadderSettings, ladder: Sequence[Rung]) -> Fit:
            if self.better is None:
                return run_ladder(material, settings, ladder)
            gain = 1.0 if self.better else -1.0
            return run_ladder(material, settings, ladder, compare=lambda *_: Comparison(gain, 0.0, 0.0))

    class Taken(Remembered):
        better = True

    class Refused(Remembered):
        better = False

    kinds = {None: Remembered, True: Taken, False: Refused}

    def make(better: bool | None = None, **parameters: Any) -> FewShotClassifier:
        return kinds[better](**{"rungs": FROZEN, "device": "cpu", **parameters})

    return make


MakeRegressor = Callable[..., FewShotRegressor]
"""make(**parameters) -> a regressor without fine-tuning, not fitted."""


def make_regressor_with(encoder: Remembering) -> MakeRegressor:
    """Return a maker of regressors that share the encoder."""

    class Remembered(FewShotRegressor):
        def _load_encoder(self) -> Encoder:
            return cast("Encoder", encoder)

    return lambda **parameters: Remembered(**{"rungs": ("probe",), "device": "cpu", **parameters})
