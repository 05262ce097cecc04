"""Snapshots: keep the champion's files in the repository. DVC stores the folder, and Git stores its small .dvc file."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsat_tasks.encoders.artefact import encoder_files
from fsat_tasks.errors import RegistryError, SnapshotError
from fsat_tasks.integrations.dvc import default_remote, locked, require_repository, run_dvc, uncommitted
from fsat_tasks.registry.published import find_published
from fsat_tasks.registry.registry import Registry
from fsat_tasks.snapshots.version import SNAPSHOT, Version, content, read_snapshot, wrong_files
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.files import sha256_file, write_json
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace

__all__ = ["take_snapshot"]

log = logging.getLogger(__name__)


def take_snapshot(task: str) -> dict[str, Any]:
    """Copy the champion and the files it was made from to `published/<task>/v<version>/`, then call `dvc add` and `dvc push`.

    The folder contains:

    - `task`: the task's files;
    - `export`: the model;
    - `publish`: the decision and the report;
    - `evaluate`: the metrics;
    - `tune`: the head and, if the encoder was fine-tuned, its tuned weights;
    - snapshot.json: the registry's entry and the sha256 of every file.

    The version is pushed only if the repository has a default remote. A version that already exists is not made again, but it is
    pushed if the remote lacks it. Nothing is committed to Git. If a call is killed, the next call completes its work.

    Returns:
        `task`, `version`, `path`, `built` (whether this call made the version), `remote` (None without a default remote),
        `repository`, and `commit` (files that are not committed to Git yet).

    Raises:
        SnapshotError: FSAT_DATA is not in a repository, the version exists with another model, or the task's files have
            changed since the model was published.
        RegistryError: there is no champion, or an artefact that the champion was made from is gone.
        DvcError: a call of DVC failed. If the remote cannot be reached, the version is complete locally, and only the
            push is missing.
    """
    workspace = Workspace.from_env()
    root = require_repository(workspace.data)
    entry = _published_entry(Registry(workspace.store, task))
    version = Version(root, task, entry["version"])
    with locked(root):
        meta = version.meta()
        if meta is None:
            _fill(version, entry, Store(workspace.store))
            run_dvc(root, "add", "--no-relink", version.name)  # --no-relink, so that DVC does not replace the files
            version.write_meta(entry["model"]["digest"])
        elif meta["model"] != entry["model"]["digest"]:
            raise SnapshotError(
                str(version.dvc_file),
                f"the model of version {version.number} in this store, {entry['model']['digest'][:16]}",
                f"the model {meta['model'][:16]}, which another store published",
                f"Publish from that store, or from a new one after: fsat checkout {task} {version.all()[-1]}.",
            )
        remote = default_remote(root)
        if remote is not None:
            run_dvc(root, "push", f"{version.name}.dvc")
    done = {
        "task": task,
        "version": version.number,
        "path": str(version.folder),
        "built": meta is None,
        "remote": remote,
        "repository": str(root),
        "commit": uncommitted(root, f"{version.name}.dvc", f"published/{task}/.gitignore"),
    }
    log.info("%s: snapshot of version %d: %s", task, version.number, done)
    return done


def _published_entry(registry: Registry) -> dict[str, Any]:
    """Return the entry of the champion's first promotion, because later moves by hand add other entries for the same model."""
    champion = registry.champion()
    if champion is None:
        raise RegistryError(
            f"task {registry.task!r}", "a published model", "none yet", f"Make one with: fsat run {registry.task}."
        )
    same = (old for old in registry.history() if old["action"] == "promote" and old["model"] == champion["model"])
    return next(same, champion)


def _fill(version: Version, entry: Mapping[str, Any], store: Store) -> None:
    """Make the version's folder. It appears under its name only when it is complete."""
    if version.folder.exists():  # an earlier call made the folder and was killed before `dvc add`
        found = read_snapshot(version.folder)
        if found is None or found["entry"] != entry or wrong_files(version.folder, found["files"]):
            raise SnapshotError(str(version.folder), "no folder, or this same snapshot", "other content", "Move it away.")
        return
    temporary = version.root / ".dvc" / "tmp" / "fsat-snapshot"  # Git and DVC do not look there
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _collect(version.task, entry, store, temporary)
        write_json(
            temporary / SNAPSHOT,
            {
                "schema": 1,
                "task": version.task,
                "version": version.number,
                "entry": dict(entry),
                "files": content(temporary),
            },
        )
        version.folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(version.folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _collect(task: str, entry: Mapping[str, Any], store: Store, folder: Path) -> None:
    model, decision = (find_published(store, task, entry[name]) for name in ("model", "decision"))
    evaluated, tuned = (find_published(store, task, model.parent(name)) for name in ("evaluate", "tune"))
    for artefact in (model, decision, evaluated):
        shutil.copytree(artefact.path, folder / artefact.step)
    # `export` has a fine-tuned encoder too, and to copy it only from there saves 90 MB for a MiniLM
    shutil.copytree(tuned.path, folder / "tune", ignore=shutil.ignore_patterns(*encoder_files(tuned)))
    _copy_task(load_task(task), store, model, folder / "task")


def _copy_task(task: Task, store: Store, model: Artefact, folder: Path) -> None:
    """Copy the task's files, and check that the model was made from them.

    The check runs `validate`, whose rows and texts must equal those that the model was made from. The pool file is copied if it
    lies in the task's folder and has not changed since the model was made. Otherwise the pool in the store is copied, as
    pool.parquet.

    Raises:
        SnapshotError: the task's files have changed since the model was made.
    """
    from fsat_tasks.data.pool import POOL, POOL_FILE, Pool
    from fsat_tasks.runs.run import Run
    from fsat_tasks.steps.validate import validate

    validated = validate(Run(task, store))
    made_of = {"rows.parquet": model.manifest["inputs"]["rows"], "texts.parquet": model.manifest["inputs"]["texts"]}
    same = all(validated.sha256(name) == sha256 for name, sha256 in made_of.items())
    files = {field: sha256 for field, sha256 in validated.manifest["inputs"].items() if field != "pool"}
    pool = Pool(find_published(store, task.name, model.parent("validate")), store).artefact
    own = task.file(POOL)
    if pool is not None and own is not None and own.is_relative_to(task.folder.resolve()):
        files |= {POOL: pool.manifest["inputs"][POOL]} if sha256_file(own) == pool.manifest["inputs"][POOL] else {}
    for field, sha256 in files.items():
        source = task.file(field)
        if source is not None:  # never None, because `validate` found the file
            target = folder / source.relative_to(task.folder.resolve())
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            same = same and sha256_file(target) == sha256
    if pool is not None and POOL not in files:
        shutil.copyfile(pool.path / POOL_FILE, folder / POOL_FILE)
    shutil.copyfile(task.folder / TASK_FILE, folder / TASK_FILE)
    if not same:
        raise SnapshotError(
            f"task folder {task.folder}",
            "the rows that the champion is made of",
            "other rows: the files were changed since",
            f"Bring the files back, or publish a model of the changed rows: fsat run {task.name}.",
        )
