"""The warning of `fsat apply` and `fsat predict --file` about texts in a language that the model's encoder does not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.cli.common import warn

if TYPE_CHECKING:
    from fsat_tasks.store import Artefact

__all__ = ["texts_in", "warn_of_foreign", "watched"]


def watched(answers: Iterator[dict[str, Any]], model: Artefact) -> Iterator[dict[str, Any]]:
    """Yield the answers of a champion, and warn at their end if many texts are foreign to its encoder."""
    from fsat_tasks.traffic.some_texts import SomeTexts

    some = SomeTexts()
    for answer in answers:
        some.add(answer["text"])
        yield answer
    warn_of_foreign(some.kept, model)


def texts_in(predictions: Iterable[Path]) -> list[str]:
    """Return some of the texts in predictions.parquet of each of the labelled files."""
    import pyarrow.parquet as pq

    from fsat_tasks.traffic.some_texts import SomeTexts

    some = SomeTexts()
    for path in predictions:
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            for text in batch["text"].to_pylist():
                if text is not None:
                    some.add(text)
    return some.kept


def warn_of_foreign(texts: list[str], model: Artefact) -> None:
    """Warn if many of the texts are in languages that the encoder of a champion does not read."""
    from fsat_tasks.inputs.modalities import MODALITIES
    from fsat_tasks.models.settings import read_settings
    from fsat_tasks.steps.languages import say_foreign

    settings = read_settings(model.path)
    if said := say_foreign(str(settings.values.get("encoder")), MODALITIES[settings.inputs], texts):
        warn(said)
