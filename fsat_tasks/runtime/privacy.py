"""Usage reports of the libraries: all switched off, before any of these libraries is imported."""

from __future__ import annotations

import os

__all__ = ["SWITCHES", "switch_off_usage_reports"]

SWITCHES = {
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime reads it when it is imported; no later call takes its device id back
}
"""Environment variable -> value that switches a library's usage reports off."""


def switch_off_usage_reports() -> None:
    """Set the variables for this process and its children. A variable that is set already keeps its value."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
