"""Device on which encoders are fine-tuned."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsat_tasks.runtime.device import tuning_device


@pytest.mark.parametrize(("built", "expected"), [("2.13.0+cpu", "cpu"), ("2.13.0", "cuda"), ("2.13.0+cu130", "cuda")])
def test_a_gpu_is_left_alone_by_a_torch_that_was_built_without_one(
    built: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another torch is installed, as far as its metadata tell."""
    (tmp_path / f"torch-{built}.dist-info").mkdir()
    (tmp_path / f"torch-{built}.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {built}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert tuning_device("cuda") == expected
    assert tuning_device("cpu") == "cpu"
