"""Specification of a task: a folder's task.yaml, read into frozen pydantic models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["ApplySpec", "Device", "EncoderSpec", "GateSpec", "TaskSpec", "TuneSpec", "ValidationSpec", "WatchSpec"]

Device = Literal["auto", "cpu", "cuda"]
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
"""Airflow's names for common schedules."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EncoderSpec(_Frozen):
    """Pretrained encoder that computes the features."""

    name: str = "all-MiniLM-L6-v2"
    """Name of a bundled encoder, `org/model` under FSAT_ENCODERS, or a model in the local Hugging Face cache."""
    max_tokens: int | None = Field(default=None, ge=8, le=8192)
    """Number of tokens after which a text is cut; by default the limit in the encoder's own config."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Precision of matrix products on a CPU. `int8` is used only if it hardly changes labels and accuracy on the samples."""


class ValidationSpec(_Frozen):
    """Bounds for the data checks."""

    min_shots: int = Field(default=2, ge=1)
    """Minimum number of labelled samples per class."""
    max_characters: int = Field(default=20_000, ge=1)
    """Maximum length of a cell. A longer one is treated as an error in the file."""
    many_rows: int = Field(default=50_000, ge=1)
    """Number of labelled samples above which the checks warn: fsat is made for small sample sets."""
    near_duplicate: float = Field(default=0.9, gt=0, le=1)
    """Minimum cosine similarity of character trigrams at which two texts count as near duplicates."""


class TuneSpec(_Frozen):
    """Limits and options of tuning."""

    body: Literal["full", "lora", "oft", "off"] = "full"
    """Form of fine-tuning. `full` trains all weights. `lora` and `oft` train low-rank or orthogonal adapters and then merge them
    into the weights. `off` leaves fine-tuning out."""
    budget_seconds: float = Field(default=240.0, ge=0, allow_inf_nan=False)
    """Time budget for fine-tuning the encoder. Fine-tuning is shortened or left out if it would take longer than this."""
    pool_rows: int = Field(default=10_000, ge=1)
    """Maximum number of unlabelled rows to encode, drawn by the seed. Tuning uses at most 10,000, even if more are encoded."""
    class_weight: Literal["balanced"] | None = None
    """`balanced` gives all classes the same weight, however many samples they have."""
    coverage: float = Field(default=0.95, gt=0, lt=1)
    """Share of in-scope texts whose scope score should reach the threshold."""


class GateSpec(_Frozen):
    """Bounds that a model must meet to be promoted. Shares are in 0..1."""

    min_accuracy: float = Field(default=0.7, ge=0, le=1)
    min_macro_f1: float = Field(default=0.6, ge=0, le=1)
    min_class_recall: float = Field(default=0.2, ge=0, le=1)
    """Minimum recall of the weakest class."""
    max_ece: float = Field(default=0.1, ge=0, le=1)
    """Maximum calibration error beyond the error that a perfectly calibrated model shows by chance on as many rows."""
    max_warnings: int = Field(default=100, ge=0)
    """Maximum number of warnings from the data checks. Errors from the checks stop the run earlier."""
    significance: float = Field(default=0.05, gt=0, lt=0.5)
    """Maximum probability that a model which is no better than the champion replaces it."""
    min_gain: float = Field(default=0.0, ge=0, le=1)
    """Minimum gain in accuracy over the champion, in addition to the test of significance."""
    min_oos_auroc: float = Field(default=0.6, ge=0, le=1)
    """Minimum AUROC of in-scope against out-of-scope rows, for a task with out-of-scope rows."""
    min_coverage: float = Field(default=0.75, ge=0, le=1)
    """Minimum share of in-scope rows that the model accepts as in scope."""
    max_drop: float = Field(default=0.15, ge=0, le=1)
    """Maximum loss of accuracy if case, spelling, punctuation or spaces change. The lower end of the 95 % interval counts."""
    min_slice_accuracy: float = Field(default=0.4, ge=0, le=1)
    """Minimum accuracy of each slice. The upper end of the accuracy's 95 % interval counts."""
    max_parity_error: float = Field(default=1e-4, gt=0, le=1)
    """Maximum difference of a probability between the ONNX graph and torch."""
    max_variant_error: float = Field(default=0.05, gt=0, le=1)
    """Maximum difference of a probability between a smaller variant (fp16, int8) and fp32. A variant beyond it is not served."""
    min_variant_agreement: float = Field(default=0.99, ge=0, le=1)
    """Minimum share of rows on which a smaller variant gives the same label as fp32. A variant below it is not served."""
    max_latency_ms: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    """Maximum 95th percentile of the latency of a single text."""
    min_rows_per_second: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    """Minimum throughput, in batches of 32 texts."""
    max_megabytes: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    """Maximum size of the served graph."""


