"""Train SetFit on one set of shots. This module runs in SetFit's own environment, so it imports nothing of this project.

python setfit_worker.py REQUEST.json ANSWER.npz
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 16  # number of pairs, SetFit's default


def train(request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Run SetFit's Trainer with its defaults: 1 epoch of batches of 16 pairs at a rate of 2e-5, and a logistic head.

    Only the number of steps is limited, to `max_steps`.

    Returns:
        the model and its figures: seconds, steps taken, and steps of a full epoch.
    """
    from datasets import Dataset  # type: ignore[import-not-found]
    from setfit import SetFitModel, Trainer, TrainingArguments  # type: ignore[import-not-found]
    from transformers import set_seed

    set_seed(request["seed"])
    model = SetFitModel.from_pretrained(request["encoder"], local_files_only=True)
    rows = Dataset.from_dict({"text": request["texts"], "label": request["labels"]})
    arguments = {"output_dir": request["folder"], "save_strategy": "no", "report_to": "none", "seed": request["seed"]}
    epoch = -(-pairs_of_an_epoch(request["labels"]) // BATCH)
    steps = min(epoch, request["max_steps"] or epoch)
    # max_steps is set only if it shortens the epoch, so other runs keep SetFit's defaults
    if steps < epoch:
        arguments["max_steps"] = steps
    trainer = Trainer(model=model, args=TrainingArguments(**arguments), train_dataset=rows)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    return model, {"train_seconds": seconds, "steps": trainer.st_trainer.state.global_step, "steps_of_an_epoch": epoch}


def pairs_of_an_epoch(labels: list[int]) -> int:
    """Count the pairs of an epoch with SetFit's default `oversampling`.

    Pairs with equal labels are one group, and pairs with unequal labels are the other group. SetFit repeats pairs of the
    smaller group until both groups have the same size.
    """
    rows = np.bincount(labels)
    equal = int((rows * (rows + 1) // 2).sum())  # a row is also paired with itself
    unequal = (len(labels) * (len(labels) + 1)) // 2 - equal
    return 2 * max(equal, unequal)


def peak_megabytes() -> float | None:
    """Return this process's peak memory in MB (VmHWM), or None if the system does not report it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    model, figures = train(request)
    columns = [int(label) for label in model.model_head.classes_]

    def probabilities(texts: list[str]) -> np.ndarray:
        answer = np.zeros((len(texts), request["classes"]))
        if texts:
            answer[:, columns] = model.predict_proba(texts, as_numpy=True)
        return answer

    query, outside = probabilities(request["query"]), probabilities(request["out_of_scope"])
    versions = {name: version(name) for name in ("setfit", "sentence-transformers", "transformers", "torch", "scikit-learn")}
    said = {**figures, "versions": versions, "peak_megabytes": peak_megabytes()}
    np.savez(sys.argv[2], figures=json.dumps(said), query=query, out_of_scope=outside)


if __name__ == "__main__":
    main()
