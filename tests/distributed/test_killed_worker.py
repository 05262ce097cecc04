"""Three runs at once on CeleryExecutor, whose GPU worker is killed in the middle of tuning."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.open_gates import OPEN_GATES
from cluster import ROOT, Cluster, cluster
from fsat_tasks.registry.registry import Registry
from fsat_tasks.steps.order import STEPS
from fsat_tasks.store import Store
from processes import PATIENCE
from servers import missing

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

DAG = "fsat_tune"
ENCODERS = ("encoder", "encoder-int8")
CLASSES, SHOTS = 3, 3
"""Classes of each task, and samples per class: few enough that an encoder is fine-tuned in some seconds."""
GATES = OPEN_GATES | {"max_drop": 1.0}
"""Gates that hold nothing: these runs are about work on a busy machine, not about quality."""
UNDISTURBED = """
import sys
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.tasks.task import load_task
for name in sys.argv[1:]:
    run_steps(load_task(name))
"""


@pytest.fixture
def tasks(data_root: Path) -> list[str]:
    """Three tasks with different classes of the demo, so that no two share a text. The first fine-tunes its encoder."""
    with (ROOT / "data" / "support-intents" / "samples.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({row["label"] for row in rows})
    names = ["first", "second", "third"]
    for number, name in enumerate(names):
        (data_root / name).mkdir()
        with (data_root / name / "samples.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            for label in labels[number * CLASSES : (number + 1) * CLASSES]:
                writer.writerows([row for row in rows if row["label"] == label][:SHOTS])
        spec = {"samples": "samples.csv", "gates": GATES, "tune": {"body": "off" if number else "full"}}
        (data_root / name / "task.yaml").write_text(json.dumps(spec))
    return names


def artefacts(store: Path) -> dict[Path, dict[str, Any]]:
    """Return place in the store -> manifest, for each whole artefact."""
    return {
        path.parent.relative_to(store): json.loads(path.read_text("utf-8")) for path in store.glob("*/??/[!.]*/manifest.json")
    }


def identity(path: Path) -> tuple[int, int]:
    """Return facts of a file that change if it is written again."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def bodies(store: Path) -> dict[Path, tuple[int, int]]:
    """Return the folds' encoders that tuning has kept for a later run."""
    found = {}
    for path in store.glob("checkpoints/*/body-*.safetensors"):
        try:
            found[path] = identity(path)
        except FileNotFoundError:  # the tuning is done
            continue
    return found


def built(airflow: Cluster) -> Counter[str]:
    """Return key of an artefact -> number of task instances that built it, rather than found it."""
    count: Counter[str] = Counter()
    for ti in airflow.task_instances(DAG):
        path = f"/dags/{DAG}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/xcomEntries"
        entries = airflow.get(path, map_index=ti["map_index"])["xcom_entries"]
        if any(entry["key"] == "return_value" for entry in entries):
            value = airflow.get(f"{path}/return_value", map_index=ti["map_index"])["value"]
            if isinstance(value, dict) and "built" in value:
                count[value["key"]] += value["built"]
    return count


def test_runs_whose_gpu_worker_is_killed_in_the_middle_of_tuning_end_as_undisturbed_ones_do(
    tasks: list[str], data_root: Path, store_root: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    undisturbed = tmp_path / "undisturbed"
    subprocess.run([sys.executable, "-c", UNDISTURBED, *tasks], env=os.environ | {"FSAT_STORE": str(undisturbed)}, check=True)
    for step in ENCODERS:  # so that no run exports them again
        shutil.copytree(undisturbed / step, store_root / step, copy_function=os.link)

    folders = {"FSAT_DATA": str(data_root), "FSAT_STORE": str(store_root)}
    with cluster(tmp_path, FSAT_GPU_QUEUE="gpu", **folders) as airflow:
        for name in tasks:
            airflow.trigger(DAG, name, {"task": name})
        airflow.wait("a fold's body", lambda: bool(bodies(store_root)))
        airflow.kill("gpu")

        done, kept = (
            {place: identity(store_root / place / "manifest.json") for place in artefacts(store_root)},
            bodies(store_root),
        )
        airflow.start_worker("second gpu", "gpu")

        def ended() -> bool:
            for path, now in bodies(store_root).items():
                assert kept.setdefault(path, now) == now, f"{path} was tuned again"
            return all(state in ("success", "failed") for state in airflow.runs(DAG).values())

        airflow.wait("the runs", ended, seconds=3 * PATIENCE)
        assert airflow.runs(DAG) == dict.fromkeys(tasks, "success"), airflow.ends_of_logs()
        instances, count = airflow.task_instances(DAG), built(airflow)

    tries = {(ti["dag_run_id"], ti["task_id"]): ti["try_number"] for ti in instances}
    assert any(number == 2 for (_, task), number in tries.items() if task.endswith("tune")), tries
    assert {ti["queue"] for ti in instances if ti["pool"] == "gpu"} == {"gpu"}
    assert {ti["queue"] for ti in instances if ti["pool"] != "gpu"} == {"default"}

    # the same digests
    made = artefacts(store_root)
    assert {place: manifest["digest"] for place, manifest in made.items()} == {
        place: manifest["digest"] for place, manifest in artefacts(undisturbed).items()
    }
    assert {manifest["caller"] for manifest in made.values() if manifest["step"] not in ENCODERS} == {"airflow"}

    # nothing that was done is done again
    assert kept and done
    assert {place: identity(store_root / place / "manifest.json") for place in done} == done
    assert count == {manifest["key"]: 1 for manifest in made.values() if manifest["step"] in STEPS}
    texts = np.concatenate([np.load(path, allow_pickle=False) for path in store_root.glob("rows-*/??/[!.]*/keys.npy")])
    assert len(np.unique(texts)) == len(texts)

    # every published model verifies, and answers
    store = Store(store_root)
    assert all(store.find(manifest["step"], manifest["key"]) for manifest in made.values())
    for name in tasks:
        champion, other = (Registry(root, name).champion() for root in (store_root, undisturbed))
        assert champion and other and champion["version"] == 1
        assert champion["model"]["digest"] == other["model"]["digest"]
        code, answer, said = cli("predict", name, "my card has not arrived")
        assert code == 0, said
        assert json.loads(answer)["label"]
    assert not (store_root / "corrupt").exists()
    assert not list((store_root / "checkpoints").iterdir())
