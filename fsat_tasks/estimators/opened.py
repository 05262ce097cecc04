"""Parts of an estimator that are open in a process: sessions and networks. No copy and no file has them."""

from __future__ import annotations

from typing import Any

from fsat_tasks.encoders.encoder import Encoder

__all__ = ["Opened"]


class Opened:
    """The encoders that an estimator has opened so far. A deep copy or a pickle of this object is empty."""

    def __init__(self, encoder: Encoder | None = None) -> None:
        self.encoder = encoder
        """The pretrained encoder."""
        self.tuned: Any = None
        """The fine-tuned encoder in torch."""

    def __reduce__(self) -> tuple[type[Opened], tuple[()]]:
        return Opened, ()
