"""The report and the model card of a task whose texts, labels and words are hostile: all is shown, nothing is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fsat_tasks.pipeline import run_steps
from fsat_tasks.spec import load_task
from fsat_tasks.store import Artefact

SCRIPT = "<script>alert(1)</script>"
MARKUP = '[/b] it\'s "quoted" & `ticked`'
ROWS = [
    *((f"a cat asleep on the {place} {SCRIPT}", SCRIPT) for place in ("sofa", "chair", "bed", "roof")),
    *((f'"><img src=https://example.org/x onerror=alert(1)> a cat asleep on the {place}', MARKUP)
      for place in ("sofas", "chairs", "beds", "roofs")),
]  # fmt: skip


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def hostile(make_task: Callable[..., str], encoder_store: Path) -> dict[str, Artefact]:
    # a row that is labelled against its neighbours makes sure that something is confused
    task = make_task(
        [*ROWS, (f"a cat asleep on a sofa {SCRIPT}", MARKUP)], description=f"{SCRIPT}\n\n{MARKUP}",
        classes={SCRIPT: SCRIPT, MARKUP: f"{MARKUP}\n# more"},
        gates={"min_accuracy": 1.0, "max_ece": 0.0},
    )  # fmt: skip
    return run_steps(load_task(task, dry_run=True))


def test_report_shows_what_is_hostile_and_runs_and_fetches_nothing(hostile: dict[str, Artefact]) -> None:
    page = Page((hostile["publish"].path / "report.html").read_text("utf-8"))
    assert MARKUP in page.text
    assert page.text.count(SCRIPT) >= 4  # description, class, and the confused texts
    assert f"a cat asleep on a sofa {SCRIPT}" in page.text  # an example of what was confused
    assert not {"script", "img", "link", "iframe", "object", "a"} & {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "xlink:href", "srcset")}


def test_report_has_the_decision_and_every_gate(hostile: dict[str, Artefact]) -> None:
    page = Page((hostile["publish"].path / "report.html").read_text("utf-8"))
    decision = hostile["publish"].json("decision.json")
    assert not decision["promote"]
    assert "Hold: " in page.text
    for gate in decision["gates"]:
        assert gate["gate"] in page.text
        assert page.text.count(gate["reason"]) >= (1 if gate["promote"] else 2)  # the table, and on top what held it
    ladder, reliability = (attributes["aria-label"] or "" for tag, attributes in page.tags if tag == "svg")
    assert ladder.startswith("Log-loss of each rung. prototypes: ")
    assert reliability.startswith("Reliability diagram: ")


def test_model_card_has_no_markup_of_the_tasks(hostile: dict[str, Artefact]) -> None:
    card = (hostile["export"].path / "README.md").read_text("utf-8")
    page = Page(card)
    assert {tag for tag, _ in page.tags} == {"code"}
    assert page.text.count(SCRIPT) == 3  # description, label, its words
    assert f"{MARKUP}: {MARKUP} # more\n" in page.text  # one line a class
    labels = json.loads((hostile["export"].path / "config.json").read_text("utf-8"))["labels"]
    assert labels == sorted([SCRIPT, MARKUP])
