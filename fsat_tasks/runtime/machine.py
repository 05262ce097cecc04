"""This machine: processor cores, their instructions and GPUs, found without importing torch; and the name of the user."""

from __future__ import annotations

import ctypes
import functools
import getpass
import os
from pathlib import Path
from typing import Literal

__all__ = ["Device", "available_cores", "cuda_devices", "has_bfloat16", "user_name"]

Device = Literal["cpu", "cuda"]


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 matrices faster than float32 ones (AVX-512 BF16; Linux only)."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # not Linux
        return False


def cuda_devices() -> int:
    """Return the number of NVIDIA GPUs that the driver reports; 0 without a driver."""
    # the driver is asked directly, because importing torch would cost seconds in every run
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def user_name() -> str:
    """Return the name of this process's user. It is valid UTF-8."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in a container, the user may have no name
        name = f"user {os.getuid()}"
    return name.encode("utf-8", "backslashreplace").decode()
