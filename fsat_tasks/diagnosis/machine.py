"""Checks of this machine: versions, cores, a GPU, and encoders."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fsat_tasks import __version__
from fsat_tasks.diagnosis.check import Check
from fsat_tasks.encoders.source import BUNDLED, locate_encoder
from fsat_tasks.runtime.device import tuning_device
from fsat_tasks.runtime.environment import is_folder, path_variable
from fsat_tasks.runtime.machine import available_cores, cuda_devices
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda

__all__ = ["check_cores", "check_encoders", "check_gpu", "check_onnxruntime", "check_versions", "installed"]

PACKAGES = ("torch", "transformers", "great-expectations")
LEAST_MEMORY = 4e9
"""Bytes of memory below which the tuning of an encoder may fail. A worker takes about 2 GB."""
ONNX_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")


def check_versions() -> Check:
    """Return the versions of fsat, Python and the packages that decide results."""
    found = ", ".join(f"{name} {installed(name) or 'is not installed'}" for name in PACKAGES)
    return Check("versions", True, f"fsat {__version__}, Python {platform.python_version()}, {found}")


def check_cores() -> Check:
    """Return the number of cores and the size of the memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    says = f"{available_cores()} cores, {memory / 1e9:.0f} GB of memory"
    return Check("machine", memory >= LEAST_MEMORY, says, "" if memory >= LEAST_MEMORY else "Tuning an encoder takes about 4 GB.")


def check_onnxruntime() -> Check:
    """Return the version of ONNX Runtime, and the providers that it was built with."""
    import onnxruntime

    packages = [name for name in ONNX_RUNTIMES if installed(name)]
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    says = f"{' and '.join(packages)} {onnxruntime.__version__}, built for {', '.join(providers)}"
    fix = "Both have the same files. Keep one of them: pip uninstall onnxruntime." if len(packages) > 1 else ""
    return Check("ONNX Runtime", not fix, says, fix)


def check_gpu() -> Check:
    """Return whether there is a GPU, and who can use it."""
    count = cuda_devices()
    if not count:
        return Check("GPU", True, "none: fsat uses the CPU")
    users = {"ONNX Runtime": onnxruntime_runs_on_cuda(), "torch": tuning_device("cuda") == "cuda"}
    without = [name for name, can in users.items() if not can]
    says = f"{count} of NVIDIA; {' and '.join(without)} cannot use it" if without else f"{count} of NVIDIA, which fsat uses"
    fix = "Install torch and onnxruntime-gpu with their CUDA libraries, of the versions in constraints.txt." if without else ""
    return Check("GPU", not without, says, fix)


def check_encoders() -> Check:
    """Return the encoders that can be named in task.yaml."""
    for name in BUNDLED:
        locate_encoder(name)
    own = path_variable("FSAT_ENCODERS")
    if own is not None and not is_folder(own):
        return Check(
            "encoders", False, f"FSAT_ENCODERS names {own}, which is not there", "Make this folder, or unset FSAT_ENCODERS."
        )
    names = [*BUNDLED, *(_below(own) if own else ()), *_cached()]
    return Check("encoders", True, ", ".join(dict.fromkeys(names)))


def installed(package: str) -> str:
    """Return the version of a package, or an empty text if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _below(folder: Path) -> list[str]:
    """Return the names of the model folders below a folder: `model` or `org/model`."""
    return sorted(
        str(path.parent.relative_to(folder)) for path in (*folder.glob("*/config.json"), *folder.glob("*/*/config.json"))
    )


def _cached() -> list[str]:
    """Return the names of the models in the Hugging Face cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        return sorted(repo.repo_id for repo in scan_cache_dir().repos if repo.repo_type == "model")
    except CacheNotFound:
        return []
