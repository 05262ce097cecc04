"""Words of the report that depend on the task's target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = ["WORDS", "Words"]


@dataclass(frozen=True)
class Words:
    """Parts of sentences about one kind of answer."""

    right: str = "right labels"
    """Rows or answers of which the accuracy is the share."""
    gained: str = "rows that only this model gets right"
    lost: str = "rows that only the other one gets right"
    test: str = "McNemar's exact test"
    """Test of the rows gained and lost."""
    linear: str = "a linear classifier"
    wrong: str = "taken for another class"
    """Mark of a row with a wrong answer on the feature map."""
    same: str = "of its class"
    """Rows of the feature map that are lit with the row that is pointed at."""
    answer: str = "label"
    output: str = "a probability"
    """Statement of a model about a row."""
    likely: str = "probability of the right label"
    """Quantity of which the log-loss is the negative logarithm."""
    rungs: dict[str, str] = field(default_factory=dict)
    """Rung -> its description, where it differs from that in RUNG_TITLES."""


ONE_LABEL = Words()
NEARER = replace(
    ONE_LABEL,
    gained="rows on which this model is nearer to the truth",
    lost="rows on which the other one is nearer",
    test="The exact sign test",
)
WORDS = {
    "one_label": ONE_LABEL,
    "several_labels": replace(
        NEARER,
        right="rows whose labels are all right",
        linear="linear classifiers, one for each label,",
        wrong="given a wrong set of labels",
        same="with the same labels",
        answer="labels",
        likely="probability of exactly the right labels",
        rungs={"probe": "a linear classifier for each label"},
    ),
    "grade": replace(
        NEARER,
        right="right grades",
        wrong="taken for another grade",
        same="of its grade",
        answer="grade",
        likely="probability of the right grade",
    ),
    "number": replace(
        NEARER,
        right="numbers within the tolerance",
        linear="a linear model",
        wrong="off by more than the tolerance",
        same="with the same number",
        answer="number",
        output="a number, in units of the usual error,",
        likely="probability density of the true number",
        rungs={"probe": "linear model"},
    ),
}
"""Name of the target -> words of the page."""
