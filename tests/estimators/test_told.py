"""Messages of estimators: nothing by default, each rung with `verbose`, and what was reached in their representation."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import fsat_tasks
from estimators.toy_texts import LABELS, NEW, NUMBERS, TEXTS, Make, MakeRegressor
from fsat_tasks import FewShotClassifier
from fsat_tasks.errors import DataError


def test_a_fit_is_silent_unless_it_is_verbose(frozen: Make, capsys: pytest.CaptureFixture[str]) -> None:
    frozen().fit(TEXTS, LABELS)
    assert capsys.readouterr() == ("", "")
    verbose = frozen(rungs=("prototypes", "probe", "pool"), verbose=True).fit(TEXTS, LABELS)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["prototypes", "probe", "pool"]
    assert lines[0].startswith("prototypes: taken after ") and lines[2].startswith("pool: skipped. ")
    assert all(rung["reason"] in line for rung, line in zip(verbose.trace_, lines, strict=True))


def test_a_program_with_its_own_log_sees_each_line_once(
    frozen: Make, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("fsat_tasks.tuning")
    before = logger.level, list(logger.handlers), logger.propagate
    frozen(verbose=True).fit(TEXTS, LABELS)
    assert [record for record in caplog.records if record.name.startswith("fsat_tasks.tuning")] == []
    assert capsys.readouterr().err.count("prototypes:") == 1
    assert (logger.level, list(logger.handlers), logger.propagate) == before


def test_verbose_is_true_or_false(frozen: Make) -> None:
    with pytest.raises(DataError, match="verbose: expected true or false, got 'yes'"):
        frozen(verbose="yes").fit(TEXTS, LABELS)


def test_what_was_reached_is_in_the_representation(toy: FewShotClassifier, regressor: MakeRegressor) -> None:
    head, *reached = repr(toy).splitlines()
    assert head == repr(clone(toy))
    said = " ".join(" ".join(reached).split())
    held_out = toy._fit.held_out
    expected = f"left-out accuracy {100 * held_out.accuracy:.1f} %, left-out log-loss {held_out.log_loss:.3f}, rung "
    assert said.startswith(f"fitted: samples 12, classes 3, {expected}")
    assert max(map(len, reached)) < 80
    for page in (toy._repr_html_(), toy._repr_mimebundle_()["text/html"]):
        assert page.count("<th>left-out accuracy</th>") == 1
    assert "<th>left-out accuracy</th>" not in clone(toy)._repr_html_()
    assert "fitted:" not in repr(clone(toy)) + repr(make_pipeline(toy))
    assert "left-out mean error" in repr(regressor().fit(TEXTS, NUMBERS))


def test_the_package_lists_its_public_names() -> None:
    assert dir(fsat_tasks) == ["FewShotClassifier", "FewShotRegressor", "__version__", "load_encoder"]


def test_a_data_frame_of_texts_is_refused_with_a_hint(toy: FewShotClassifier) -> None:
    frame = pd.DataFrame({"text": NEW, "id": [1, 2, 3]})
    with pytest.raises(DataError, match=r"got DataFrame\. Take one column, such as frame\['text'\]\."):
        toy.predict(frame)
    assert toy.predict(frame["text"]).tolist() == toy.predict(NEW).tolist()
