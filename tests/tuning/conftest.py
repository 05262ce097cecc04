"""Fixtures of the tuning tests: one thread, and a tiny encoder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from fsat_tasks.encoders.source import EncoderSource


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread: sums have one order, and no time is lost on shared cores."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncoderSource]:
    """A random BERT of two blocks; torch runs on one thread."""
    import torch

    from tuning.tiny_encoder import write_encoder

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield write_encoder(tmp_path_factory.mktemp("tiny"))
    torch.set_num_threads(threads)
