"""The store: a key for all that counts, work done once, and nothing but whole artefacts under a final name."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsat_tasks.errors import StoreError
from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, NumericClass
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store import artefact as artefact_module
from fsat_tasks.store import files as files_module
from fsat_tasks.store.files import canonical_json, sha256_file

RECIPE = Recipe("step", 1, {"seed": 0}, {"rows": "abc"})


def write_two(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("first")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("second")
    return {"files": 2}


def refuse(folder: Path) -> None:
    raise AssertionError("built again")


def files_below(folder: Path) -> list[str]:
    """Files but for the lock, and folders of unfinished artefacts."""
    found = (path for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))
    return sorted(str(path.relative_to(folder)) for path in found if path != folder / "runs" / ".lock")


# Keys

names = st.text(max_size=6)
configs = st.dictionaries(
    names, st.none() | st.booleans() | st.integers() | names | st.lists(st.integers(), max_size=2), max_size=3
)
recipes = st.builds(
    Recipe,
    step=st.sampled_from(["validate", "tune"]),
    version=st.integers(1, 3),
    config=configs,
    inputs=st.dictionaries(names, names, max_size=3),
    numeric_class=st.sampled_from([None, CPU_CLASS, *CUDA_CLASSES]),
)


def parts(recipe: Recipe) -> tuple[object, ...]:
    # JSON by value and type: True is not 1
    return recipe.step, recipe.version, json.dumps(recipe.config, sort_keys=True), dict(recipe.inputs), recipe.computed_by


@given(recipes, recipes)
def test_keys_are_equal_where_all_parts_are_and_nowhere_else(one: Recipe, other: Recipe) -> None:
    assert (one.key == other.key) == (parts(one) == parts(other))


@given(recipes, recipes, st.sampled_from(["step", "version", "config", "inputs", "numeric_class"]))
def test_key_changes_with_each_part(recipe: Recipe, other: Recipe, name: str) -> None:
    changed = replace(recipe, **{name: getattr(other, name)})
    assume(parts(changed) != parts(recipe))
    assert changed.key != recipe.key


@given(recipes)
def test_key_does_not_change_with_parents_or_the_order_of_a_mapping(recipe: Recipe) -> None:
    parents = {"before": Artefact(Path("/x"), {"step": "s", "key": "k", "digest": "d"})}
    turned = replace(recipe, parents=parents, config=dict(reversed(list(recipe.config.items()))))
    assert turned.key == recipe.key


def test_key_is_the_same_in_every_process_and_version() -> None:
    assert RECIPE.key == "b28ac6697d40cbc31eea9ac378ac5084f754f141c95370cf53f221353cbc6611"


def test_what_json_cannot_say_exactly_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})
    with pytest.raises(TypeError):
        canonical_json({"x": Path("a")})


# Building and finding


def test_built_artefact_has_its_files_and_a_manifest_that_says_what_made_them(tmp_path: Path) -> None:
    parent = Store(tmp_path).build(replace(RECIPE, step="parent"), write_two)
    artefact = Store(tmp_path).build(replace(RECIPE, parents={"before": parent}), write_two)
    assert artefact.built
    assert artefact.path == tmp_path / "step" / RECIPE.key[:2] / RECIPE.key
    manifest = json.loads((artefact.path / "manifest.json").read_text())
    assert manifest == artefact.manifest
    assert manifest["files"] == {
        name: {"sha256": sha256_file(artefact.path / name), "bytes": size} for name, size in (("a.txt", 5), ("sub/b.txt", 6))
    }
    assert (manifest["step"], manifest["version"], manifest["key"]) == ("step", 1, RECIPE.key)
    assert (manifest["config"], manifest["inputs"], manifest["notes"]) == ({"seed": 0}, {"rows": "abc"}, {"files": 2})
    assert manifest["parents"] == {"before": parent.reference()}
    assert manifest["wall_seconds"] >= 0
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("variables", "caller"), [({}, "cli"), ({"DVC_STAGE": "tune"}, "dvc"), ({"AIRFLOW_CTX_DAG_ID": "d"}, "airflow")]
)
def test_manifest_names_the_caller(
    variables: Mapping[str, str], caller: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DVC_STAGE", "AIRFLOW_CTX_DAG_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Store(tmp_path).build(RECIPE, write_two).manifest["caller"] == caller


def test_second_build_does_not_write(tmp_path: Path) -> None:
    first = Store(tmp_path).build(RECIPE, write_two)
    second = Store(tmp_path).build(RECIPE, refuse)
    assert (second.built, second.path, second.manifest) == (False, first.path, first.manifest)
    assert Store(tmp_path).build(replace(RECIPE, version=2), write_two).built


contents = st.dictionaries(st.sampled_from(["a", "b", "sub/c"]), st.binary(max_size=8), max_size=3)


@given(contents, contents)
def test_digests_are_equal_for_equal_files_and_only_then(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    def digest(recipe: Recipe, files: dict[str, bytes]) -> str:
        def write(folder: Path) -> None:
            for name, content in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(content)

        return store.build(recipe, write).digest

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        assert (digest(RECIPE, one) == digest(replace(RECIPE, step="other", version=7), other)) == (one == other)


@pytest.mark.parametrize(
    ("numeric_class", "device"),
    [(None, None), (NumericClass("numpy", "cpu", "fp64"), "cpu"), (CUDA_CLASSES[0], "cuda")],
)
def test_manifest_has_the_seed_and_the_device(numeric_class: NumericClass | None, device: str | None, tmp_path: Path) -> None:
    manifest = Store(tmp_path).build(replace(RECIPE, numeric_class=numeric_class), write_two).manifest
    assert (manifest["seed"], manifest["device"]) == (0, device)
    assert Store(tmp_path).build(replace(RECIPE, config={}), write_two).manifest["seed"] is None


def test_manifest_has_the_versions_of_the_loaded_modules_that_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"fsat_tasks": "fsat", "great_expectations": "great-expectations", "sklearn": "scikit-learn", "absent": "absent"}
    for module in modules:
        monkeypatch.setitem(sys.modules, module, sys.modules.get(module))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setitem(artefact_module.DISTRIBUTIONS, "absent", ("absent-distribution",))
    versions = Store(tmp_path).build(RECIPE, write_two).manifest["versions"]
    assert {name: versions.get(name) for name in modules.values()} == {
        name: version(name) if name != "absent" else None for name in modules.values()
    }
    assert not {"torch", "absent-distribution"} & set(versions)


@pytest.mark.parametrize(
    "error", [ValueError("bad data"), KeyboardInterrupt(), OSError("no such model"), PermissionError(13, "no", "/elsewhere")]
)
def test_failed_write_leaves_nothing_and_is_not_hidden(error: BaseException, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_two(folder)
        raise error

    with pytest.raises(type(error)):
        Store(tmp_path).build(RECIPE, fail)
    assert files_below(tmp_path) == []
    assert Store(tmp_path).find(RECIPE.step, RECIPE.key) is None


# Damage


def flip(path: Path) -> None:
    path.write_bytes(b"First")


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("a.txt", flip, "a.txt: sha256 differs"),
        ("sub/b.txt", Path.unlink, "sub/b.txt: not there"),
        ("manifest.json", cut, "manifest.json:"),
        ("manifest.json", Path.unlink, "manifest.json:"),
        ("manifest.json", lambda path: path.write_text("[]"), "manifest.json:"),
        ("manifest.json", lambda path: path.write_text("{}"), "manifest.json:"),
        ("manifest.json", lambda path: path.write_bytes(b"\xff\xfe"), "manifest.json:"),
        ("manifest.json", lambda path: path.write_text('{"files": {"a.txt": "x"}}'), "manifest.json:"),
        ("manifest.json", lambda path: path.write_text('{"files": {}}'), "manifest.json:"),
        ("manifest.json", lambda path: edit(path, digest="0" * 64), "manifest.json: digest is not"),
        ("manifest.json", lambda path: edit(path, key="0" * 64), "manifest.json: key is not"),
        ("manifest.json", lambda path: edit(path, step="other"), "manifest.json: step is not"),
        ("manifest.json", lambda path: edit(path, files={}), "manifest.json: digest is not"),
        ("a.txt", lambda path: (path.unlink(), path.mkdir()), "a.txt: not there"),
    ],
)
def test_damaged_artefact_is_set_aside_with_a_warning_and_built_again(
    name: str, damage: Callable[[Path], Any], problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    whole = store.build(RECIPE, write_two)
    damage(whole.path / name)
    with caplog.at_level(logging.WARNING):
        again = store.build(RECIPE, write_two)
    assert again.built
    assert (again.path, again.digest) == (whole.path, whole.digest)
    assert store.build(RECIPE, refuse).path == whole.path
    (aside,) = (tmp_path / "corrupt").iterdir()
    assert aside.name.startswith(f"step-{RECIPE.key}")
    (message,) = caplog.messages
    assert str(whole.path) in message
    assert str(aside) in message
    assert problem in message


def test_two_damaged_artefacts_of_one_key_are_both_kept_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(2):
        flip(store.build(RECIPE, write_two).path / "a.txt")
    assert store.build(RECIPE, write_two).built
    assert len(list((tmp_path / "corrupt").iterdir())) == 2


# Several processes, and killed ones

BUILD = """
import os, signal, sys, time
from pathlib import Path
from fsat_tasks.store import Recipe, Store
root, go, do = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def write(folder):
    (folder / "a.txt").write_text("by " + str(os.getpid()))
    (go.parent / f"ready-{os.getpid()}").touch()
    while not go.exists():
        time.sleep(0.002)
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
artefact = Store(root).build(Recipe("step", 1, {"seed": 0}, {"rows": "abc"}), write)
print((artefact.path / "a.txt").read_text(), artefact.digest, artefact.built)
"""


def start(root: Path, go: Path, do: str = "build") -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILD, str(root), str(go), do], stdout=subprocess.PIPE, text=True)


def wait_ready(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("ready-*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_processes_that_build_one_key_at_once_leave_one_whole_artefact_and_agree_on_it(tmp_path: Path) -> None:
    root, go = tmp_path / "store", tmp_path / "go"
    processes = [start(root, go) for _ in range(4)]
    wait_ready(tmp_path, 4)  # all are inside write
    go.touch()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    # each wrote something else, so equal answers mean that all speak of the one that stayed
    assert len({tuple(answer[:3]) for answer in answers}) == 1
    assert sorted(answer[3] for answer in answers) == ["False"] * 3 + ["True"]
    artefact = Store(root).build(RECIPE, refuse)
    assert artefact.digest == answers[0][2]
    assert files_below(root) == sorted(f"step/{RECIPE.key[:2]}/{RECIPE.key}/{name}" for name in ("a.txt", "manifest.json"))


def test_killed_process_leaves_no_artefact_and_the_next_build_removes_its_folder(tmp_path: Path) -> None:
    root, go = tmp_path / "store", tmp_path / "go"
    go.touch()
    process = start(root, go, "die")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert Store(root).find(RECIPE.step, RECIPE.key) is None
    siblings = list((root / "step" / RECIPE.key[:2]).iterdir())
    assert [path.name.startswith(f".{RECIPE.key}.") for path in siblings] == [True]
    assert Store(root).build(RECIPE, write_two).built
    assert list((root / "step" / RECIPE.key[:2]).iterdir()) == [root / "step" / RECIPE.key[:2] / RECIPE.key]


def test_folders_of_living_processes_and_of_other_machines_are_left_alone(tmp_path: Path) -> None:
    parent = tmp_path / "step" / RECIPE.key[:2]
    ours, theirs = f".{RECIPE.key}.{socket.gethostname()}.{os.getpid()}.abc", f".{RECIPE.key}.elsewhere.1.abc"
    for name in (ours, theirs):
        (parent / name).mkdir(parents=True)
    Store(tmp_path).build(RECIPE, write_two)
    assert sorted(path.name for path in parent.iterdir()) == sorted([ours, theirs, RECIPE.key])


# Stores that cannot be written


def assert_refused(root: Path, write: Callable[[Path], Any] = refuse) -> None:
    with pytest.raises(StoreError, match=r"^store .*expected a folder that can be written, got .*FSAT_STORE") as caught:
        Store(root).build(RECIPE, write)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(tmp_path / "file" / "store")
    assert_refused(tmp_path / "file")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_store_where_no_folder_can_be_made_is_refused() -> None:
    assert_refused(Path("/proc/fsat"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_store_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert_refused(tmp_path / "store")


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), OSError("5 requested and 0 written"), None],
    ids=["no room", "no room, as numpy says it", "a file of the store"],
)
def test_error_of_a_step_that_is_the_stores_is_refused(error: OSError | None, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise error or PermissionError(13, "Permission denied", str(folder / "a.txt"))

    assert_refused(tmp_path, fail)
    assert files_below(tmp_path) == []


def test_read_only_disk_is_refused(read_only_disk: Path) -> None:
    assert_refused(read_only_disk)
    assert_refused(read_only_disk / "store")


def test_whole_artefacts_of_a_read_only_store_are_found_and_damaged_ones_refused(small_disk: Path) -> None:
    store = Store(small_disk)
    path = store.build(RECIPE, write_two).path
    damaged = store.build(replace(RECIPE, version=2), write_two)
    flip(damaged.path / "a.txt")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.build(RECIPE, refuse).path == path
    with pytest.raises(StoreError, match="Read-only file system"):
        store.build(replace(RECIPE, version=2), refuse)


def test_full_disk_is_refused_and_nothing_half_written_stays(small_disk: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "small.bin").write_bytes(b"x" * 100_000)
        (folder / "big.bin").write_bytes(b"x" * 2_000_000)

    assert_refused(small_disk, write)
    assert files_below(small_disk) == []
    assert Store(small_disk).build(RECIPE, write_two).built


def test_file_above_the_limit_of_the_process_is_refused_and_nothing_half_written_stays(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from fsat_tasks.errors import StoreError
from fsat_tasks.store import Recipe, Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
def write(folder):
    (folder / "small.bin").write_bytes(b"x" * 5_000)
    (folder / "big.bin").write_bytes(b"x" * 50_000)
try:
    Store(Path(sys.argv[1])).build(Recipe("step", 1, {}, {}), write)
except StoreError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "File too large" in result.stdout
    assert files_below(tmp_path) == []


def test_scratch_is_gone_when_the_work_is_done_and_kept_when_it_failed(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path), RECIPE
    with pytest.raises(KeyboardInterrupt), store.scratch(recipe) as folder:
        folder.mkdir()
        (folder / "half").write_text("done")
        raise KeyboardInterrupt
    with store.scratch(recipe) as again:
        assert (again / "half").read_text() == "done"
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_second_run_of_the_same_work_waits_for_the_first(tmp_path: Path) -> None:
    store, recipe, order = Store(tmp_path), RECIPE, list[str]()

    def second() -> None:
        with store.scratch(recipe):
            order.append("second")

    with store.scratch(recipe):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


# Restoring


def test_copy_of_an_artefact_goes_back_under_its_key_and_is_whole(tmp_path: Path) -> None:
    made = Store(tmp_path / "old").build(RECIPE, write_two)
    copy = made.path.rename(tmp_path / "copy")
    store = Store(tmp_path / "new")
    assert store.restore(copy, made.reference()) is True
    assert store.restore(copy, made.reference()) is False
    found = store.find(made.step, made.key)
    assert found is not None
    assert found.manifest == made.manifest
    (found.path / "a.txt").write_text("damaged")
    assert store.restore(copy, made.reference()) is True


def test_another_artefact_is_neither_restored_nor_replaced(tmp_path: Path) -> None:
    made = Store(tmp_path / "old").build(RECIPE, write_two)
    other = made.reference() | {"digest": "f" * 64}
    with pytest.raises(StoreError, match=r"expected the artefact with the digest f+, got another one. Move that folder away"):
        Store(tmp_path / "old").restore(made.path, other)
    assert Store(tmp_path / "old").find(made.step, made.key) == made
    (made.path / "a.txt").write_text("damaged")
    with pytest.raises(StoreError, match=r"expected the artefact .* got the copy .*, which is another"):
        Store(tmp_path / "new").restore(made.path, made.reference())
    assert Store(tmp_path / "new").find(made.step, made.key) is None


def test_hash_of_a_large_file_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "SETTLED_NS", -(10**12))
    store, path, content = Store(tmp_path), tmp_path / "large", bytes(files_module.REMEMBERED_BYTES)
    path.write_bytes(content)
    first = store.sha256(path)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        assert store.sha256(path) == first
    path.write_bytes(b"x" + content[1:])
    os.utime(path, (1, 1))
    assert store.sha256(path) == hashlib.sha256(b"x" + content[1:]).hexdigest()
