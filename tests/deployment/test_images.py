"""docker/compose.yaml and docker/helm-values.yaml: rules that every container follows, and no secrets in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fsat_tasks.integrations.airflow_server import POOLS as AIRFLOW_POOLS
from fsat_tasks.runtime.privacy import SWITCHES

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPONENTS = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "gpu-worker"}
SECRET = re.compile(r"PASSWORD(?!S_FILE)|SECRET|FERNET|AUTH$|CONN$|BACKEND$|BROKER_URL$")
POOLS = re.compile(r"airflow pools set (\w+)")


def load(name: str) -> Any:
    return YAML(typ="safe").load(DOCKER / name)


SERVICES: dict[str, dict[str, Any]] = load("compose.yaml")["services"]
VALUES: dict[str, Any] = load("helm-values.yaml")


@pytest.mark.parametrize("image", ["control", "worker"])
def test_image_switches_off_every_usage_report_for_all_that_runs_in_it(image: str) -> None:
    lines = (DOCKER / f"{image}.Dockerfile").read_text("utf-8").splitlines()
    assert {f"{name}={value}" for name, value in SWITCHES.items()} <= {line.strip(" \\") for line in lines}


def test_compose_has_every_component() -> None:
    assert set(SERVICES) == COMPONENTS | {"postgres", "redis", "init"}
    for name in COMPONENTS:
        command = " ".join(SERVICES[name]["command"])
        assert re.search("airflow celery worker" if "worker" in name else f"airflow {name}", command)
        assert SERVICES[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_container_is_confined_watched_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert int(service["user"].split(":")[0]) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["healthcheck"].get("test") or name == "init"
    assert re.search(r":\d+\.\d+|^\$\{FSAT_\w+_IMAGE:-fsat-\w+\}$", service["image"])


def test_only_the_pages_are_published_and_only_to_this_host() -> None:
    assert [port for service in SERVICES.values() for port in service.get("ports", [])] == [
        "127.0.0.1:${FSAT_UI_PORT:-8080}:8080"
    ]


def test_secrets_have_to_be_given() -> None:
    needed = set()
    for name, value in ((name, value) for service in SERVICES.values() for name, value in service["environment"].items()):
        if SECRET.search(name):
            variable = re.search(r"\$\{(\w+):\?", value)
            assert variable, f"{name}: {value}"
            needed.add(variable[1])
    example = (DOCKER / ".env.example").read_text("utf-8")
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == needed
    assert not re.search(r"^\w+=.", example, re.MULTILINE), "what has a value is a default: leave it a comment"


def test_example_of_the_environment_knows_every_variable() -> None:
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text("utf-8")))
    known = set(re.findall(r"^#?(\w+)=", (DOCKER / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert used - known == {"FSAT_CONTROL_IMAGE", "FSAT_WORKER_IMAGE"}


def test_gpu_worker_has_the_gpus_and_their_queue() -> None:
    worker = SERVICES["gpu-worker"]
    assert worker["profiles"] == ["gpu"]
    assert worker["command"][3:5] == ["--queues", "gpu"]
    assert worker["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_workers_do_not_get_the_address_of_the_database_nor_its_key() -> None:
    for name in ("worker", "gpu-worker"):
        assert not {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__FERNET_KEY"} & set(SERVICES[name]["environment"])


def test_pools_are_made_and_named_as_in_every_other_set_up() -> None:
    pools = set(AIRFLOW_POOLS)
    assert set(POOLS.findall(" ".join(SERVICES["init"]["command"]))) == pools
    assert set(POOLS.findall(" ".join(VALUES["migrateDatabaseJob"]["args"]))) == pools
    named = {f"FSAT_{pool.upper()}_POOL": pool for pool in pools}
    assert named.items() <= SERVICES["dag-processor"]["environment"].items()
    assert named.items() <= {entry["name"]: entry["value"] for entry in VALUES["env"]}.items()


def test_chart_has_the_version_that_is_installed() -> None:
    assert f"\napache-airflow=={VALUES['airflowVersion']}\n" in (ROOT / "constraints.txt").read_text("utf-8")


def test_chart_gives_names_of_secrets_only() -> None:
    assert not re.search(
        r"(?i)(connection|fernetKey|SecretKey|jwtSecret|password):", (DOCKER / "helm-values.yaml").read_text("utf-8")
    )
    assert all(VALUES[f"{key}SecretName"] for key in ("fernetKey", "apiSecretKey", "jwt"))
    assert set(VALUES["data"]) == {"metadataSecretName", "resultBackendSecretName", "brokerUrlSecretName"}


def test_chart_confines_and_bounds_every_pod() -> None:
    contexts = VALUES["securityContexts"]
    assert contexts["pod"]["runAsNonRoot"] and contexts["containers"]["readOnlyRootFilesystem"]
    assert contexts["containers"]["capabilities"] == {"drop": ["ALL"]}
    parts = [VALUES[name] for name in ("apiServer", "scheduler", "dagProcessor", "triggerer", "migrateDatabaseJob")]
    for part in [*parts, VALUES["workers"]["celery"], VALUES["workers"]["kubernetes"]]:
        assert part["resources"]["limits"]["memory"]
    assert VALUES["workers"]["kubernetes"]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "FSAT_GPU_EXECUTOR", "value": "KubernetesExecutor"} in VALUES["env"]
