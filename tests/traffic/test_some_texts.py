"""A sample of the texts that pass by."""

from __future__ import annotations

from fsat_tasks.traffic.some_texts import MOST, SomeTexts


def test_few_texts_are_all_kept_and_of_many_a_part_from_everywhere() -> None:
    some = SomeTexts()
    for number in range(10 * MOST):
        some.add(str(number))
        assert len(some.kept) == min(number + 1, MOST)
    numbers = sorted(map(int, some.kept))
    assert len(set(numbers)) == MOST
    assert 0.4 < sum(number < 5 * MOST for number in numbers) / MOST < 0.6
