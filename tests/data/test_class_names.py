"""Names of classes: the given words, or the label's own."""

from __future__ import annotations

from fsat_tasks.data.class_names import name_classes


def test_a_class_has_the_given_words_or_those_of_its_label_in_the_order_of_the_labels() -> None:
    names = name_classes(["top_up-failed", "refund", "other"], {"refund": "money back", "other": ""})
    assert list(names.items()) == [("top_up-failed", "top up failed"), ("refund", "money back"), ("other", "other")]
