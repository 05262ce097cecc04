"""The artefact store: content keys, atomic writes, checksums verified on every read.

`<store>/<step>/<key[:2]>/<key>/` holds an artefact's files and, written last, its manifest.json. It is made in a
temporary sibling and renamed, so a folder under its final name is whole, whoever was killed or raced.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import logging
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from fsat_tasks.errors import StoreError
from fsat_tasks.lease import in_use, mark_used

__all__ = ["Artefact", "Recipe", "Store", "alive", "canonical_json", "read_manifest", "sha256_file", "write_json"]

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
REMEMBERED_BYTES, SETTLED_NS = 1 << 16, 2_000_000_000
_digests: dict[Path, tuple[tuple[int, ...], str]] = {}
DISTRIBUTIONS = {
    "fsat_tasks": ("fsat",),
    "great_expectations": ("great-expectations",),
    "numpy": ("numpy",),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "onnxscript": ("onnxscript",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "safetensors": ("safetensors",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn",),
    "tokenizers": ("tokenizers",),
    "torch": ("torch",),
    "transformers": ("transformers",),
}
"""Module -> the distributions that may have brought it, of what shapes results."""


def canonical_json(value: object) -> str:
    """The one JSON text of a value. Refuses NaN and whatever JSON does not know."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256_file(path: Path) -> str:
    """Of a large file remembered by this process, for as long as what the file system says of it stays the same."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        known, digest = _digests.get(path, (None, ""))
        state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known == state:
            return digest
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # within the clock's tick a file could change once more and show the same time
    if status.st_size >= REMEMBERED_BYTES and time.time_ns() - status.st_ctime_ns > SETTLED_NS:
        _digests[path] = state, digest
    return digest


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


@dataclass(frozen=True)
class Artefact:
    """A step's result: a folder of files and its manifest."""

    path: Path
    manifest: Mapping[str, Any]
    built: bool = field(default=False, compare=False)
    """Whether this call did the work, or found it done."""

    @property
    def step(self) -> str:
        return str(self.manifest["step"])

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the files, without those of timings: equal work gives equal digests."""
        return str(self.manifest["digest"])

    def sha256(self, name: str) -> str:
        return str(self.manifest["files"][name]["sha256"])

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text("utf-8"))

    def reference(self) -> dict[str, str]:
        """What names this artefact elsewhere: in manifests, XCom, the registry."""
        return {"step": self.step, "key": self.key, "digest": self.digest}


@dataclass(frozen=True)
class Recipe:
    """All that a step's result depends on, and what to record beside it."""

    step: str
    version: int
    """Raised when the step's code changes its result."""
    config: Mapping[str, Any]
    """The slice of the specification that the step reads."""
    inputs: Mapping[str, str]
    """Name -> sha256 of each input's content."""
    numeric_class: str = "exact"
    """What computed the numbers, on what, how precisely: `exact` where no floating point is involved."""
    parents: Mapping[str, Artefact] = field(default_factory=dict)
    """Recorded for lineage; what counts of them is in `inputs`."""
    measured: tuple[str, ...] = ()
    """Files with timings of this machine: verified like all others, but no part of the digest."""

    @property
    def key(self) -> str:
        parts = {
            "step": self.step,
            "version": self.version,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
            "numeric_class": self.numeric_class,
        }
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


