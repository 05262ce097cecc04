"""A store that cannot be written is refused, and nothing half-written stays in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.store import Store
from small_artefacts import RECIPE, files_below, flip, refuse, write_two


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


def test_copy_that_does_not_fit_is_refused_in_one_sentence_and_no_half_of_it_stays(small_disk: Path, tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        for name in ("a.bin", "b.bin", "c.bin"):
            (folder / name).write_bytes(b"x" * 800_000)

    copy = Store(tmp_path / "other").build(RECIPE, write)
    with pytest.raises(StoreError, match=r"^store [^\[]*, got \[Errno 28\] No space left on device[^\[]*$"):
        Store(small_disk).restore(copy.path, copy.reference())
    assert files_below(small_disk) == []


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
