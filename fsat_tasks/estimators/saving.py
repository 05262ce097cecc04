"""Folders of saved estimators: JSON and safetensors. Nothing in them is run when they are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from fsat_tasks import __version__
from fsat_tasks.errors import DataError, FsatError
from fsat_tasks.estimators.learnt import Learnt
from fsat_tasks.estimators.records import Arrays, pack, unpack
from fsat_tasks.runtime.regular_file import read_regular
from fsat_tasks.store.copies import whole_folder
from fsat_tasks.store.files import canonical_json, write_json

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

__all__ = ["Saved", "checked", "read_saved", "write_saved"]

SCHEMA = 1
"""Version of the format. A change that an older fsat could not read must raise it."""
LISTING, ARRAYS, WEIGHTS = "estimator.json", "arrays.safetensors", "body.safetensors"
"""File with everything but arrays, file with the arrays, and file with the weights of a fine-tuned encoder."""


@dataclass(frozen=True)
class Saved:
    """A fitted estimator as it is saved."""

    estimator: str
    """Name of the estimator's class."""
    parameters: Mapping[str, Any]
    learnt: Learnt
    weights: Weights | None
    """Weights of the fine-tuned encoder."""


def write_saved(saved: Saved, folder: Path) -> None:
    """Write an estimator to a folder. An estimator that was saved there before is replaced.

    Raises:
        StoreError: if the folder cannot be written, or has files in it that are not of a saved estimator.
    """
    arrays: Arrays = {}
    state = pack(saved.learnt, arrays)
    with whole_folder(folder, f"folder {folder}", LISTING) as written:
        files = {ARRAYS: save_arrays(arrays)}
        if saved.weights is not None:
            from safetensors.torch import save

            files[WEIGHTS] = save(saved.weights)
        for name, content in files.items():
            (written / name).write_bytes(content)
        values = {
            "schema": SCHEMA,
            "fsat": __version__,
            "estimator": saved.estimator,
            "parameters": dict(saved.parameters),
            "state": state,
            "files": {name: _sha256(content) for name, content in files.items()},
        }
        write_json(written / LISTING, values | {"seal": _seal(values)})


def read_saved(folder: Path, estimator: str) -> Saved:
    """Read an estimator from a folder.

    Args:
        folder: the folder.
        estimator: name of the class that the estimator must be of.

    Raises:
        DataError: if the folder is not one that `write_saved` wrote, or if a file in it has changed.
    """
    with checked(folder):
        values = json.loads(read_regular(folder / LISTING).decode("utf-8"))
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise ValueError(f"{LISTING} has another schema than {SCHEMA}, or none; another version of fsat may have written it")
        if values.get("seal") != _seal(values):
            raise ValueError(f"{LISTING} was changed")
        if values["estimator"] != estimator:
            raise ValueError(f"it has a {values['estimator']}")
        files = {name: read_regular(folder / name) for name in (ARRAYS, WEIGHTS) if name in values["files"]}
        for name, content in files.items():
            if _sha256(content) != values["files"][name]:
                raise ValueError(f"{name} was changed")
        arrays = load_arrays(files[ARRAYS])
        learnt = unpack(Learnt, values["state"], arrays)
        if arrays:
            raise ValueError(f"{ARRAYS} has arrays without a place: {', '.join(sorted(arrays)[:3])}")
        return Saved(estimator, values["parameters"], learnt, _read_weights(files.get(WEIGHTS)))


@contextmanager
def checked(folder: Path) -> Iterator[None]:
    """Context manager. Whatever is wrong with a saved estimator, a DataError that names its folder is raised."""
    try:
        yield
    except FileNotFoundError as error:
        raise _unusable(folder, f"no {Path(error.filename).name} in it") from None
    except (OSError, FsatError, SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unusable(folder, str(error)) from error


def _unusable(folder: Path, got: str) -> DataError:
    return DataError(f"folder {folder}", "an estimator that `save` wrote", f"something else: {got}", "Save the estimator again.")


def _read_weights(content: bytes | None) -> Weights | None:
    if content is None:
        return None
    from safetensors.torch import load

    return dict(load(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _seal(values: Mapping[str, Any]) -> str:
    return _sha256(canonical_json({name: value for name, value in values.items() if name != "seal"}).encode())