class Store:
    """Artefacts below one folder, which may be shared by many processes and machines."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def build(self, recipe: Recipe, write: Callable[[Path], Mapping[str, Any] | None]) -> Artefact:
        """Return the recipe's artefact, made by `write(folder)` unless it is already there.

        Args:
            write: fills an empty folder; what it returns is recorded in the manifest as `notes`.

        Raises:
            StoreError: where the store cannot be written. Any other error of `write` comes out as it is.
        """
        found = self.find(recipe.step, recipe.key)
        if found is not None:
            return found
        final = self.folder(recipe.step, recipe.key)
        started = time.perf_counter()
        temporary = self._temporary(final)
        try:
            notes = write(temporary) or {}
            manifest = _manifest(recipe, temporary, time.perf_counter() - started, notes)
            write_json(temporary / MANIFEST, manifest)
            _sync(temporary)
            if not _rename(temporary, final):
                return self.build(recipe, write)  # another process was first: its artefact is the one
        except OSError as error:
            if self._concerns(error):
                raise self._unwritable(error) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Artefact(final, manifest, built=True)

    def find(self, step: str, key: str) -> Artefact | None:
        """The artefact if it is there and whole. A damaged one is set aside, with a warning that names it."""
        folder = self.folder(step, key)
        try:
            if not folder.is_dir():
                return None
            mark_used(self.root, folder)  # before it is read: see the gate in lease.py
            problem, manifest = read_manifest(folder)
        except OSError as error:
            raise self._unwritable(error) from error
        if problem is None:
            return Artefact(folder, manifest)
        aside = self.root / "corrupt" / f"{step}-{key}-{uuid.uuid4().hex[:8]}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(aside)
        except FileNotFoundError:
            return self.find(step, key)  # another process was first
        except OSError as error:
            raise self._unwritable(error) from error
        log.warning("corrupted artefact: %s (%s); set aside as %s, will be rebuilt", folder, problem, aside)
        return None

    def restore(self, copy: Path, reference: Mapping[str, str]) -> bool:
        """Put a copy of an artefact back in its place, unless it is there; whether it was put there now.

        Raises:
            StoreError: where the copy or what is in its place is not that artefact, or the store cannot be written.
        """
        step, key = reference["step"], reference["key"]
        found, final = self.find(step, key), self.folder(step, key)
        copied = found is None
        if copied:
            temporary = self._temporary(final)
            try:
                shutil.copytree(copy, temporary, copy_function=shutil.copyfile, dirs_exist_ok=True)
                _sync(temporary)
                _rename(temporary, final)
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            found = self.find(step, key)
        if found is None or found.digest != reference["digest"]:
            raise StoreError(
                str(final), f"the artefact with the digest {reference['digest'][:16]}",
                f"the copy {copy}, which is another" if copied else "another one",
                "" if copied else "Move that folder away, and try again.",
            )  # fmt: skip
        return copied

    @contextmanager
    def scratch(self, recipe: Recipe) -> Iterator[Path]:
        """A folder for what the recipe's work may go on from after it was killed; gone once the work is done.

        One process has it at a time: a second run of the same work waits here, and finds it done.
        """
        from filelock import FileLock, Timeout

        folder = self.root / "checkpoints" / recipe.key
        lock = FileLock(folder.with_suffix(".lock"))
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                log.info("another process does the same work (%s); waiting for it", folder)
                lock.acquire()
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield folder
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def in_use(self) -> AbstractContextManager[None]:
        """What this process finds or makes in the store meanwhile is not removed by housekeeping."""
        return in_use(self.root)

    def keep_until(self, artefact: Artefact, time: float) -> None:
        """Have housekeeping keep an artefact that nothing points to yet until then, in seconds since the epoch."""
        os.utime(artefact.path / MANIFEST, (time, time))

    def folder(self, step: str, key: str) -> Path:
        """Where an artefact lies, or would lie."""
        return self.root / step / key[:2] / key

    def _temporary(self, final: Path) -> Path:
        """A new empty sibling of `final`; those that killed processes of this machine left are removed."""
        owner = f".{final.name}.{socket.gethostname()}."
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            for left in final.parent.glob(f"{owner}*"):
                if not alive(int(left.name.removeprefix(owner).split(".")[0])):
                    shutil.rmtree(left, ignore_errors=True)
            temporary = final.parent / f"{owner}{os.getpid()}.{uuid.uuid4().hex[:8]}"
            temporary.mkdir()
        except OSError as error:
            raise self._unwritable(error) from error
        return temporary

    def _concerns(self, error: OSError) -> bool:
        """Whether an error is the store's own, and not that of some file that a step reads."""
        if error.errno in NO_ROOM or (error.errno is None and " requested and " in str(error)):  # numpy's, on a full disk
            return True
        named = isinstance(error.filename, (str, bytes, os.PathLike))
        return named and Path(os.fsdecode(error.filename)).absolute().is_relative_to(self.root.absolute())

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"store {self.root}", "a folder that can be written", error.strerror or str(error),
            "Free some space or set FSAT_STORE to another folder.",
        )  # fmt: skip


def read_manifest(folder: Path) -> tuple[str | None, dict[str, Any]]:
    """What is wrong with an artefact (None if nothing is), and its manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        expected = {"step": folder.parent.parent.name, "key": folder.name, "digest": _digest(manifest["files"])}
        for field_name, value in expected.items():
            if manifest[field_name] != value:
                return f"manifest.json: {field_name} is not that of the folder and its files", manifest
    except (FileNotFoundError, IsADirectoryError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        return f"manifest.json: {error}", {}
    for name, sha256 in files.items():
        try:
            if sha256_file(folder / name) != sha256:
                return f"{name}: sha256 differs from the manifest's", manifest
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return f"{name}: not there", manifest
    return None, manifest


def _manifest(recipe: Recipe, folder: Path, seconds: float, notes: Mapping[str, Any]) -> dict[str, Any]:
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    for name in recipe.measured:
        files[name]["measured"] = True
    return {
        "schema": 1,
        "step": recipe.step,
        "version": recipe.version,
        "key": recipe.key,
        "digest": _digest(files),
        "files": files,
        "config": dict(recipe.config),
        "inputs": dict(recipe.inputs),
        "numeric_class": recipe.numeric_class,
        "seed": recipe.config.get("seed"),
        "device": recipe.numeric_class.partition("-")[2].partition("-")[0] or None,
        "parents": {name: parent.reference() for name, parent in recipe.parents.items()},
        "notes": dict(notes),
        "caller": caller(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(seconds, 3),
        "versions": _versions(),
    }


def _digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    content = {name: entry["sha256"] for name, entry in files.items() if not entry.get("measured")}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def caller() -> str:
    """Who runs this process: `airflow`, `dvc` or `cli`."""
    if "AIRFLOW_CTX_DAG_ID" in os.environ:
        return "airflow"
    return "dvc" if "DVC_STAGE" in os.environ else "cli"


def _versions() -> dict[str, str]:
    """Versions of what shapes results, of those that this process has loaded."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (name for module, names in DISTRIBUTIONS.items() if module in sys.modules for name in names):
        with suppress(PackageNotFoundError):
            found[name] = _package_version(name)
    return found


@functools.cache  # it is read from the package's files
def _package_version(name: str) -> str:
    return package_version(name)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _rename(temporary: Path, final: Path) -> bool:
    """Publish a whole folder. If another process published the same key first, its folder stays and the answer is no."""
    try:
        temporary.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        return False
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
