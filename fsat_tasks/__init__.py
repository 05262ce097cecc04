"""fsat, few-shot adaptive tuning: from a few labelled samples to a calibrated and published text classifier.

The package `steps` has the steps of a run. The other packages have the parts from which the steps are built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsat_tasks.encoders.encoder import load_encoder
    from fsat_tasks.estimators.classifier import FewShotClassifier

__all__ = ["FewShotClassifier", "load_encoder"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # imported on first use, so that `import fsat_tasks` alone does not load numpy and other large libraries
    if name == "load_encoder":
        from fsat_tasks.encoders.encoder import load_encoder

        return load_encoder
    if name == "FewShotClassifier":
        from fsat_tasks.estimators.classifier import FewShotClassifier

        return FewShotClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
