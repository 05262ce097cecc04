"""Words about a model whose decision is not recorded yet: no promotion is claimed."""

from __future__ import annotations

import pytest

from fsat_tasks.registry.standing import Standing


@pytest.mark.parametrize(
    ("standing", "promote", "approval", "says"),
    [
        (Standing(None, 1, 0, False), True, False, "If it is promoted, it becomes version 1."),
        (Standing(None, 4, 3, True), True, True, "If a person approves it, it becomes version 4, in place of version 3."),
        (Standing(None, 4, 3, True), False, False, "Version 3 stays the champion."),
        (Standing(None, 1, 0, False), False, True, "There is no champion yet."),
        (Standing(3, 4, 3, False), True, False, "This model is version 3, the champion."),
        (Standing(3, 4, 3, True), False, False, "This model is version 3, the champion."),
        (Standing(2, 4, 3, False), True, False, "If it is promoted, it becomes version 2, in place of version 3."),
        (
            Standing(2, 4, 3, True),
            True,
            False,
            "Version 3 stays the champion, because a person chose it, and this model was promoted before, as version 2.",
        ),
    ],
)
def test_standing_says_what_becomes_of_the_model(standing: Standing, promote: bool, approval: bool, says: str) -> None:
    assert standing.say(promote, approval) == says
