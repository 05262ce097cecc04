"""Step 3, tune: run the ladder on the samples.

A rung of the ladder is a way to make a model. The rungs go from class prototypes to a fine-tuned encoder. The ladder takes the
rungs that the evidence and the budget allow.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.pool import POOL_FILE
from fsat_tasks.data.tables import Split
from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.export import exporter_versions
from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.head import Head, save_baseline, save_head
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import pick_device, tuning_device
from fsat_tasks.runtime.numeric_class import PLANNED_CLASSES, NumericClass, planned_class
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.tuning.tuned_encoder import write_tuned_encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.heads.answers import Answers
    from fsat_tasks.tuning.material import Material
    from fsat_tasks.tuning.state import LadderSettings
    from fsat_tasks.tuning.trial import Fit

__all__ = ["choose_shots", "tune"]


def tune(run: Run) -> Artefact:
    """Run the ladder.

    Writes these files:

    - head.safetensors and head.json: the head;
    - ladder.json: every rung with its evidence and its outcome;
    - held_out.npy, (samples, classes): calibrated logits of each sample, from a head that was fitted without this sample;
    - baseline.safetensors: the probe on the pretrained encoder, with which the model is compared;
    - body.safetensors, if the encoder was fine-tuned: its tuned weights;
    - the files of an exported encoder, with these weights, if the encoder was fine-tuned.
    """
    recipe, spec = _recipe(run), run.task.spec
    may_be = [recipe.numeric_class]
    if spec.tune.body != "off":  # a result from another kind of machine will do, unless the task asks for a device
        may_be = [*map(_with, (one for one in PLANNED_CLASSES if spec.device in ("auto", one.device))), *may_be]
    found = run.store.find_first(recipe, may_be)
    if found is not None:
        return found
    with run.store.scratch(recipe) as checkpoints:
        return run.store.build(recipe, lambda folder: _tune(run, checkpoints, folder))


def _recipe(run: Run) -> Recipe:
    spec, pool = run.task.spec, run.pool.artefact
    body_is_tuned = spec.tune.body != "off"
    device = tuning_device(pick_device(spec.device))
    return Recipe(
        "tune",
        versions.TUNE,
        config={
            "shots": spec.shots,
            "seed": spec.seed,
            "target": run.target.settings(),
            # without a limit, the key is that of versions of fsat that knew none
            **spec.tune.model_dump(exclude={"pool_rows"} if spec.tune.limit_seconds else {"pool_rows", "limit_seconds"}),
            "exporter": exporter_versions() if body_is_tuned else None,
        },
        inputs={
            "rows": run.validated.sha256("rows.parquet"),
            "features": run.extracted.digest,
            **({"pool": pool.sha256(POOL_FILE)} if pool else {}),
            "encoder": run.source.revision,
        },
        numeric_class=_with(planned_class(device) if body_is_tuned else None),
        parents={"validate": run.validated, "extract": run.extracted},
    )


def _with(planned: NumericClass | None) -> NumericClass:
    """Return the numeric class of a float64 head. It includes `planned`, the numeric class of the encoder that may be tuned."""
    return NumericClass("numpy", "cpu", "fp64", also=planned)


def _tune(run: Run, checkpoints: Path, folder: Path) -> dict[str, Any]:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from fsat_tasks.tuning.ladder import LADDER, run_ladder

    spec, tables = run.task.spec, run.tables
    samples = tables.samples.at(choose_shots(run.answers(tables.samples.labels), spec.shots, spec.seed).tolist())
    ladder = [rung for rung in LADDER if rung.name in run.target.rungs]
    fit = run_ladder(_material(run, samples), _settings(run, checkpoints), ladder)
    with threadpool_limits(1):  # so that the digits do not depend on the number of cores
        head = _head(run, fit, samples)
    save_head(head, folder)
    # a rung's seconds differ from run to run: the manifest has them, because the artefact's digest depends on the files only
    rungs = [{name: value for name, value in asdict(rung).items() if name != "seconds"} for rung in fit.trace]
    write_json(folder / "ladder.json", rungs)
    np.save(folder / "held_out.npy", fit.held_out.logits.astype(np.float32), allow_pickle=False)
    assert fit.baseline is not None
    save_baseline(fit.baseline, folder)
    if fit.weights is not None:
        from safetensors.torch import save

        (folder / "body.safetensors").write_bytes(save(fit.weights))
        write_tuned_encoder(run.source, fit.weights, run.encoder, folder)
    return {
        "samples": len(samples),
        "classes": len(tables.classes),
        "rung": head.rung,
        "layers": fit.layers,
        "log_loss": fit.held_out.log_loss,
        "rung_seconds": {rung.name: round(rung.seconds, 2) for rung in fit.trace if rung.log_loss is not None},
    }


def _settings(run: Run, checkpoints: Path) -> LadderSettings:
    from fsat_tasks.tuning.ladder import FROZEN_RUNGS
    from fsat_tasks.tuning.state import LadderSettings

    spec, body = run.task.spec, run.task.spec.tune.body
    return LadderSettings(
        rungs=FROZEN_RUNGS if body == "off" else None,
        budget_seconds=spec.tune.budget_seconds,
        limit_seconds=spec.tune.limit_seconds,
        fine_tuning="full" if body == "off" else body,
        class_weight=spec.tune.class_weight,
        seed=spec.seed,
        device=tuning_device(pick_device(spec.device)),
        checkpoints=checkpoints,
    )


def _material(run: Run, samples: Split) -> Material:
    """Return the rows that the ladder tunes on. Tasks that share a pool also share its features and principal directions."""
    from fsat_tasks.numerics.heads.pool_taught import POOL_ROWS
    from fsat_tasks.tuning.material import Material, Pool, Rows

    spec = run.task.spec
    preparer, is_tuned = open_preparer(run.encoder.path, run.kept), spec.tune.body != "off"

    def prepare(inputs: list[Input]) -> list[Prepared]:
        return preparer.prepare(inputs) if is_tuned else [Prepared({}, 0)] * len(inputs)

    def rows(inputs: list[Input]) -> Rows:
        return Rows(run.features(inputs), prepare(inputs))

    def pool() -> Pool:
        return Pool(rows(list(run.pool.inputs(run.pool.draw(count, spec.seed)))))

    count = min(spec.tune.pool_rows, POOL_ROWS)  # the ladder reads at most POOL_ROWS
    references = [run.pool.artefact and run.pool.artefact.reference(), run.encoder.reference()]
    key = json.dumps([*references, run.extracted.manifest["numeric_class"], count, spec.seed, is_tuned])
    anchors = Rows(run.anchors(), prepare(run.anchor_rows(run.encoder)))
    return Material(run.source, rows(samples.inputs), run.answers(samples.labels), anchors, run.kept.get("pool", key, pool))


def _head(run: Run, fit: Fit, samples: Split) -> Head:
    from fsat_tasks.numerics.heads.calibrated import Samples, fit_calibrated

    answers, held_out = run.answers(samples.labels), fit.held_out
    evidence = Samples(fit.shots, answers, fit.anchors, held_out.logits * held_out.temperature, fit.unseen)
    return Head(
        run.target.rule(held_out, answers, run.tables.classes.labels),
        fit_calibrated(fit.head, fit.layers, held_out.temperature, evidence, run.task.spec.tune.coverage),
        samples.lines,
        [rung.name for rung in fit.trace if rung.taken][-1],
    )


def choose_shots(answers: Answers, shots: int | None, seed: int) -> NDArray[np.int64]:
    """Draw rows by the seed, so that each group of answers has at most `shots` rows, or more if its rows have other groups too.

    Returns:
        Indices of the rows, ascending; all rows if `shots` is None.
    """
    import numpy as np

    if shots is None:
        return np.arange(len(answers))
    at, group = answers.members()
    order = np.random.default_rng(seed).permutation(len(answers))
    rank = np.empty(len(answers), np.int64)
    rank[order] = np.arange(len(answers))
    by_rank = np.argsort(rank[at], kind="stable")
    kept = [at[by_rank][group[by_rank] == one][:shots] for one in range(answers.groups)]
    return np.unique(np.concatenate(kept))
