"""A task is a folder with a task.yaml; this module reads it into frozen models."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace, confine

__all__ = [
    "ApplySpec",
    "Device",
    "EncoderSpec",
    "GateSpec",
    "Task",
    "TaskSpec",
    "TuneSpec",
    "ValidationSpec",
    "WatchSpec",
    "load_task",
]

Device = Literal["auto", "cpu", "cuda"]
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EncoderSpec(_Frozen):
    """The pretrained encoder whose features are used."""

    name: str = "all-MiniLM-L6-v2"
    """A bundled name, `org/model` under FSAT_ENCODERS, or a model in the local Hugging Face cache."""
    max_tokens: int | None = Field(default=None, ge=8, le=8192)
    """Longer texts are cut; by default what the encoder's own config says."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Of the matrix products on a CPU; `int8` is used only where the samples' labels stay as they are."""


class ValidationSpec(_Frozen):
    """Bounds of the data checks."""

    min_shots: int = Field(default=2, ge=1)
    """Fewest labelled samples a class may have."""
    max_characters: int = Field(default=20_000, ge=1)
    """A longer cell is taken for a mistake."""
    many_rows: int = Field(default=50_000, ge=1)
    """More labelled rows than this are a warning: fsat is for small sample sets."""
    near_duplicate: float = Field(default=0.9, gt=0, le=1)
    """Cosine of character trigrams from which two texts are called near duplicates."""


class TuneSpec(_Frozen):
    """How far up the ladder a run may go."""

    body: Literal["full", "lora", "oft", "off"] = "full"
    """How the encoder's body is tuned: wholly, by low-rank or orthogonal adapters that are merged, or not at all."""
    budget_seconds: float = Field(default=240.0, ge=0, allow_inf_nan=False)
    """Planned time of body tuning, at most; it is left out where it would take longer."""
    pool_rows: int = Field(default=10_000, ge=1)
    """Unlabelled rows that are encoded, drawn by the seed; as many as the ladder looks at."""
    class_weight: Literal["balanced"] | None = None
    """`balanced`: every class counts alike, however many samples it has."""
    coverage: float = Field(default=0.95, gt=0, lt=1)
    """Share of the task's own texts that should pass as in scope."""


class GateSpec(_Frozen):
    """What a model must reach to be promoted. Shares are in 0..1."""

    min_accuracy: float = Field(default=0.7, ge=0, le=1)
    min_macro_f1: float = Field(default=0.6, ge=0, le=1)
    min_class_recall: float = Field(default=0.2, ge=0, le=1)
    max_ece: float = Field(default=0.1, ge=0, le=1)
    """Calibration error beyond what a perfectly calibrated model shows by chance on as many rows."""
    max_warnings: int = Field(default=100, ge=0)
    """Findings of the data checks; those that are errors stop the run before."""
    significance: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance that a model which is no better than the champion replaces it, at most."""
    min_gain: float = Field(default=0.0, ge=0, le=1)
    """Accuracy by which it must be better besides."""
    min_oos_auroc: float = Field(default=0.6, ge=0, le=1)
    """Where there are out-of-scope rows."""
    min_coverage: float = Field(default=0.75, ge=0, le=1)
    """Share of the task's own rows that must pass as in scope."""
    max_drop: float = Field(default=0.15, ge=0, le=1)
    """Accuracy that case, typos, punctuation or blanks may cost, as far as the interval is sure of it."""
    min_slice_accuracy: float = Field(default=0.4, ge=0, le=1)
    """Of each slice, as far as its interval is sure of it."""
    max_parity_error: float = Field(default=1e-4, gt=0, le=1)
    """Largest difference of a probability between the ONNX graph and torch."""
    max_variant_error: float = Field(default=0.05, gt=0, le=1)
    """The same for a smaller variant of the graph (fp16, int8), which is not served beyond it."""
    min_variant_agreement: float = Field(default=0.99, ge=0, le=1)
    """Share of rows on which a smaller variant must give the same label."""
    max_latency_ms: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    """95 % of single texts must be answered within it."""
    min_rows_per_second: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    max_megabytes: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    """Of the served graph."""


class ApplySpec(_Frozen):
    """How new files are labelled."""

    files: str | None = None
    """A file, a folder or a pattern such as `../incoming/*.csv`, from the task's folder on and within the data root."""
    min_probability: float = Field(default=0.5, ge=0, le=1)
    """Below it the model abstains. At 0.5 a label that is given is more likely right than wrong."""


class WatchSpec(_Frozen):
    """What `fsat watch` compares with the rows that the champion was tuned with."""

    traffic: str | None = None
    """A file of texts as they come in, the newest last, or a folder or glob of such files, of which the newest counts."""
    window: int = Field(default=500, ge=2, le=5000)
    """The newest rows, at most so many."""
    significance: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance that a window in which nothing has changed is called drift, at most."""


class Schedules(_Frozen):
    """When Airflow starts a DAG for the task by itself: a cron line such as `0 3 * * *`, or `@daily`."""

    tune: str | None = None
    watch: str | None = None
    apply: str | None = None

    @field_validator("tune", "watch", "apply")
    @classmethod
    def _comes_some_time(cls, line: str | None) -> str | None:
        """What Airflow would refuse is refused here, for it would refuse all tasks' schedules with it."""
        from croniter import croniter

        if line is None or line in PRESETS:
            return line
        # strict: and not the 30th of February; R is croniter's word for a random time, which is another one at every look
        if len(line.split()) != 5 or re.search(r"(^|[\s,])[rR]", line) or not croniter.is_valid(line, strict=True):
            raise ValueError("a cron line (minute, hour, day, month, weekday), or @daily and the like")
        return line


