"""Errors that fsat did not raise: a line that names one, and the translation of those of ONNX Runtime and torch."""

from __future__ import annotations

import traceback

from fsat_tasks.errors import DeviceError, FsatError, OutOfMemoryError

__all__ = ["NamedErrors", "say_type"]


NO_MEMORY = (
    "out of memory",
    "failed to allocate",
    "cannot allocate",
    "can't allocate",
    "bad_alloc",
    "bad allocation",
    "alloc_failed",
    "not enough memory",
    "smaller than requested",
)


GPU_IS_GONE = (
    "cuda error",
    "cuda failure",
    "cublas",
    "cudnn",
    "device-side",
    "no cuda-capable",
    "no nvidia driver",
    "driver shutting down",
)


def say_type(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    return traceback.format_exception_only(error)[0].split("\n")[0]


class NamedErrors:
    """Context manager that translates errors of ONNX Runtime and torch into fsat's own errors.

    It recognises the cause by words in the error's message.

    This is a class and not a generator because of memory. From Python 3.12 on, a generator's frames would keep a
    batch that did not fit into memory until the next garbage collection.

    Args:
        work: name of the work for the message, such as "a batch of (32, 128) tokens".

    Raises:
        OutOfMemoryError: if the machine or the GPU ran out of memory.
        DeviceError: if the GPU no longer answers.
    """

    def __init__(self, work: str) -> None:
        self._work = work

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # the type does not tell: ONNX Runtime's errors derive directly from Exception, and torch's are RuntimeErrors
        if not isinstance(error, Exception) or isinstance(error, FsatError):
            return
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
            raise OutOfMemoryError(f"no memory for {self._work}: {error}") from error
        if any(words in text for words in GPU_IS_GONE):
            raise DeviceError(
                "device cuda",
                "a GPU that answers",
                str(error).split("\n")[0],
                "See nvidia-smi; with device auto the CPU takes over.",
            ) from error
