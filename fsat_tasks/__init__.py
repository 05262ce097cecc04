"""fsat: few-shot adaptive tuning. The steps of the workflow, one module each, in the order in which data flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsat_tasks.encoders.encoder import load_encoder
    from fsat_tasks.estimators.classifier import FewShotClassifier

__all__ = ["FewShotClassifier", "load_encoder"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # on first use: `import fsat_tasks` stays free of numpy and of all that follows
    if name == "load_encoder":
        from fsat_tasks.encoders.encoder import load_encoder

        return load_encoder
    if name == "FewShotClassifier":
        from fsat_tasks.estimators.classifier import FewShotClassifier

        return FewShotClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
