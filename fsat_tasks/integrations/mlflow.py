"""MLflow tracking: if MLFLOW_TRACKING_URI is set, each decision is logged once, as an MLflow run on that server.

If the server fails, a warning is logged, and the step goes on.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fsat_tasks.encoders.artefact import preparer_files
from fsat_tasks.quality.gates import all_gates
from fsat_tasks.runtime.logs import hide_logins
from fsat_tasks.store import Artefact
from fsat_tasks.tasks.task import Task

__all__ = ["track"]

log = logging.getLogger(__name__)

DEFAULTS = {
    # MLflow's defaults, 120 seconds and eight tries, would delay the run
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
SERVING = ("config.json", "README.md")
"""Files of a model that are logged besides its graph and the files of its preparer."""


def track(task: Task, published: Artefact, model: Artefact, graph: Path, outcome: str) -> None:
    """Log a decision to MLflow, with the parameters, the metrics, the report and the ONNX model. The gates become tags.

    A repeated call for the same decision adds no run.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return
    if find_spec("mlflow") is None:
        log.warning("MLFLOW_TRACKING_URI is set and mlflow is not installed: nothing is logged. pip install 'fsat[mlflow]'")
        return
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException

    try:
        with redirect_stdout(sys.stderr):  # MLflow prints links; standard output must stay valid JSON
            _log_once(task, published, model, graph, outcome)
    except (MlflowException, OSError) as error:
        message = str(error).split("\n")[0]
        log.warning("MLflow at %s: the run is not logged: %s", hide_logins(uri), hide_logins(message))


def _log_once(task: Task, published: Artefact, model: Artefact, graph: Path, outcome: str) -> None:
    """Log the decision as a run of MLflow. If a killed process left this run unfinished, continue the run.

    If the run is finished, only its tag with the outcome is updated.
    """
    import mlflow

    client = mlflow.MlflowClient()
    experiment = _experiment(client, f"fsat/{task.name}")
    found = client.search_runs([experiment], f"tags.`fsat.key` = '{published.key}'")
    run_id = found[0].info.run_id if found else None
    if found and found[0].info.status == "FINISHED":
        if outcome != "unchanged":
            client.set_tag(run_id, "fsat.outcome", outcome)
        return
    with mlflow.start_run(run_id, experiment_id=experiment, run_name=published.key[:12], tags=_tags(task, published, outcome)):
        _log_files(task, published, model, graph)


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _tags(task: Task, published: Artefact, outcome: str) -> dict[str, str]:
    decision = published.json("decision.json")
    gates = {f"fsat.gate.{gate.gate}": gate.reason[:1000] for gate in all_gates(published)}
    return {
        "fsat.key": published.key,
        "fsat.task": task.name,
        "fsat.model": decision["model"]["key"],
        "fsat.decision": "promote" if decision["promote"] else "hold",
        "fsat.outcome": outcome,
        **gates,
    }


def _log_files(task: Task, published: Artefact, model: Artefact, path: Path) -> None:
    import mlflow
    import mlflow.onnx
    import onnx

    spec = task.spec.model_dump(mode="json")
    mlflow.log_dict(spec, "task.json")
    mlflow.log_params(_flat({name: value for name, value in spec.items() if name not in ("classes", "description")}))
    figures = published.json("decision.json")["metrics"]
    mlflow.log_metrics({name: value for name, value in figures.items() if type(value) in (int, float)})
    mlflow.log_artifact(str(published.path / "report.html"))
    for name in (*preparer_files(model, "config.json"), *SERVING):
        mlflow.log_artifact(str(model.path / name), "serving")
    graph = onnx.load(path)
    mlflow.onnx.log_model(
        graph,
        name="model",
        signature=_signature(graph.graph),
        pip_requirements=[f"onnx=={onnx.__version__}", "onnxruntime"],  # without this, MLflow would run the model to find them
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _signature(graph: Any) -> Any:
    """Return a ModelSignature with the names, types and shapes of the graph's inputs and outputs. A dynamic dimension is -1."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    def schema(values: Any) -> Schema:
        specs = []
        for value in values:
            tensor = value.type.tensor_type
            shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim)
            specs.append(TensorSpec(tensor_dtype_to_np_dtype(tensor.elem_type), shape, value.name))
        return Schema(specs)

    return ModelSignature(inputs=schema(graph.input), outputs=schema(graph.output))
