"""Device on which encoders are fine-tuned."""

from __future__ import annotations

import pytest

from fsat_tasks.runtime import device


@pytest.mark.parametrize(("built", "expected"), [("2.13.0+cpu", "cpu"), ("2.13.0", "cuda"), ("2.13.0+cu130", "cuda")])
def test_a_gpu_is_left_alone_by_a_torch_that_was_built_without_one(
    built: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "version", lambda _: built)
    assert device.tuning_device("cuda") == expected
    assert device.tuning_device("cpu") == "cpu"