class Triggers(_Frozen):
    """Names of Airflow assets; an event of any of them starts the DAG for the task."""

    tune: list[str] = Field(default_factory=list)
    watch: list[str] = Field(default_factory=list)
    apply: list[str] = Field(default_factory=list)


class TaskSpec(_Frozen):
    """task.yaml. File names are relative to the task's folder."""

    description: str = ""
    samples: str
    query: str | None = None
    unlabelled: str | None = None
    out_of_scope: str | None = None
    text: str = "text"
    """Name of the text column in every file."""
    label: str = "label"
    """Name of the label column in `samples` and `query`."""
    slices: list[str] = Field(default_factory=list)
    """Columns of the query file; figures are given, and a gate asked, for each value of each."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Label -> what it means, in words; the prior of each class. By default the label's own words."""
    encoder: EncoderSpec = EncoderSpec()
    validation: ValidationSpec = ValidationSpec()
    tune: TuneSpec = TuneSpec()
    gates: GateSpec = GateSpec()
    apply: ApplySpec = ApplySpec()
    shots: int | None = Field(default=None, ge=1)
    """Labelled samples to use of each class; by default all."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    device: Device = "auto"
    approval: bool = False
    """Whether a person has to say yes before the champion moves."""
    approval_hours: float = Field(default=24.0, gt=0, le=24 * 365)
    """How long Airflow waits for the answer; silence is a no."""
    watch: WatchSpec = WatchSpec()
    schedules: Schedules = Schedules()
    triggers: Triggers = Triggers()

    @field_validator("classes", mode="before")
    @classmethod
    def _numbers_are_labels(cls, classes: object) -> object:
        """YAML reads a label 0 as a number; in the data it is text."""
        if not isinstance(classes, dict):
            return classes
        return {str(label) if isinstance(label, int) else label: name for label, name in classes.items()}

    @field_validator("samples", "query", "unlabelled", "out_of_scope")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and Path(name).suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError("a .csv, .jsonl or .parquet file")
        return name


@dataclass(frozen=True)
class Task:
    """A task's folder and its specification, with the run's overrides applied."""

    name: str
    folder: Path
    spec: TaskSpec
    dry_run: bool = False
    """Do all but the change of the champion."""
    approved: bool = False
    """A person has said yes to whatever this run decides."""

    def file(self, field: str) -> Path | None:
        """The path of one of the task's files, or None where the task has none."""
        name = getattr(self.spec, field)
        # a pool may be shared by all the tasks of the data root
        root = self.folder.parent if field == "unlabelled" else self.folder
        return None if name is None else confine(root, name, f"{self.folder / TASK_FILE}: {field}", self.folder)


def load_task(name: str, overrides: Mapping[str, Any] | None = None, dry_run: bool = False, approved: bool = False) -> Task:
    """Read a task by name.

    Args:
        name: a folder of the data root.
        overrides: values of `shots`, `encoder`, `seed`, `device`, `approval`, `unlabelled`, `text` for this run; None keeps the
            task's.

    Raises:
        TaskError: naming the file, the key, what was expected and what came.
    """
    folder = Workspace.from_env().task_folder(name)
    path = folder / TASK_FILE
    values = _parse(path)
    for key, value in (overrides or {}).items():
        if value is None:
            continue
        if key != "encoder":
            values[key] = value
        elif isinstance(values.setdefault("encoder", {}), dict):  # else the model says what is wrong with it
            values["encoder"] = {**values["encoder"], "name": value}
    try:
        spec = TaskSpec.model_validate(values)
    except ValidationError as error:
        raise _explain(path, error) from None
    task = Task(name, folder, spec, dry_run, approved)
    for field in ("samples", "query", "unlabelled", "out_of_scope"):
        file = task.file(field)
        if file is not None and not _is_file(file):
            here = ", ".join(sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != TASK_FILE))
            raise TaskError(
                f"{path}: {field}",
                f"a file in {folder}",
                f"{getattr(spec, field)!r}, which is not there",
                f"Files there: {here or 'none'}.",
            )
    return task


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _parse(path: Path) -> dict[str, Any]:
    # YAML 1.2: a label `no` or `on` stays text, and a key given twice is an error
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise TaskError(f"{path}, line {line}", "valid YAML", str(error.problem).split("\n")[0]) from None
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(str(path), "valid YAML in UTF-8", str(error).split("\n")[0]) from None
    if not isinstance(values, dict):
        raise TaskError(str(path), "keys and values, at least `samples: FILE`", type(values).__name__)
    return values


def _explain(path: Path, error: ValidationError) -> TaskError:
    """The first problem in full; the number of the others."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"])
    more = f"{len(others)} more problem(s) in this file." if others else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"Did you mean {close[0]!r}? {more}" if close else more
        return TaskError(f"{path}: {key}", f"one of the keys {', '.join(known)}", "an unknown key", hint.strip())
    if first["type"] == "missing":
        return TaskError(f"{path}: {key}", "this key", "nothing", more)
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return TaskError(f"{path}: {key}", expected, repr(first["input"]), more)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = TaskSpec
    for part in location:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
