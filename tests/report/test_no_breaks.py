"""Numbers and their units on the page stand in one line."""

from __future__ import annotations

from fsat_tasks.templates import unbroken


def test_no_line_ends_between_a_number_and_its_unit() -> None:
    page = "<td>6 %</td> 100.0 % of 2 min 48 s, 1.6 points and 90 MB"
    assert unbroken(page).replace("\u00a0", "_") == "<td>6_%</td> 100.0_% of 2_min 48_s, 1.6_points and 90_MB"


def test_tags_code_and_words_stay_the_same() -> None:
    page = '<style>a { width: 6 % }</style><a title="6 %">5 samples, 3 more</a><pre><b>x</b> = 5 % 2</pre> 7 sms'
    assert unbroken(page) == page
