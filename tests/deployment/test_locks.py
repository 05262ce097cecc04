"""docker/*.lock: the packages that constraints.txt and pyproject.toml ask for and no others, every file by its sha256."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from unittest.mock import Mock
from urllib.error import URLError

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
CONTROL = [*EXTRAS["airflow"], *EXTRAS["distributed"], *EXTRAS["kubernetes"]]
NEEDED = {
    "build": PROJECT["build-system"]["requires"],
    "control": CONTROL,
    "worker": [*PROJECT["project"]["dependencies"], *CONTROL, *EXTRAS["dvc"]],
}
IMAGE = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11", "extra": ""}


def pins(text: str) -> dict[str, str]:
    return {str(canonicalize_name(name)): version for name, version in re.findall(r"^([\w.-]+)==([^\s\\]+)", text, re.MULTILINE)}


TESTED = pins((ROOT / "constraints.txt").read_text("utf-8"))
LOCKS = {name: (DOCKER / f"{name}.lock").read_text("utf-8") for name in ("build", "control", "worker", "cuda")}
LOCKED = {name: pins(text) for name, text in LOCKS.items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_pinned_and_has_hashes_and_nothing_else(lock: str) -> None:
    entries = re.split(r"^(?=\w)", LOCKS[lock], flags=re.MULTILINE)[1:]
    assert len(entries) == len(LOCKED[lock]) > 0
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_versions_are_the_tested_ones(lock: str) -> None:
    cuda = {name for name in LOCKED[lock] if re.fullmatch(r"triton|(nvidia|cuda)-.*", name)}
    assert not cuda or lock == "cuda"
    untested = {name: version for name, version in LOCKED[lock].items() if TESTED.get(name) != version}
    assert set(untested) - cuda <= {"setuptools"}, "make lock"  # which only builds


def test_control_image_has_what_reading_a_task_with_schedules_imports(make_task: Callable[..., str]) -> None:
    name = make_task([("a", "b"), ("c", "d")], schedules={"tune": "0 3 * * *"})
    call = f"""
import sys
before = set(sys.modules)
from fsat_tasks.tasks.task import load_task
load_task({name!r})
print(*{{module.split(".")[0] for module in set(sys.modules) - before}})
"""
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True)
    providers = packages_distributions()
    needed = {str(canonicalize_name(one)) for module in done.stdout.split() for one in providers.get(module, ())} - {"fsat"}
    assert {"croniter", "pydantic", "ruamel-yaml"} <= needed <= set(LOCKED["control"]), "make lock"


@pytest.mark.parametrize("lock", NEEDED)
def test_lock_has_what_pyproject_asks_for(lock: str) -> None:
    locked = LOCKED[lock] | (LOCKED["cuda"] if lock == "worker" else {})
    for requirement in map(Requirement, NEEDED[lock]):
        if requirement.marker is None or requirement.marker.evaluate(IMAGE):
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), f"{requirement}: make lock"


def test_locks_of_the_worker_do_not_overlap_and_have_all_of_the_control_planes() -> None:
    assert not LOCKED["worker"].keys() & LOCKED["cuda"].keys()
    assert LOCKED["control"].items() <= LOCKED["worker"].items()


@pytest.mark.parametrize("image", ["control", "worker"])
def test_image_installs_nothing_unchecked_but_another_torch(image: str) -> None:
    text = (DOCKER / f"{image}.Dockerfile").read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"\bpip (?:install|wheel) [^&;\n]*", text)
    unchecked = [line for line in installs if "--require-hashes" not in line and "--no-index" not in line]
    assert [line.split()[-1] for line in unchecked] == ([] if image == "control" else ["torch"])
    assert all("--no-deps" in line for line in installs)


def test_audit_is_skipped_with_a_word_where_pypi_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=URLError("no network")))
    assert runpy.run_path(str(DOCKER / "audit.py"))["main"]() == 0
    said = "pip-audit: skipped, PyPI's advisories are not to be had here (<urlopen error no network>)\n"
    assert capsys.readouterr().out.endswith(said)


def test_audit_names_each_image_without_a_digest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    digest = f"sha256:{'0' * 64}"
    (tmp_path / "one.Dockerfile").write_text("FROM python:3.11-slim AS base\nFROM base\nFROM org/other:2@" + digest + "\n")
    compose = f"services:\n  a:\n    image: redis:7.4\n  b:\n    image: postgres:17@{digest}\n  c:\n    image: ${{OWN:-own}}\n"
    (tmp_path / "compose.yaml").write_text(compose)
    audit = runpy.run_path(str(DOCKER / "audit.py"))
    monkeypatch.setitem(audit["unpinned"].__globals__, "DOCKER", tmp_path)
    assert audit["unpinned"]() == ["python:3.11-slim", "redis:7.4"]
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=URLError("no network")))
    assert audit["main"]() == 0
    assert "redis:7.4: named by tag alone; docker/README.md says how to pin it by sha256\n" in capsys.readouterr().out


def test_audit_asks_for_all_that_is_locked_and_fails_as_pip_audit_does(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Mock(return_value=Mock(returncode=1))
    monkeypatch.setattr("urllib.request.urlopen", Mock())
    monkeypatch.setattr("subprocess.run", call)
    assert runpy.run_path(str(DOCKER / "audit.py"))["main"]() == 1
    asked = [word for word in call.call_args.args[0] if word.startswith("--requirement=")]
    assert asked == [f"--requirement={DOCKER / name}" for name in ("worker.lock", "cuda.lock")]
