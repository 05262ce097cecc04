"""fsat, few-shot adaptive tuning: from a few labelled samples to a calibrated and published text classifier.

The package `steps` has the steps of a run. The other packages have the parts from which the steps are built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsat_tasks.runtime.privacy import switch_off_usage_reports

if TYPE_CHECKING:
    from fsat_tasks.encoders.encoder import load_encoder
    from fsat_tasks.estimators.classifier import FewShotClassifier
    from fsat_tasks.estimators.regressor import FewShotRegressor

__all__ = ["FewShotClassifier", "FewShotRegressor", "load_encoder"]

__version__ = "0.1.0"

switch_off_usage_reports()


def __getattr__(name: str) -> Any:
    # imported on first use, so that `import fsat_tasks` alone does not load numpy and other large libraries
    if name == "load_encoder":
        from fsat_tasks.encoders.encoder import load_encoder

        return load_encoder
    if name == "FewShotClassifier":
        from fsat_tasks.estimators.classifier import FewShotClassifier

        return FewShotClassifier
    if name == "FewShotRegressor":
        from fsat_tasks.estimators.regressor import FewShotRegressor

        return FewShotRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
