"""How much accuracy is lost when query rows are typed as people type them."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KINDS", "measure_robustness", "perturb"]

ROWS = 200
"""Query rows that are perturbed, drawn by the seed: each kind costs as many more to encode."""
TYPO_EVERY = 20
"""Letters for each typo; at least one a text."""


def measure_robustness(
    texts: Sequence[str],
    right: NDArray[np.bool_],
    is_right: Callable[[list[str], NDArray[np.int64]], NDArray[np.bool_]],
    seed: int,
) -> dict[str, Any]:
    """Accuracy on perturbed rows beside that on the same rows as they are, for each kind of `KINDS`.

    Args:
        right: (n,) whether each row is right as it is.
        is_right: texts and the numbers of their rows -> (m,) whether each is right.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.paired import paired_drop

    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:ROWS])
    kinds = []
    for kind in KINDS:
        after = is_right([perturb(texts[row], kind, seed + row) for row in rows.tolist()], rows)
        drop, low, high = paired_drop(right[rows], after, seed)
        kinds.append({"kind": kind, "accuracy": float(after.mean()), "drop": drop, "drop_low": low, "drop_high": high})
    return {"rows": len(rows), "kinds": kinds}


def perturb(text: str, kind: str, seed: int) -> str:
    """The text, changed in a way that does not change its meaning; the same for the same seed."""
    return KINDS[kind](text, random.Random(seed))  # noqa: S311, no secret


def _case(text: str, rng: random.Random) -> str:
    return rng.choice([text.upper(), text.lower(), text.title()])


def _typos(text: str, rng: random.Random) -> str:
    """Two neighbouring letters swapped, a letter doubled or left out."""
    for _ in range(max(len(text) // TYPO_EVERY, 1)):
        places = [i for i in range(len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
        if not places:
            break
        i = rng.choice(places)
        changed = rng.choice([text[i + 1] + text[i], text[i] * 2 + text[i + 1], text[i + 1]])
        text = text[:i] + changed + text[i + 2 :]
    return text


def _punctuation(text: str, rng: random.Random) -> str:
    """All of it gone, or some more at the end."""
    bare = text.translate(str.maketrans("", "", string.punctuation))
    return rng.choice([bare, text + "!!", text + " ..."]) if bare.strip() else text


def _whitespace(text: str, rng: random.Random) -> str:
    """Blanks around it, and some of those within made two."""
    words = text.split(" ")
    return "  " + "".join(word + rng.choice([" ", "  "]) for word in words) + "\n"


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "case": _case,
    "typos": _typos,
    "punctuation": _punctuation,
    "whitespace": _whitespace,
}
