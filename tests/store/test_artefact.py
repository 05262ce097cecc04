"""A recipe's key covers all inputs and settings, and the manifest says from what an artefact was made."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, NumericClass
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store import manifest as manifest_module
from small_artefacts import RECIPE, write_two

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
    parents = {"before": Artefact(Path("/x"), {"step": "s", "key": "k", "digest": "d", "parents": {}})}
    turned = replace(recipe, parents=parents, config=dict(reversed(list(recipe.config.items()))))
    assert turned.key == recipe.key


def test_key_is_the_same_in_every_process_and_version() -> None:
    assert RECIPE.key == "b28ac6697d40cbc31eea9ac378ac5084f754f141c95370cf53f221353cbc6611"


# Digests

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


# Manifests


def test_manifest_names_the_caller(tmp_path: Path) -> None:
    assert Store(tmp_path, "airflow").build(RECIPE, write_two).manifest["caller"] == "airflow"


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
    monkeypatch.setitem(manifest_module.DISTRIBUTIONS, "absent", ("absent-distribution",))
    versions = Store(tmp_path).build(RECIPE, write_two).manifest["versions"]
    assert {name: versions.get(name) for name in modules.values()} == {
        name: version(name) if name != "absent" else None for name in modules.values()
    }
    assert not {"torch", "absent-distribution"} & set(versions)
