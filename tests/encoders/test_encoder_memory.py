"""Features are the same with little memory; a call that cannot go on ends at once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_backend import TEXTS, FakeBackend, Make
from fsat_tasks.encoders import encoder as encoder_module
from fsat_tasks.errors import DeviceError, OutOfMemoryError

# Memory


@settings(max_examples=30)
@given(texts=TEXTS, fits=st.integers(1, 8))
def test_features_are_the_same_where_only_some_rows_fit_at_a_time(make: Make, texts: list[str], fits: int) -> None:
    with_room, without = FakeBackend(), FakeBackend(fits)
    for layers in ("last", "all"):
        np.testing.assert_array_equal(make(without).encode(texts, layers), make(with_room).encode(texts, layers))
    assert sorted(without.rows) == sorted(with_room.rows)  # nothing is computed again


def test_batch_that_does_not_fit_runs_in_halves_and_later_batches_are_smaller(make: Make) -> None:
    backend = FakeBackend(fits=3)
    encoder = make(backend)
    encoder.encode([f"card {i}" for i in range(40)])  # (40, 4) tokens: 16 rows a batch
    assert max(backend.asked) == 16
    assert encoder.counts.halved >= 3
    before = encoder.counts.halved
    backend.asked.clear()
    encoder.encode([f"money {i}" for i in range(40)])
    assert max(backend.asked) <= 3
    assert encoder.counts.halved == before


def test_encoder_that_has_room_halves_nothing(make: Make) -> None:
    backend = FakeBackend()
    encoder = make(backend)
    encoder.encode([f"card {i}" for i in range(40)])
    assert backend.asked == [16, 16, 8]
    assert encoder.counts.halved == 0


def test_row_that_does_not_fit_alone_is_an_out_of_memory_error(make: Make) -> None:
    backend = FakeBackend(fits=0)
    with pytest.raises(OutOfMemoryError, match="1 rows"):
        make(backend).encode(["card", "money", "lost", "the"])
    assert backend.asked == [4, 2, 1]  # and no further row is tried


# A GPU that is gone


@pytest.mark.parametrize("chunk", [8192, 32])
def test_device_error_ends_the_call_and_no_thread_goes_on(make: Make, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "CHUNK", chunk)
    backend = FakeBackend(breaks=3, seconds=0.005)
    threads = threading.active_count()
    encoder = make(backend)
    with pytest.raises(DeviceError, match="a GPU that answers"):
        encoder.encode([f"card {i}" for i in range(3200)])  # 200 batches
    calls = len(backend.asked)
    assert calls < 30
    assert threading.active_count() == threads
    time.sleep(0.05)
    assert len(backend.asked) == calls
    assert encoder.counts.rows == 0


def test_encoder_can_be_used_again_after_an_error(make: Make) -> None:
    backend = FakeBackend(breaks=1)
    encoder = make(backend)
    with pytest.raises(DeviceError):
        encoder.encode(["card"])
    backend.breaks = None
    np.testing.assert_array_equal(encoder.encode(["card"]), make(FakeBackend()).encode(["card"]))


def test_error_that_a_progress_bar_raises_ends_the_call_too(make: Make) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    backend = FakeBackend(seconds=0.005)
    with pytest.raises(KeyboardInterrupt):
        make(backend).encode([f"card {i}" for i in range(3200)], progress=stop)
    assert len(backend.asked) < 30
