"""Place of a model in the registry before the registry records the decision about it, as a report and an approver see it."""

from __future__ import annotations

from dataclasses import dataclass

from fsat_tasks.registry.history import by_hand, next_number, number_of
from fsat_tasks.registry.registry import Registry

__all__ = ["Standing", "find_standing"]


@dataclass(frozen=True)
class Standing:
    """The versions of the model and of the champion."""

    own: int | None
    """The model's version; None if it was never promoted."""
    following: int
    """The version that the next new model gets."""
    champion: int
    """The champion's version; 0 if there is none."""
    chosen: bool
    """True if a person has chosen the champion."""

    @property
    def is_champion(self) -> bool:
        """True if the model is the champion."""
        return self.own == self.champion

    def say(self, promote: bool, approval: bool) -> str:
        """Say what becomes of the model. The page is true whenever it is read, so it claims no promotion.

        Args:
            promote: whether all gates promote the model.
            approval: whether a person must approve it.
        """
        stays = f"Version {self.champion} stays the champion" if self.champion else "There is no champion yet"
        if self.is_champion:
            return f"This model is version {self.own}, the champion."
        if not promote:
            return f"{stays}."
        if self.own and self.chosen:
            return f"{stays}, because a person chose it, and this model was promoted before, as version {self.own}."
        instead = f", in place of version {self.champion}" if self.champion else ""
        condition = "If a person approves it" if approval else "If it is promoted"
        return f"{condition}, it becomes version {self.own or self.following}{instead}."


def find_standing(registry: Registry, digest: str) -> Standing:
    """Look up the model with this digest and the champion. Raises RegistryError if the registry cannot be read."""
    history, champion = registry.history(), registry.champion()
    return Standing(
        number_of(history, digest),
        next_number(history),
        int(champion["version"]) if champion else 0,
        champion is not None and by_hand(champion),
    )
