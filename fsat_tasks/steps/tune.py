"""Step 3, tune: climb the ladder on the samples, from prototypes to a tuned body, as far as evidence and budget allow."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.pool import POOL_FILE, draw_pool_rows, find_pool, load_pool_texts
from fsat_tasks.data.tables import CLASSES, load_split, load_texts
from fsat_tasks.encoders.batches import load_tokenizer, tokenize
from fsat_tasks.encoders.export import exporter_versions
from fsat_tasks.encoders.features import encoder_of, open_features
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.models.head import SET_COVERAGES, Head, save_baseline, save_head
from fsat_tasks.runtime.device import pick_device, tuning_device
from fsat_tasks.runtime.numeric_class import PLANNED_CLASSES, planned_class
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.tuning.material import Material, Pool, Rows
    from fsat_tasks.tuning.trial import Fit

__all__ = ["tune"]

_LAST_POOL: dict[str, Pool] = {}
"""The pool of the task before, by all that its rows depend on: many tasks may share one, and what is made of it."""


def tune(task: Task, store: Store, validated: Artefact, extracted: Artefact) -> Artefact:
    """Climb the ladder.

    Writes head.safetensors and head.json, the head; ladder.json, every rung with its evidence and what became of it; and
    held_out.npy, (samples, classes), the calibrated logits of samples that the model had not seen; and baseline.safetensors, the
    frozen probe that it is compared with. Where a body was tuned
    also body.safetensors, its weights, and encoder.onnx, encoder.json and tokenizer.json, the encoder with these weights.
    """
    spec, device = task.spec, tuning_device(pick_device(task.spec.device))
    pool = find_pool(validated, store)
    recipe = Recipe(
        "tune",
        11,
        config={
            "shots": spec.shots,
            "seed": spec.seed,
            **spec.tune.model_dump(exclude={"pool_rows"}),
            "exporter": None if spec.tune.body == "off" else exporter_versions(),
        },
        inputs={
            "rows": validated.sha256("rows.parquet"),
            "features": extracted.digest,
            **({"pool": pool.sha256(POOL_FILE)} if pool else {}),
            "encoder": find_encoder(spec.encoder.name, spec.encoder.max_tokens).revision,
        },
        numeric_class="numpy-cpu-fp64" if spec.tune.body == "off" else _numeric_class(planned_class(device)),
        parents={"validate": validated, "extract": extracted},
    )
    elsewhere = [] if spec.tune.body == "off" else [_numeric_class(one) for one in PLANNED_CLASSES if _may_be(one, spec.device)]
    found = store.find_first(recipe, [*elsewhere, recipe.numeric_class])
    if found is not None:
        return found
    with store.scratch(recipe) as checkpoints:
        return store.build(recipe, lambda folder: _tune(task, store, validated, extracted, checkpoints, folder))


def _numeric_class(planned: str) -> str:
    return f"numpy-cpu-fp64, {planned}"


def _may_be(planned: str, device: str) -> bool:
    """Whether a body that was tuned so will do where the task asks for a device."""
    return device == "auto" or f"-{device}-" in planned


def _tune(task: Task, store: Store, validated: Artefact, extracted: Artefact, checkpoints: Path, folder: Path) -> dict[str, Any]:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from fsat_tasks.tuning.ladder import FROZEN_RUNGS, run_ladder
    from fsat_tasks.tuning.state import LadderSettings

    spec = task.spec
    classes, samples = load_split(validated, CLASSES), load_split(validated, "samples")
    all_labels = np.searchsorted(classes.labels, samples.labels)  # classes are sorted
    rows = choose_shots(all_labels, spec.shots, spec.seed)
    encoder = encoder_of(store, extracted)
    material = _material(task, store, validated, extracted, samples.text_ids[rows], all_labels[rows])
    settings = LadderSettings(
        class_weight=spec.tune.class_weight,
        seed=spec.seed,
        device=tuning_device(pick_device(spec.device)),
        checkpoints=checkpoints,
    )
    if spec.tune.body == "off":
        settings = replace(settings, rungs=FROZEN_RUNGS)
    else:
        settings = replace(settings, budget_seconds=spec.tune.budget_seconds, fine_tuning=spec.tune.body)
    fit = run_ladder(material, settings)

    with threadpool_limits(1):  # the same digits on any number of cores
        head = _head(task, fit, material.labels, classes.labels, [samples.lines[i] for i in rows])
    save_head(head, folder)
    # seconds differ from run to run; they are in the manifest, so that equal work has an equal digest
    rungs = [{name: value for name, value in asdict(rung).items() if name != "seconds"} for rung in fit.trace]
    write_json(folder / "ladder.json", rungs)
    np.save(folder / "held_out.npy", fit.held_out.logits.astype(np.float32), allow_pickle=False)
    assert fit.baseline is not None
    save_baseline(fit.baseline, folder)
    if fit.weights is not None:
        _save_body(task, encoder, fit.weights, folder)
    taken = [rung.name for rung in fit.trace if rung.taken]
    seconds = {rung.name: round(rung.seconds, 2) for rung in fit.trace if rung.log_loss is not None}
    return {
        "samples": len(rows),
        "classes": len(classes.labels),
        "rung": taken[-1],
        "layers": fit.layers,
        "log_loss": fit.held_out.log_loss,
        "rung_seconds": seconds,
    }


def _material(
    task: Task, store: Store, validated: Artefact, extracted: Artefact, samples: NDArray[np.int64], labels: NDArray[np.int64]
) -> Material:
    from fsat_tasks.numerics.heads.pool_taught import POOL_ROWS
    from fsat_tasks.tuning.material import Material, Pool, Rows

    features, texts = open_features(task, store, extracted), load_texts(validated)
    tokenizer, _ = load_tokenizer(encoder_of(store, extracted).path / "tokenizer.json")

    def rows(texts: list[str]) -> Rows:
        read = task.spec.tune.body != "off"  # by a body alone
        return Rows(features(texts), tokenize(tokenizer, texts) if read else [[]] * len(texts))

    source = find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens)
    shots, names = ([texts[i] for i in text_ids] for text_ids in (samples, load_split(validated, CLASSES).text_ids))
    count = min(task.spec.tune.pool_rows, POOL_ROWS)  # no more is looked at
    pool, encoder = (artefact.manifest["parents"].get(name) for artefact, name in ((validated, "pool"), (extracted, "encoder")))
    key = json.dumps([pool, encoder, extracted.manifest["numeric_class"], count, task.spec.seed, task.spec.tune.body == "off"])
    pooled = _LAST_POOL.get(key)
    if pooled is None:
        _LAST_POOL.clear()
        pooled = _LAST_POOL[key] = Pool(rows(list(load_pool_texts(validated, draw_pool_rows(validated, count, task.spec.seed)))))
    return Material(source, rows(shots), labels, rows(names), pooled)


def _head(task: Task, fit: Fit, labels: NDArray[np.int64], names: list[str], lines: list[int]) -> Head:
    import numpy as np
    from scipy.special import softmax

    from fsat_tasks.numerics.evidence.conformal import conformal_threshold, lac_scores
    from fsat_tasks.numerics.geometry.layers import mix_layers
    from fsat_tasks.numerics.heads.memory import TaughtHead
    from fsat_tasks.numerics.heads.scope import coverage_threshold, fit_scope

    held_out, temperature = fit.held_out.logits, fit.held_out.temperature
    shots, anchors = mix_layers(fit.shots, fit.layers), mix_layers(fit.anchors, fit.layers)
    scope = fit_scope(shots, labels, anchors, temperature, held_out * temperature, unseen=fit.unseen)
    scores = lac_scores(softmax(held_out, axis=1))
    linear = fit.head.linear if isinstance(fit.head, TaughtHead) else fit.head
    return Head(
        labels=names,
        layers=fit.layers,
        weight=linear.weight.astype(np.float32),
        bias=linear.bias.astype(np.float32),
        memory=fit.head.memory if isinstance(fit.head, TaughtHead) else None,
        temperature=temperature,
        lines=lines,
        rung=[rung.name for rung in fit.trace if rung.taken][-1],
        scope=scope,
        scope_threshold=coverage_threshold(scope.held_out, task.spec.tune.coverage),
        set_thresholds={str(coverage): conformal_threshold(scores, labels, coverage) for coverage in SET_COVERAGES},
    )


def _save_body(task: Task, encoder: Artefact, weights: Any, folder: Path) -> None:
    """The tuned weights, and the encoder's graph with them."""
    from safetensors.torch import save

    from fsat_tasks.encoders.graph import export_onnx
    from fsat_tasks.tuning.fine_tuning import load_torch_encoder

    (folder / "body.safetensors").write_bytes(save(weights))
    source = find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens)
    export_onnx(load_torch_encoder(source, "cpu", weights), folder / "encoder.onnx")
    write_json(folder / "encoder.json", encoder.json("encoder.json") | {"precision": "fp32"})
    shutil.copyfile(encoder.path / "tokenizer.json", folder / "tokenizer.json")


def choose_shots(labels: NDArray[np.int64], shots: int | None, seed: int) -> NDArray[np.int64]:
    """Positions of at most `shots` rows of each class, drawn by the seed, in their old order; all where it is None."""
    import numpy as np

    if shots is None:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = np.concatenate([order[labels[order] == label][:shots] for label in np.unique(labels)])
    return np.sort(kept)
