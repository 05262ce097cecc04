"""Export of a fitted estimator as the model folder that `fsat export` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.estimators.task_view import TaskView
from fsat_tasks.models.card import About
from fsat_tasks.models.head import Head
from fsat_tasks.models.model_folder import PARITY_ROWS, Comparison, TunedModel, write_model
from fsat_tasks.numerics.heads.calibrated import CalibratedHead
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.numeric_class import CPU_CLASS
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.copies import LISTING, checksums, whole_folder
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import GateSpec
from fsat_tasks.tasks.workspace import Workspace
from fsat_tasks.tuning.trial import Fit
from fsat_tasks.tuning.tuned_encoder import write_tuned_encoder

__all__ = ["Exportable", "export_model"]


@dataclass(frozen=True)
class Exportable:
    """Parts of a fitted estimator that its model folder is made from."""

    source: EncoderSource
    texts: Sequence[str]
    view: TaskView
    fit: Fit
    head: CalibratedHead
    rung: str
    """The last rung that was taken."""
    seed: int
    """Seed of the intervals around figures."""


def export_model(model: Exportable, folder: Path) -> bool:
    """Write the model folder. Its graphs are compared with torch, on at most 500 samples.

    Returns:
        Whether the gates on the exported graph are passed, as gates.json says.

    Raises:
        StoreError: if the folder cannot be written, or has other files in it.
    """
    store = Store(Workspace.from_env().store)
    with store.in_use(), whole_folder(folder, f"folder {folder}", LISTING) as written:
        with TemporaryDirectory(dir=written.parent, prefix=".") as scratch:
            own = store if model.fit.weights is None else Store(Path(scratch))  # a fine-tuned encoder is of use to no other model
            encoder = _exported_encoder(model, store, own)
            tuned = _tuned_model(model, encoder, folder.absolute().name)
            notes = write_model(tuned, _comparison(model, tuned), written, own, Kept())
        write_json(written / LISTING, {"files": checksums(written, sorted(path.name for path in written.iterdir()))})
    return bool(notes["promote"])


def _exported_encoder(model: Exportable, store: Store, own: Store) -> Artefact:
    """Return the exported encoder whose features the head reads. If it is fine-tuned, it is written to the store `own`."""
    pretrained, weights = export_encoder(model.source, store), model.fit.weights
    if weights is None:
        return pretrained
    recipe = Recipe("tuned-encoder", 1, {}, {"encoder": pretrained.digest}, CPU_CLASS)
    return own.build(recipe, lambda folder: write_tuned_encoder(model.source, weights, pretrained, folder))


def _tuned_model(model: Exportable, encoder: Artefact, name: str) -> TunedModel:
    view, held_out = model.view, model.fit.held_out
    head = Head(view.rule(held_out), model.head, list(range(1, len(model.texts) + 1)), model.rung)
    judged = view.judge(held_out, model.head.scope.held_out)
    metrics: dict[str, Any] = judged.figures(model.seed) | view.target.measure(judged, head.rule, model.seed)
    return TunedModel(About(name, "", view.meanings, model.source.name), view.target, head, encoder, metrics)


def _comparison(model: Exportable, tuned: TunedModel) -> Comparison:
    from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder

    texts, labels = list(model.texts[:PARITY_ROWS]), model.view.labels[:PARITY_ROWS]
    body = load_torch_encoder(model.source, "cpu", model.fit.weights)
    features = encode_rows(body, open_preparer(tuned.encoder.path).prepare(texts))
    return Comparison(texts, labels, (model.head.outputs(features), model.head.scope_scores(features)), GateSpec())
