"""One finding about this installation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fsat_tasks.errors import FsatError, InputError

__all__ = ["Check", "look_at"]


@dataclass(frozen=True)
class Check:
    """Something that was looked at."""

    name: str
    ok: bool
    says: str
    """Sentence of what was found."""
    fix: str = ""
    """Sentence of what to do; empty if nothing has to be done."""
    fault: bool = False
    """True if fsat cannot work until this is mended."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def look_at(checks: Iterable[tuple[str, Callable[[], Check]]]) -> Iterator[Check]:
    """Call each check, by its name. A check that raises an error of fsat is not ok, and the error says why.

    A variable of the environment that no verb can use is a fault.
    """
    for name, check in checks:
        try:
            yield check()
        except InputError as error:
            yield Check(name, False, f"{error.where}: expected {error.expected}, got {error.got}", error.fix, fault=True)
        except FsatError as error:
            yield Check(name, False, str(error))
