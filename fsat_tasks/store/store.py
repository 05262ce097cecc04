"""The artefact store. Keys come from content, writes are atomic, and each read verifies checksums.

`<store>/<step>/<key[:2]>/<key>/` holds an artefact's files and its manifest.json. They are written to a folder
with a temporary name, the manifest last, and then this folder is renamed. So a folder with its final name is
complete, even if a process was killed or two processes made the same artefact.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fsat_tasks.errors import StoreError, reason
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store.artefact import Artefact, Recipe
from fsat_tasks.store.files import Digests, write_json
from fsat_tasks.store.folders import make_folder, require_no_link
from fsat_tasks.store.lease import in_use, mark_used
from fsat_tasks.store.manifest import MANIFEST, make_manifest, read_manifest
from fsat_tasks.store.reference import Reference, is_key, is_step
from fsat_tasks.store.unfinished import finish, make_unfinished

__all__ = ["Store"]

log = logging.getLogger(__name__)

CORRUPT, CHECKPOINTS = "corrupt", "checkpoints"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Store:
    """Artefacts in one folder, which many processes and machines may share."""

    def __init__(self, root: Path, caller: str = "library") -> None:
        """Open the store in a folder, which need not exist yet.

        Args:
            root: the folder.
            caller: name of the program that runs this process: `cli`, `dvc`, `airflow` or `library`. Manifests record it.
        """
        self.root = root
        self.caller = caller
        self._digests = Digests()

    def sha256(self, path: Path) -> str:
        """Return the sha256 of any file. A large file is read again only if it has changed."""
        return self._digests.sha256(path)

    def build(self, recipe: Recipe, write: Callable[[Path], Mapping[str, Any] | None]) -> Artefact:
        """Return the recipe's artefact. If it is not in the store, `write(folder)` makes it.

        Args:
            recipe: everything that the artefact depends on.
            write: function that fills an empty folder. What the function returns becomes the manifest's `notes`.

        Raises:
            StoreError: if the store cannot be written. All other errors of `write` pass through.
        """
        found = self.find(recipe.step, recipe.key)
        if found is not None:
            return found
        final = self.folder(recipe.step, recipe.key)
        started = time.perf_counter()
        temporary = self._unfinished(final)
        try:
            notes = write(temporary) or {}
            work = {"notes": dict(notes), "wall_seconds": round(time.perf_counter() - started, 3), "caller": self.caller}
            manifest = make_manifest(recipe, temporary, work, self.sha256)
            write_json(temporary / MANIFEST, manifest)
            if not finish(temporary, final):
                return self.build(recipe, write)  # another process was first: return its artefact
        except OSError as error:
            if self._concerns(error):
                raise self._unwritable(error) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Artefact(final, manifest, built=True)

    def find(self, step: str, key: str) -> Artefact | None:
        """Return the artefact if it is in the store and undamaged, else None.

        A damaged artefact is moved to `<store>/corrupt`, and a warning names it.

        Raises:
            StoreError: if the store cannot be read, or the damaged artefact cannot be moved.
        """
        folder = self.folder(step, key)
        try:
            if not folder.is_dir():
                return None
            mark_used(self.root, folder)  # before the read: lease.py explains why, where it describes the gate
            problem, manifest = read_manifest(folder, self.sha256)
        except OSError as error:
            raise self._unwritable(error) from error
        if problem is None:
            return Artefact(folder, manifest)
        require_no_link(self.root, folder)
        aside = self.root / CORRUPT / f"{step}-{key}-{uuid.uuid4().hex[:8]}"
        try:
            make_folder(self.root, CORRUPT)
            folder.rename(aside)
        except FileNotFoundError:
            return self.find(step, key)  # another process was first
        except OSError as error:
            raise self._unwritable(error) from error
        log.warning("corrupted artefact: %s (%s); set aside as %s, will be rebuilt", folder, problem, aside)
        return None

    def find_first(self, recipe: Recipe, numeric_classes: Iterable[NumericClass | None]) -> Artefact | None:
        """Return an artefact of the recipe in one of several numeric classes, or None if the store has none.

        The first class with an artefact counts. So a machine without a GPU uses the features that a machine with
        a GPU has computed.

        Args:
            recipe: everything that the artefact depends on. The recipe's own numeric class is ignored.
            numeric_classes: classes to look for, in order. The order must be the same on every machine,
                because otherwise two machines would take different artefacts.
        """
        for numeric_class in numeric_classes:
            found = self.find(recipe.step, replace(recipe, numeric_class=numeric_class).key)
            if found is not None:
                return found
        return None

    def find_named(self, reference: Reference) -> Artefact | None:
        """Return the artefact that a reference names, or None if it is missing, damaged, or has other files or another lineage.

        Raises:
            StoreError: as in `find`.
        """
        found = self.find(reference["step"], reference["key"])
        return found if found is not None and found.is_named_by(reference) else None

    def require(self, reference: Reference, what: str) -> Artefact:
        """Return the artefact that a manifest refers to.

        Args:
            reference: a reference to the artefact.
            what: name of the artefact for the error.

        Raises:
            StoreError: if it is no longer in the store.
        """
        found = self.find_named(reference)
        if found is None:
            where = self.folder(reference["step"], reference["key"])
            raise StoreError(str(where), what, "none that is whole", "Run the task again.")
        return found

    def restore(self, copy: Path, reference: Reference) -> bool:
        """Copy an artefact back into the store, unless the store already has it.

        Args:
            copy: folder with a copy of the artefact.
            reference: a reference to the artefact.

        Returns:
            Whether the artefact was missing and has been copied.

        Raises:
            StoreError: if the copy, or the artefact that the store already has, has another digest; or if the
                store cannot be written.
        """
        step, key = reference["step"], reference["key"]
        found, final = self.find(step, key), self.folder(step, key)
        copied = found is None
        if copied:
            temporary = self._unfinished(final)
            try:
                shutil.copytree(copy, temporary, copy_function=shutil.copyfile, dirs_exist_ok=True)
                finish(temporary, final)
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            found = self.find(step, key)
        if found is None or not found.is_named_by(reference):
            raise StoreError(
                str(final),
                f"the artefact with the digest {reference['digest'][:16]}",
                f"the copy {copy}, which has another digest" if copied else "one with another digest",
                "" if copied else "Move that folder away, and try again.",
            )
        return copied

    @contextmanager
    def scratch(self, recipe: Recipe) -> Iterator[Path]:
        """Context manager that yields a folder for checkpoints. If a run was killed, the next run of the recipe resumes there.

        The folder is removed once the work is done. Only one process has the folder at a time. A second process
        with the same work waits, and then finds the artefact in the store.
        """
        from filelock import FileLock, Timeout

        folder = self.root / CHECKPOINTS / recipe.key
        lock = FileLock(folder.with_suffix(".lock"))
        try:
            make_folder(self.root, CHECKPOINTS)
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
        """Context manager. Inside it, housekeeping removes no artefact that this process reads or writes."""
        return in_use(self.root)

    def keep_until(self, artefact: Artefact, time: float) -> None:
        """Make housekeeping keep an artefact until a time in seconds since the epoch, even if nothing refers to it."""
        os.utime(artefact.path / MANIFEST, (time, time))

    def folder(self, step: str, key: str) -> Path:
        """Return the path of an artefact's folder, whether or not it exists.

        Raises:
            StoreError: if there can be no such step or key, so that no path leads out of the store.
        """
        for name, value, good in (("step", step, is_step(step)), ("key", key, is_key(key))):
            if not good:
                raise StoreError(f"store {self.root}", f"the {name} of an artefact", f"{value!r:.100}", "A file was altered.")
        return self.root / step / key[:2] / key

    def _unfinished(self, final: Path) -> Path:
        require_no_link(self.root, final)
        try:
            return make_unfinished(final)
        except OSError as error:
            raise self._unwritable(error) from error

    def _concerns(self, error: OSError) -> bool:
        """Return whether an error comes from the store's file system, and not from a file outside the store that a step reads."""
        if error.errno in NO_ROOM or (error.errno is None and " requested and " in str(error)):  # numpy on a full disk
            return True
        named = isinstance(error.filename, (str, bytes, os.PathLike))
        return named and Path(os.fsdecode(error.filename)).absolute().is_relative_to(self.root.absolute())

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"store {self.root}",
            "a folder that can be written",
            reason(error),
            "Free some space or set FSAT_STORE to another folder.",
        )
