"""Features of a set's files from the pretrained encoder, extracted once for all methods that use them.

python -m benchmarks.features ENCODER SET_FOLDER CACHE FILE... (run by benchmarks.run in a process of its own)
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import class_name, read_rows
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.encoders.source import EncoderSource

__all__ = ["CachedEncoder", "FeatureCache", "encoder_source"]

Features = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureCache:
    """Cache of all layers' features. Each file of rows has a .npy and a .json here, named by content and encoder."""

    folder: Path
    encoder: str
    revision: str

    def load(self, path: Path) -> tuple[Features, float]:
        """Return a file's features (n, layers, dim), memory-mapped, and the mean seconds that the extraction of a row took."""
        seconds = json.loads(self._file(path, "json").read_text("utf-8"))["seconds_a_row"]
        return np.load(self._file(path, "npy"), mmap_mode="r"), seconds

    def load_names(self, path: Path, classes: list[str]) -> Features:
        """Return the features (classes, layers, dim) of the class names. All `classes` must be labels of the file."""
        names = sorted(set(read_rows(path)[1]))
        features: Features = np.load(self._file(path, "names.npy"))
        return features[[names.index(label) for label in classes]]

    def missing(self, paths: list[Path]) -> list[Path]:
        return [path for path in paths if not self._file(path, "json").is_file()]

    def extract(self, paths: list[Path]) -> None:
        """Extract and write the missing features. The .json is written last, because a file without it counts as missing."""
        encoder = load_encoder(self.encoder)
        self.folder.mkdir(parents=True, exist_ok=True)
        errors = []
        for path in self.missing(paths):
            try:
                self._extract(encoder, path)
            except ValueError as error:  # a bad file must not stop the others
                errors.append(str(error))
        if errors:
            raise ValueError("; ".join(errors))

    def _extract(self, encoder: Encoder, path: Path) -> None:
        texts, labels = read_rows(path)
        encoder.encode(texts[:64], "all")  # the first call is slow, because it allocates the session's memory
        started = time.perf_counter()
        features = encoder.encode(texts, "all")
        seconds = time.perf_counter() - started
        np.save(self._file(path, "npy"), features)
        np.save(self._file(path, "names.npy"), encoder.encode([class_name(name) for name in sorted(set(labels))], "all"))
        self._file(path, "json").write_text(json.dumps({"seconds_a_row": seconds / len(texts), "rows": len(texts)}), "utf-8")

    def _file(self, path: Path, ending: str) -> Path:
        content = hashlib.sha256(path.read_bytes() + self.revision.encode()).hexdigest()[:20]
        return self.folder / f"{path.parent.name}-{path.stem}-{content}.{ending}"


class CachedEncoder:
    """Encoder for `FewShotClassifier`. It takes the features of a data set's texts from the cache, and encodes other texts."""

    def __init__(self, encoder: Encoder, cache: FeatureCache, folder: Path) -> None:
        self._encoder = encoder
        self._known: dict[str, tuple[Features, int, float]] = {}
        """Text -> features of the text's file, index of the text's row in these features, and mean seconds for a row."""
        paths = sorted(folder.glob("*.jsonl"))
        missing = cache.missing(paths)
        for path in [path for path in paths if path not in missing]:
            features, seconds = cache.load(path)
            self._known |= {text: (features, row, seconds) for row, text in enumerate(read_rows(path)[0])}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)  # all but the features is the encoder's own

    def encode(self, texts: Sequence[str], layers: Literal["all"], progress: Callable[[int], None] | None = None) -> Features:
        """Return features (n, layers, dim) of the texts. Features that are in the cache are not computed again.

        Args:
            texts: n texts.
            layers: `all`.
            progress: not used. It is there because the encoder's method has it.
        """
        found = np.empty((len(texts), self._encoder.layers, self._encoder.dim), np.float32)
        unknown = [at for at, text in enumerate(texts) if text not in self._known]
        found[unknown] = self._encoder.encode([texts[at] for at in unknown], layers)
        for at, text in enumerate(texts):
            if text in self._known:
                features, row, _ = self._known[text]
                found[at] = features[row]
        return found

    def seconds(self, texts: Sequence[str]) -> float:
        """Return the seconds that the extraction of these texts took."""
        return sum(self._known[text][2] for text in texts if text in self._known)


def encoder_source(name_or_path: str) -> EncoderSource:
    """Find an encoder by name or folder. Nothing is downloaded."""
    path = Path(name_or_path)
    return find_encoder(path if path.is_dir() else name_or_path)


def main() -> None:
    encoder, folder, cache, *files = sys.argv[1:]
    revision = encoder_source(encoder).revision
    FeatureCache(Path(cache), encoder, revision).extract([Path(folder) / f"{file}.jsonl" for file in files])


if __name__ == "__main__":
    main()
