"""Specification of a task: a folder's task.yaml, read into frozen pydantic models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from fsat_tasks.inputs.formats import TABLES, file_format, one_of
from fsat_tasks.inputs.modalities import MODALITIES
from fsat_tasks.tasks.value_types import LARGEST_COUNT, AssetName, Count, CronLine

__all__ = ["ApplySpec", "Device", "EncoderSpec", "GateSpec", "TaskSpec", "TuneSpec", "ValidationSpec", "WatchSpec"]

Device = Literal["auto", "cpu", "cuda"]


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

    min_shots: Count = 2
    """Minimum number of labelled samples per class."""
    max_characters: Count = 20_000
    """Maximum length of a cell. A longer one is treated as an error in the file."""
    many_rows: Count = 50_000
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
    limit_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Limit by the clock. A rung that is still being fine-tuned then is stopped and left out. The model then depends on the speed
    of the machine. By default, there is no limit."""
    pool_rows: Count = 10_000
    """Maximum number of unlabelled rows to encode, drawn by the seed. Tuning uses at most 10,000, even if more are encoded."""
    class_weight: Literal["balanced"] | None = None
    """`balanced` gives all classes the same weight, however many samples they have."""
    coverage: float = Field(default=0.95, gt=0, lt=1)
    """Share of in-scope texts whose scope score should reach the threshold."""


class GateSpec(_Frozen):
    """Bounds that a model must meet to be promoted. Shares are in 0..1."""

    min_accuracy: float = Field(default=0.7, ge=0, le=1)
    min_micro_f1: float = Field(default=0.6, ge=0, le=1)
    """Minimum F1 over all labels of all rows together, for several labels."""
    min_macro_f1: float = Field(default=0.6, ge=0, le=1)
    min_class_recall: float = Field(default=0.2, ge=0, le=1)
    """Minimum recall of the weakest class."""
    max_ece: float = Field(default=0.1, ge=0, le=1)
    """Maximum calibration error beyond the error that a perfectly calibrated model shows by chance on as many rows."""
    max_error_ratio: float = Field(default=0.9, gt=0, allow_inf_nan=False)
    """Maximum mean error of grades or numbers, as a share of the error of always giving the same answer."""
    max_warnings: int = Field(default=100, ge=0, le=LARGEST_COUNT)
    """Maximum number of warnings from the data checks. Errors from the checks stop the run earlier."""
    significance: float = Field(default=0.05, gt=0, lt=0.5)
    """Maximum probability that a model which is no better than the champion replaces it."""
    replace_if: Literal["better", "surer", "no_worse"] = "better"
    """Rule by which a model replaces the champion: `better` if it has more right answers, beyond chance; `surer` if it gives the
    right answers a higher probability, beyond chance, and has no fewer right answers beyond chance; `no_worse` if the samples
    have changed and it has surely not lost `margin` of the accuracy. Without changed samples, `no_worse` is `better`."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """Loss of accuracy that `replace_if: no_worse` must rule out."""
    min_gain: float = Field(default=0.0, ge=0, le=1)
    """Minimum gain in accuracy over the champion, in addition to the rule."""
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

    tune: CronLine | None = None
    watch: CronLine | None = None
    apply: CronLine | None = None


class Triggers(_Frozen):
    """Names of Airflow assets. An event of any of them starts the DAG for the task."""

    tune: list[AssetName] = Field(default_factory=list)
    watch: list[AssetName] = Field(default_factory=list)
    apply: list[AssetName] = Field(default_factory=list)


class TaskSpec(_Frozen):
    """Content of task.yaml. File names are relative to the task's folder."""

    description: str = ""
    samples: str
    query: str | None = None
    unlabelled: str | None = None
    out_of_scope: str | None = None
    inputs: str = "text"
    """Kind of rows: the name of a modality."""
    text: str = "text"
    """Name of the text column in every file."""
    label: str = "label"
    """Name of the label column in `samples` and `query`."""
    target: Literal["one_label", "several_labels", "grade", "number"] = "one_label"
    """Kind of label: one of several classes, any number of them, a grade such as one to five stars, or a number."""
    separator: str = Field(default="|", min_length=1, max_length=1)
    """Character between the labels of a cell, for `target: several_labels`. JSON lines and Parquet may have lists instead."""
    tolerance: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Maximum error of a number that counts as right, for `target: number`; by default half the samples' standard deviation."""
    slices: list[str] = Field(default_factory=list)
    """Columns of the query file. Each value of each column is a slice with its own figures. One gate checks the weakest slice."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Label -> its meaning in words, by default the label itself. The meaning counts as a few samples of the class."""
    encoder: EncoderSpec = EncoderSpec()
    validation: ValidationSpec = ValidationSpec()
    tune: TuneSpec = TuneSpec()
    gates: GateSpec = GateSpec()
    apply: ApplySpec = ApplySpec()
    shots: Count | None = None
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

    @field_validator("inputs")
    @classmethod
    def _known_modality(cls, name: str) -> str:
        if name not in MODALITIES:
            raise ValueError(f"one of {', '.join(sorted(MODALITIES))}")
        return name

    @field_validator("classes", "tune", "tolerance")
    @classmethod
    def _belongs_to_the_target(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject an option that has no meaning for the target, so that nobody believes that it has an effect."""
        target = info.data.get("target")
        if info.field_name == "classes" and value and target == "number":
            raise ValueError("no classes with `target: number`")
        if info.field_name == "tolerance" and value is not None and target != "number":
            raise ValueError("no tolerance without `target: number`")
        if isinstance(value, TuneSpec) and value.class_weight is not None and target != "one_label":
            raise ValueError(f"no tune.class_weight with `target: {target}`")
        return value

    @field_validator("samples", "query", "unlabelled", "out_of_scope")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and file_format(Path(name)) not in TABLES:
            raise ValueError(one_of(TABLES))
        return name
