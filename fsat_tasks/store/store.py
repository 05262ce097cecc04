"""The artefact store: content keys, atomic writes, checksums verified on every read.

`<store>/<step>/<key[:2]>/<key>/` holds an artefact's files and, written last, its manifest.json. It is made in a
temporary sibling and renamed, so a folder under its final name is whole, whoever was killed or raced.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fsat_tasks.errors import StoreError
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store.artefact import MANIFEST, Artefact, Recipe, make_manifest, read_manifest
from fsat_tasks.store.files import Digests, write_json
from fsat_tasks.store.lease import in_use, mark_used

__all__ = ["Store", "alive"]

log = logging.getLogger(__name__)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Store:
    """Artefacts below one folder, which may be shared by many processes and machines."""

    def __init__(self, root: Path, caller: str = "library") -> None:
        """Args: caller: who runs this process (`cli`, `dvc`, `airflow`), for the manifests."""
        self.root = root
        self.caller = caller
        self._digests = Digests()

    def sha256(self, path: Path) -> str:
        """The sha256 of any file; a large one is read once, as long as it does not change."""
        return self._digests.sha256(path)

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
            work = {"notes": dict(notes), "wall_seconds": round(time.perf_counter() - started, 3), "caller": self.caller}
            manifest = make_manifest(recipe, temporary, work, self.sha256)
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
            problem, manifest = read_manifest(folder, self.sha256)
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

    def find_first(self, recipe: Recipe, numeric_classes: Iterable[NumericClass | None]) -> Artefact | None:
        """The first artefact in the store among those that differ from the recipe in their numeric class alone.

        A step on one kind of machine so goes on from what another kind has made, such as a GPU's features.

        Args:
            numeric_classes: in an order that is the same on every machine, or two machines would take different ones.
        """
        for numeric_class in numeric_classes:
            found = self.find(recipe.step, replace(recipe, numeric_class=numeric_class).key)
            if found is not None:
                return found
        return None

    def require(self, reference: Mapping[str, str], what: str) -> Artefact:
        """The artefact that a manifest names by step and key.

        Args:
            what: it, in words, for the error.

        Raises:
            StoreError: where it is no longer in the store.
        """
        found = self.find(reference["step"], reference["key"])
        if found is None:
            where = self.folder(reference["step"], reference["key"])
            raise StoreError(str(where), what, "none that is whole", "Run the task again.")
        return found

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
                str(final),
                f"the artefact with the digest {reference['digest'][:16]}",
                f"the copy {copy}, which is another" if copied else "another one",
                "" if copied else "Move that folder away, and try again.",
            )
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
            f"store {self.root}",
            "a folder that can be written",
            error.strerror or str(error),
            "Free some space or set FSAT_STORE to another folder.",
        )


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