class ApplySpec(_Frozen):
    """Labelling of new files."""

    files: str | None = None
    """File, folder or glob pattern such as `../incoming/*.csv`, relative to the task's folder and inside the data root."""
    min_probability: float = Field(default=0.5, ge=0, le=1)
    """Probability below which the model abstains. At 0.5, a label that is given is more likely right than wrong."""


class WatchSpec(_Frozen):
    """Drift tests. They compare incoming texts with the rows that the champion was tuned with."""

    traffic: str | None = None
    """File of incoming texts, newest last. For a folder or a glob pattern, the most recently changed file is used."""
    window: int = Field(default=500, ge=2, le=5000)
    """Maximum number of newest rows to test."""
    significance: float = Field(default=0.05, gt=0, lt=0.5)
    """Maximum probability of reporting drift when nothing has changed."""


class Schedules(_Frozen):
    """Times at which Airflow starts a DAG for the task: a cron line in UTC such as `0 3 * * *`, or a preset such as `@daily`."""

    tune: str | None = None
    watch: str | None = None
    apply: str | None = None

    @field_validator("tune", "watch", "apply")
    @classmethod
    def _comes_some_time(cls, line: str | None) -> str | None:
        """Reject invalid cron lines, because Airflow would reject the whole DAG file, with the schedules of all tasks."""
        from croniter import croniter

        if line is None or line in PRESETS:
            return line
        # `strict` rejects dates such as 30 February. R is rejected, because croniter would draw a random time on each use.
        if len(line.split()) != 5 or re.search(r"(^|[\s,])[rR]", line) or not croniter.is_valid(line, strict=True):
            raise ValueError("a cron line (minute, hour, day, month, weekday), or @daily and the like")
        return line


class Triggers(_Frozen):
    """Names of Airflow assets. An event of any of them starts the DAG for the task."""

    tune: list[str] = Field(default_factory=list)
    watch: list[str] = Field(default_factory=list)
    apply: list[str] = Field(default_factory=list)


class TaskSpec(_Frozen):
    """Content of task.yaml. File names are relative to the task's folder."""

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
    """Columns of the query file. Each value of each column is a slice with its own figures. One gate checks the weakest slice."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Label -> its meaning in words, by default the label itself. The meaning counts as a few samples of the class."""
    encoder: EncoderSpec = EncoderSpec()
    validation: ValidationSpec = ValidationSpec()
    tune: TuneSpec = TuneSpec()
    gates: GateSpec = GateSpec()
    apply: ApplySpec = ApplySpec()
    shots: int | None = Field(default=None, ge=1)
    """Number of labelled samples to use per class; by default all."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    device: Device = "auto"
    approval: bool = False
    """True if a person must approve before a new model becomes the champion."""
    approval_hours: float = Field(default=24.0, gt=0, le=24 * 365)
    """Hours that Airflow waits for the approval. No answer means no."""
    watch: WatchSpec = WatchSpec()
    schedules: Schedules = Schedules()
    triggers: Triggers = Triggers()

    @field_validator("classes", mode="before")
    @classmethod
    def _numbers_are_labels(cls, classes: object) -> object:
        """Convert numeric keys to text, because YAML reads a label 0 as a number but the data has it as text."""
        if not isinstance(classes, dict):
            return classes
        return {str(label) if isinstance(label, int) else label: name for label, name in classes.items()}

    @field_validator("samples", "query", "unlabelled", "out_of_scope")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and Path(name).suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError("a .csv, .jsonl or .parquet file")
        return name
