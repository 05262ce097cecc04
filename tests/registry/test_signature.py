"""Signed registries: with a key, only models that it signed are served. Without a key nothing changes."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import canonical_json, write_json
from fsat_tasks.store.lease import gate

TASK = "task"
Cli = Callable[..., tuple[int, str, str]]
Move = Callable[[], Any]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key file; FSAT_SIGNING_KEY names it."""
    path = tmp_path / "key"
    write_key(path, secrets.token_hex(32).encode())
    monkeypatch.setenv("FSAT_SIGNING_KEY", str(path))
    return path


def write_key(path: Path, secret: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(secret)


def record(root: Path, number: int, task: str = TASK, promote: bool = True) -> Artefact:
    def write(folder: Path) -> None:
        write_json(folder / "decision.json", {"promote": promote, "metrics": {"accuracy": number / 7, "text": "größer"}})

    model, decision = (Store(root).build(Recipe(step, 1, {"number": number}, {}), write) for step in ("export", "publish"))
    Registry(root, task).record(model, decision, Registry(root, task).version())
    return model


def pointer(root: Path, task: str = TASK) -> Path:
    return root / "registry" / task / "champion.json"


def alter(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    entry = json.loads(path.read_text())
    change(entry)
    path.write_text(json.dumps(entry))


def test_without_a_key_nothing_is_signed_and_signatures_are_not_looked_at(store_root: Path) -> None:
    model = record(store_root, 1)
    assert "signature" not in Registry(store_root, TASK).history()[0]
    alter(pointer(store_root), lambda entry: entry.update(signature="0" * 64))
    assert champion_model(TASK) == model


def test_every_entry_and_the_pointer_are_signed_by_hmac_of_all_fields_and_the_task(store_root: Path, key: Path) -> None:
    first = record(store_root, 1)
    record(store_root, 2, promote=False)
    record(store_root, 3)
    registry = Registry(store_root, TASK)
    registry.rollback(expected=2, reason="größer [x]")
    registry.promote("2", expected=1)
    registry.rollback(expected=2)
    assert champion_model(TASK) == first
    entries = [*registry.history(), json.loads(pointer(store_root).read_text())]
    assert len(entries) == 7
    for entry in entries:
        rest = {name: value for name, value in entry.items() if name != "signature"}
        message = canonical_json({"task": TASK, "entry": rest}).encode()
        assert entry["signature"] == hmac.new(key.read_bytes(), message, hashlib.sha256).hexdigest()


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no signature": lambda entry: entry.pop("signature"),
    "an empty signature": lambda entry: entry.update(signature=""),
    "a signature that is no ASCII": lambda entry: entry.update(signature="ü\ud800"),
    "another version": lambda entry: entry.update(version=2),
    "a version that is true": lambda entry: entry.update(version=True),
    "another key of the model": lambda entry: entry["model"].update(key="f" * 64),
    "another digest": lambda entry: entry["model"].update(digest="f" * 64),
    "other figures": lambda entry: entry["metrics"].update(accuracy=1.0),
    "a figure that is none": lambda entry: entry["metrics"].update(accuracy=float("nan")),
    "half a letter": lambda entry: entry["metrics"].update(text="\ud800"),
    "a field more": lambda entry: entry.update(user="somebody"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_altered_or_unsigned_pointer_answers_nothing(
    change: Callable[[dict[str, Any]], object], store_root: Path, key: Path, cli: Cli
) -> None:
    record(store_root, 1)
    alter(pointer(store_root), change)
    code, out, err = cli("predict", TASK, "a text")
    assert (code, out, err.count("\n")) == (2, "", 1)
    signature = "champion of task 'task': expected a signature by the key that FSAT_SIGNING_KEY names, got "
    pointer_refused = f"{pointer(store_root)}: expected "  # an entry, or one that has a line in the history
    assert err.startswith((f"fsat: {signature}", f"fsat: {pointer_refused}"))
    assert key.read_text() not in err


def seal(path: Path, **fields: object) -> None:
    """Change fields of a manifest as somebody does who knows how fsat checks them."""
    manifest = {**json.loads(path.read_text()), **fields}
    rest = {name: value for name, value in manifest.items() if name != "seal"}
    path.write_text(json.dumps({**rest, "seal": hashlib.sha256(canonical_json(rest).encode()).hexdigest()}))


def test_altered_model_answers_nothing_also_with_a_manifest_that_fits(store_root: Path, key: Path) -> None:
    model = record(store_root, 1)
    other = record(store_root, 2, task="other")
    (model.path / "decision.json").write_bytes((other.path / "decision.json").read_bytes())
    seal(model.path / "manifest.json", files=other.manifest["files"], digest=other.digest)
    assert Store(store_root).find("export", model.key) is not None
    with pytest.raises(RegistryError, match="expected the files that were published"):
        champion_model(TASK)


def test_model_that_names_other_parents_answers_nothing(store_root: Path, key: Path) -> None:
    model = record(store_root, 1)
    seal(model.path / "manifest.json", parents={"evaluate": record(store_root, 2, task="other").reference()})
    assert Store(store_root).find("export", model.key) is not None
    with pytest.raises(RegistryError, match="expected the files that were published"):
        champion_model(TASK)


def test_pointer_of_another_task_or_key_answers_nothing(
    store_root: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store_root, 1)
    record(store_root, 2, task="other")
    for path in pointer(store_root).parent.glob("*.json*"):
        (pointer(store_root, "other").parent / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RegistryError, match="champion of task 'other': expected a signature"):
        champion_model("other")
    champion_model(TASK)
    write_key(tmp_path / "key2", secrets.token_bytes(32))
    monkeypatch.setenv("FSAT_SIGNING_KEY", str(tmp_path / "key2"))
    with pytest.raises(RegistryError, match="got one that does not match: the entry was altered, or another key signed it"):
        champion_model(TASK)


def test_signature_of_a_held_model_does_not_make_it_a_champion(store_root: Path, key: Path) -> None:
    record(store_root, 1)
    record(store_root, 2, promote=False)
    held = Registry(store_root, TASK).history()[1]
    history = pointer(store_root).with_name("history.jsonl")
    line = {**held, "action": "promote", "version": 2, "before": hashlib.sha256(history.read_bytes()).hexdigest()}
    history.write_text(history.read_text() + json.dumps(line) + "\n")
    pointer(store_root).write_text(json.dumps(line))
    with pytest.raises(RegistryError, match="expected a signature"):
        champion_model(TASK)


def test_key_is_written_and_logged_nowhere(store_root: Path, key: Path, cli: Cli, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        record(store_root, 1)
        record(store_root, 2)
        said = [*cli("rollback", TASK)[1:], *cli("history", TASK)[1:], *cli("history", TASK, "--json")[1:]]
    assert key.read_text() not in caplog.text + "".join(said)
    assert not [path for path in store_root.rglob("*") if path.is_file() and key.read_bytes() in path.read_bytes()]


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (Path.unlink, "No such file"),
        (lambda path: path.write_bytes(b"x" * 31), "expected at least 32 bytes of secret, got 31"),
        (as_folder, "key': a folder"),
        (as_pipe, "key': no regular file"),
        (lambda path: path.chmod(0o604), "expected a file that not every user can read, got permissions 604"),
        (lambda path: path.chmod(0o602), "Call: chmod 600 "),
    ],
)
def test_key_that_cannot_be_used_is_said_and_nothing_is_written(
    spoil: Callable[[Path], object], got: str, store_root: Path, key: Path, make_task: Callable[..., str], cli: Cli
) -> None:
    record(store_root, 1)
    record(store_root, 2)
    spoil(key)
    with gate(store_root):  # whose file is there once anybody has looked into the store
        pass
    before = {path: path.read_bytes() for path in store_root.rglob("*") if path.is_file()}
    task = make_task([("a", "b")])
    for arguments in (("predict", TASK, "x"), ("rollback", TASK), ("promote", TASK, "1"), ("run", task)):
        code, out, err = cli(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert got in err
        assert "xxxx" not in err
    assert {path: path.read_bytes() for path in store_root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("link", ["none", "to a file in the store", "in the store to a file outside"])
def test_key_that_writers_of_the_store_could_replace_is_refused(
    link: str, store_root: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = store_root / "secrets" / "key"
    inside.parent.mkdir(parents=True)
    if link == "in the store to a file outside":
        inside.symlink_to(key)
    else:
        key.rename(inside)
    if link == "to a file in the store":
        key.symlink_to(inside)
    else:
        monkeypatch.setenv("FSAT_SIGNING_KEY", str(inside))
    with pytest.raises(RegistryError, match=r"expected a file outside of the store, got one in it\. Whoever writes to the store"):
        record(store_root, 1)


def test_key_may_be_shared_with_a_group_or_be_somebody_elses(
    store_root: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key.chmod(0o640)
    record(store_root, 1)
    key.chmod(0o644)
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(key, 12345, -1)  # as a secret that a container is given
    champion_model(TASK)


def test_empty_variable_is_no_key_and_not_no_signing(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store_root, 1)
    monkeypatch.setenv("FSAT_SIGNING_KEY", "")
    with pytest.raises(RegistryError, match="FSAT_SIGNING_KEY: expected the name of a file with a secret"):
        champion_model(TASK)


@pytest.fixture
def unsigned(store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry of three versions from before there was a key; now there is one."""
    for number in (1, 2, 3):
        record(store_root, number)
    write_key(tmp_path / "key", secrets.token_bytes(32))
    monkeypatch.setenv("FSAT_SIGNING_KEY", str(tmp_path / "key"))
    return Registry(store_root, TASK)


def test_run_that_makes_the_champion_again_signs_it(unsigned: Registry, store_root: Path) -> None:
    with pytest.raises(RegistryError, match=r"got none\. fsat run task signs what it makes"):
        champion_model(TASK)
    before = unsigned.history()
    model = record(store_root, 3)
    assert champion_model(TASK) == model
    assert unsigned.history() == before


def test_move_to_an_unsigned_or_altered_entry_needs_trust(unsigned: Registry, store_root: Path, cli: Cli) -> None:
    before = pointer(store_root).read_bytes()
    moves: list[Move] = [lambda: unsigned.rollback(expected=3), lambda: unsigned.promote("2", expected=3)]
    for move in moves:
        with pytest.raises(RegistryError, match=r"got none\. If you trust it: fsat promote task 2 --trust"):
            move()
    assert pointer(store_root).read_bytes() == before
    assert cli("promote", TASK, "3", "--trust")[0] == 0  # the champion itself
    assert champion_model(TASK) == record(store_root, 3)
    assert cli("promote", TASK, "1", "--trust")[0] == 0
    assert champion_model(TASK) == record(store_root, 1)
    assert unsigned.rollback(expected=1)["version"] == 3  # signed now
    path = store_root / "registry" / TASK / "history.jsonl"
    path.write_text(path.read_text().replace('"reason":""', '"reason":"x"'))
    with pytest.raises(RegistryError, match="A line was lost or altered"):
        unsigned.promote("1", expected=3)


def test_history_says_what_is_signed(unsigned: Registry, cli: Cli) -> None:
    unsigned.promote("2", expected=3, trust=True)
    out = cli("history", TASK)[1]
    assert [line.strip("│ ").split("│")[-1].strip() for line in out.splitlines() if line.startswith("│")] == ["no"] * 3 + ["yes"]


def test_signed_demo_is_run_and_predicted_from(demo_copy: Path, key: Path, cli: Cli) -> None:
    task = "support-intents"
    assert cli("predict", task, "my card has not arrived")[0] == 2
    assert cli("run", task)[0] == 0
    code, out, _ = cli("predict", task, "my card has not arrived")
    assert (code, json.loads(out)["label"]) == (0, "card_not_arrived")
