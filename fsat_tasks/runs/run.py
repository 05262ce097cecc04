"""A run: one task, the artefacts that its steps have made so far, and the objects opened from these artefacts."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fsat_tasks.data.pool import Pool
from fsat_tasks.data.tables import Tables
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import DeviceError
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.head import Head, load_head
from fsat_tasks.models.settings import read_settings
from fsat_tasks.runtime.device import onnx_device, pick_device
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CUDA_CLASSES, NumericClass, encoding_class
from fsat_tasks.runtime.progress import show_progress
from fsat_tasks.store import Artefact, Store
from fsat_tasks.targets.registered import find_target
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.encoders.row_cache import RowCache
    from fsat_tasks.numerics.heads.answers import Answers

__all__ = ["Run"]


class Run:
    """A task, the store, and the artefacts that the run has so far. Each object is opened from them only once.

    Args:
        artefacts: step -> artefact. Each step adds the artefact that it makes.
        kept: cache of objects that stay open for the next task of this process; by default a new cache.
    """

    def __init__(
        self, task: Task, store: Store, artefacts: Mapping[str, Artefact] | None = None, kept: Kept | None = None
    ) -> None:
        self.task = task
        self.store = store
        self.artefacts = dict(artefacts or {})
        self.kept = kept or Kept()
        self._caches: dict[NumericClass, RowCache] = {}
        self._tuned_encoders: dict[Device, Encoder] = {}

    # The artefacts of the steps. Before a step has run, its property raises KeyError.

    @property
    def validated(self) -> Artefact:
        """Artefact of `validate`: the task's rows."""
        return self.artefacts["validate"]

    @property
    def extracted(self) -> Artefact:
        """Artefact of `extract`: shape and checksum of the rows' features. The features themselves are in the row cache."""
        return self.artefacts["extract"]

    @property
    def tuned(self) -> Artefact:
        """Artefact of `tune`: the head, and the fine-tuned encoder if there is one."""
        return self.artefacts["tune"]

    @property
    def evaluated(self) -> Artefact:
        """Artefact of `evaluate`: figures and gates."""
        return self.artefacts["evaluate"]

    @property
    def exported(self) -> Artefact:
        """Artefact of `export`: the model."""
        return self.artefacts["export"]

    # Objects that are opened from the artefacts.

    @cached_property
    def source(self) -> EncoderSource:
        """Source of the pretrained encoder. Raises EncoderError if it is not on this machine."""
        encoder = self.task.spec.encoder
        return find_encoder(encoder.name, encoder.max_tokens, self.store.sha256, self.task.spec.inputs)

    @cached_property
    def target(self) -> Target:
        """Kind of answer. A model keeps the target that it was made with, even if task.yaml has changed since."""
        made = self.artefacts.get("export")
        return find_target(self.task.spec) if made is None else read_settings(made.path).target

    def answers(self, labels: Sequence[str]) -> Answers:
        """Return labels in the form that heads learn from."""
        return self.target.answers(labels, self.tables.classes.labels)

    @cached_property
    def tables(self) -> Tables:
        """The rows of the labelled and out-of-scope files, which fit into memory."""
        return Tables(self.validated)

    @cached_property
    def pool(self) -> Pool:
        """The unlabelled rows."""
        return Pool(self.validated, self.store)

    @cached_property
    def encoder(self) -> Artefact:
        """The exported encoder that computed the features of `extract`."""
        return self.store.require(self.extracted.parent("encoder"), "the encoder that the features are from")

    @cached_property
    def head(self) -> Head:
        """The tuned head."""
        return load_head(self.tuned)

    @property
    def has_tuned_encoder(self) -> bool:
        """True if the head reads features of a fine-tuned encoder."""
        return "encoder.onnx" in self.tuned.manifest["files"]

    @property
    def head_encoder(self) -> Artefact:
        """The exported encoder whose features the head reads: the fine-tuned or the pretrained one."""
        return self.tuned if self.has_tuned_encoder else self.encoder

    # Features, (n, layers, dim) float32.

    def head_features(self, inputs: Sequence[Input], device: Device) -> NDArray[np.float32]:
        """Return the features that the head reads.

        Args:
            device: device for a fine-tuned encoder. It has no effect on a pretrained encoder, which runs as in `features`.
        """
        if not self.has_tuned_encoder:
            return self.features(inputs)
        if device not in self._tuned_encoders:
            self._tuned_encoders[device] = Encoder(self.tuned, onnx_device(device))
        with show_progress("encode", len(inputs)) as report:
            return self._tuned_encoders[device].encode(list(inputs), "all", report)

    def features(self, inputs: Sequence[Input], numeric_class: NumericClass | None = None) -> NDArray[np.float32]:
        """Return features by the pretrained encoder. Rows that the row cache lacks are encoded and cached.

        Args:
            numeric_class: numeric class of the features; by default that of `extract`.

        Raises:
            DeviceError: if a row has to be encoded, but this machine cannot compute in that class.
        """
        with show_progress("encode", len(inputs)) as report:
            found: NDArray[np.float32] = self._cache(numeric_class).features(inputs, report).astype("float32")
        return found

    def anchors(self, numeric_class: NumericClass | None = None) -> NDArray[np.float32]:
        """Return features (classes, layers, dim) of the class anchors by the pretrained encoder; see `anchors_by`."""
        return self.anchors_by(self.encoder, self._cache(numeric_class))

    def anchors_by(self, encoder: Artefact, cache: RowCache) -> NDArray[np.float32]:
        """Return features (classes, layers, dim) of the class anchors by an encoder; zeros, if no row stands for a class."""
        import numpy as np

        rows = self.anchor_rows(encoder)
        return cache.features(rows).astype(np.float32) if rows else np.zeros((len(self.tables.classes), *cache.shape), np.float32)

    def anchor_rows(self, encoder: Artefact) -> list[Input]:
        """Return the rows that stand for the classes; none, if the modality has no such rows or the encoder cannot read them."""
        classes = self.tables.classes
        reads_words = encoder.json("encoder.json").get("reads_words", True)
        return classes.inputs if reads_words and len(classes.inputs) == len(classes) else []

    def _cache(self, numeric_class: NumericClass | None) -> RowCache:
        """Return the row cache of the pretrained encoder."""
        numeric_class = numeric_class or NumericClass.parse(self.extracted.manifest["numeric_class"])
        if numeric_class not in self._caches:
            self._caches[numeric_class] = self.open_cache(self.encoder, numeric_class)
        return self._caches[numeric_class]

    def encoding_class(self, device: Device) -> NumericClass:
        """Return the numeric class for rows that are encoded after `extract`.

        It is a GPU's class only if `extract` ran on a GPU.
        """
        on_gpu = device == "cuda" and NumericClass.parse(self.extracted.manifest["numeric_class"]) in CUDA_CLASSES
        return encoding_class("cuda" if on_gpu else "cpu", self.encoder.json("encoder.json")["precision"])

    def open_cache(self, encoder: Artefact, numeric_class: NumericClass) -> RowCache:
        """Open the row cache of an exported encoder."""
        from fsat_tasks.encoders.row_cache import RowCache

        run = weakref.proxy(self)  # a reference cycle would keep the run alive until a garbage collection
        return RowCache(self.store, encoder, numeric_class, lambda: run.open_encoder(encoder, numeric_class))

    def open_encoder(self, encoder: Artefact, numeric_class: NumericClass) -> Encoder:
        """Open an exported encoder.

        Raises:
            DeviceError: if this machine cannot compute in `numeric_class`. Rows of two classes are never mixed.
        """
        device = pick_device(self.task.spec.device) if numeric_class.device == "cuda" else "cpu"
        here = encoding_class(device, encoder.json("encoder.json")["precision"])
        if here != numeric_class:
            fix = "Run where there is such a GPU, or with device: cpu."
            raise DeviceError("device", f"{numeric_class}, in which the task's earlier rows were encoded", str(here), fix)
        return Encoder(encoder, device, self.source)
