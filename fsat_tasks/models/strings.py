"""Export a model as one ONNX file that takes texts, and verify it against the model that takes token ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.errors import EncoderError, InputError
from fsat_tasks.models.graph_facts import load_graph, set_facts
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.settings import find_graph, read_settings
from fsat_tasks.runtime.numeric_class import CPU_CLASS
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.files import write_json

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["HARD_TEXTS", "MODEL", "StringModel", "export_strings"]

MODEL = "model-strings.onnx"
ROWS, BATCH = 100, 32
"""ROWS: maximum number of texts on which probabilities and scope scores are compared; token ids are compared on all texts.
BATCH: number of texts in a batch."""

HARD_TEXTS = (
    "",
    " ",
    "\t\n \u3000\u2028",
    "MIXED Case tExT",
    "naïve Café, ÀÉÎÕÜ ŐŁŽ Ångström",
    "e\u0301 n\u0303 o\u0308\u0323",
    "Привет МИР, Ёлка и Їжак",
    "ΣΊΣΥΦΟΣ ΚΑΙ Όμηρος",
    "İstanbul ẞ ǅ ﬁ Ⅷ",
    "漢字かな交じり文。𠀀",
    "カード ｶﾞ が",
    "한국어 문장입니다",
    "שָׁלוֹם עולם",
    "مرحبًا بالعالم ١٢٣",
    "हिन्दी में",
    "ภาษาไทย",
    "🙂 x🙂y 👩\u200d👧 🇫🇷 ❤\ufe0f",
    "zero\u200bwidth soft\u00adhyphen \ufeffmark",
    "a\x00b\x01c\x7fd\x85e",
    "\ue000\uf8fe\uf8ff\U000f0000\U0010fffd private",
    "\ufffd\ufffe\u0378\U000e0001",
    "[CLS] [sep] a[MASK]b [UNK]",
    "<s> </s> <mask> ##ing",
    "!?¿—“x”’s $5 €7 © § ¶ `^~|",
    "http://a.b/c?d=e&f#g user@example.com",
    "x" * 100 + " " + "y" * 101,
    "word " * 700,
    "unbelievably " * 300,
    "1234567890,.-+",
    "\\1 \\d (.*) %s {0}",
)
"""Texts that a faulty tokenizer often splits into wrong tokens. They have unusual blanks, accents, scripts, emoji, control
characters or special tokens, or they are very long."""


def export_strings(task: str, store: Store, model: Artefact) -> Artefact:
    """Export a graph that takes texts: the tokenizer as a graph, followed by the graph that the model serves.

    Writes model-strings.onnx and parity.json. The new graph's metadata is that of the model's own graph (see
    `set_facts`), and the `model`'s digest.

    Raises:
        InputError: onnxruntime-extensions is not installed.
        RegistryError: the model's settings or its graph were altered.
        EncoderError: the model's rows are no texts, the tokenizer is not supported, or the new graph's answers differ too
            much from the model's.
    """
    version, settings = _extensions_version(), read_settings(model.path)
    if settings.inputs != "text":
        raise EncoderError(f"model of task {task!r}", "a model of texts", "one of other rows", "Its graph cannot take texts.")
    recipe = Recipe(
        "strings",
        versions.STRINGS,
        {"onnxruntime_extensions": version},
        {"export": model.digest},
        CPU_CLASS,
        parents={"export": model},
    )

    def write(folder: Path) -> dict[str, Any]:
        import onnx

        from fsat_tasks.models.string_graph import join_tokenizer, tokenizer_graph

        front = tokenizer_graph(model.path / "tokenizer.json")
        texts = [*HARD_TEXTS, *_own_texts(store, model)]
        with show_work("compare token ids"):
            _same_tokens(front, model.path / "tokenizer.json", texts)
        graph = join_tokenizer(front, load_graph(find_graph(model.path, settings.served)))
        set_facts(graph, {**settings.values, "task": task}, model=model.digest)
        onnx.save(graph, folder / MODEL)
        with show_work("compare answers"):
            parity = _same_answers(StringModel(folder / MODEL), model, sorted(texts[:ROWS], key=len))  # by length: less padding
        write_json(folder / "parity.json", parity | {"texts": len(texts), "served": settings.served})
        return parity

    return store.build(recipe, write)


class StringModel:
    """A graph that takes texts, run by ONNX Runtime with onnxruntime-extensions."""

    def __init__(self, graph: Path | bytes) -> None:
        from onnxruntime_extensions import get_library_path

        from fsat_tasks.runtime.session import open_session

        self._session = open_session(graph, "cpu", custom_operators=get_library_path())

    def run(self, texts: Sequence[str]) -> Any:
        """Return both outputs of the graph. A full model gives probabilities (n, classes) and scope scores (n,)."""
        import numpy as np

        from fsat_tasks.models.string_graph import INPUT

        return self._session.run(None, {INPUT: np.array(texts, object)})


def _extensions_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("onnxruntime-extensions")
    except PackageNotFoundError:
        raise InputError(
            "fsat export-strings",
            "onnxruntime-extensions to be installed",
            "an environment without it",
            "Install it with: pip install 'fsat[strings]'.",
        ) from None


def _own_texts(store: Store, model: Artefact) -> list[str]:
    """Return the texts that the model was tuned and evaluated on; an empty list if the store no longer has them."""
    from fsat_tasks.data.tables import Tables

    validated = store.find_named(model.parent("validate"))
    return Tables(validated).inputs if validated is not None else []


def _same_tokens(front: onnx.ModelProto, path: Path, texts: Sequence[str]) -> None:
    """Raise EncoderError if the graph and the tokenizer give different token ids. The error shows the text."""
    from fsat_tasks.encoders.text_preparer import load_tokenizer, tokenize

    graph, tokenizer = StringModel(front.SerializeToString()), load_tokenizer(path)
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        for text, ids, mask, expected in zip(batch, *graph.run(batch), tokenize(tokenizer, batch), strict=True):
            if ids[mask == 1].tolist() != expected:
                raise _other(f"different token ids for {text[:80]!r}")


def _same_answers(graph: StringModel, model: Artefact, texts: Sequence[str]) -> dict[str, Any]:
    """Compare the graph's answers with the model's. Raises EncoderError if the graph fails a parity gate of the task."""
    import numpy as np

    from fsat_tasks.models.variants import Decider
    from fsat_tasks.quality.graph_gates import parity_gates
    from fsat_tasks.tasks.spec import GateSpec

    served = ServedModel(model.path)
    answers = [graph.run(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    found = (np.concatenate([part[0] for part in answers]), np.concatenate([part[1] for part in answers]))
    parity = Decider(served.target, served.rule, served.scope_threshold).parity(found, served.run(texts))
    gates = parity_gates(parity, GateSpec(**model.manifest["config"]["gates"]))
    if held := [gate.reason.removesuffix(".") for gate in gates if not gate.promote]:
        raise _other(f"different answers ({'; '.join(held)})")
    return parity


def _other(got: str) -> EncoderError:
    return EncoderError(
        "model with the tokenizer in its graph",
        "the answers of the model on token ids",
        got,
        "Serve the model by its token ids, as its README.md says.",
    )
