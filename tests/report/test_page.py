"""The report and the model card of a task with hostile texts, labels and words: all is shown, nothing is run."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from fsat_tasks.quality.gates import TITLES, all_gates
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact
from fsat_tasks.tasks.task import load_task
from fsat_tasks.templates import source
from task_folder import link_encoders, write_task

SCRIPT = "<script>alert(1)</script>"
MARKUP = '[/b] it\'s "quoted" & `ticked`'
IMAGE = "![pixel](http://127.0.0.1/x.png) www.example.org \x1b[31mred \x9b31m"
ROWS = [
    *((f"a cat asleep on the {place} {SCRIPT}", SCRIPT) for place in ("sofa", "chair", "bed", "roof")),
    *(
        (f'"><img src=https://example.org/x onerror=alert(1)> a cat asleep on the {place}', MARKUP)
        for place in ("sofas", "chairs", "beds")
    ),
]


class Page(HTMLParser):
    """The page as a browser reads it: tags with attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.raw[self.cdata_elem].append(data)
        else:
            self.text += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> dict[str, Artefact]:
    folder = tmp_path_factory.mktemp("hostile")
    link_encoders(demo_store, folder / "store")
    # a row that is labelled against its neighbours makes sure that something is confused
    write_task(
        folder / "data" / "task-0",
        [*ROWS, (f"a cat asleep on a sofa {SCRIPT}", MARKUP)],
        description=f"{SCRIPT}\n\n{MARKUP} {IMAGE}",
        classes={SCRIPT: IMAGE, MARKUP: f"{MARKUP}\n# more"},
        gates={"min_accuracy": 1.0, "max_ece": 0.0},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_DATA", str(folder / "data"))
        patch.setenv("FSAT_STORE", str(folder / "store"))
        return run_steps(load_task("task-0", dry_run=True))


def test_report_shows_what_is_hostile_and_runs_and_fetches_nothing(hostile: dict[str, Artefact]) -> None:
    page = Page((hostile["publish"].path / "report.html").read_text("utf-8").replace("\xa0", " "))
    assert MARKUP in page.text
    assert page.text.count(SCRIPT) >= 4  # description, class, and the confused texts
    assert f"a cat asleep on a sofa {SCRIPT}" in page.text  # an example of what was confused
    assert not {"img", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "xlink:href", "srcset", "style")}
    saved = [attributes for _, attributes in page.tags if "download" in attributes]
    assert all((attributes["href"] or "").startswith("data:text/csv;charset=utf-8;base64,") for attributes in saved)
    links = [attributes["href"] or "" for _, attributes in page.tags if "href" in attributes and attributes not in saved]
    assert links and all(link.startswith("#") for link in links)


def test_report_has_its_own_script_and_style_alone_and_its_policy_names_them(hostile: dict[str, Artefact]) -> None:
    page = Page((hostile["publish"].path / "report.html").read_text("utf-8").replace("\xa0", " "))
    assert [tag for tag, _ in page.tags].count("script") == [tag for tag, _ in page.tags].count("style") == 1
    (policy,) = (attributes["content"] or "" for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; ")
    for name, file in (("script", "report.js"), ("style", "report.css")):
        own = source(file)
        assert page.raw[name] == [own]
        assert f"{name}-src 'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'" in policy


def test_report_has_the_decision_and_every_gate(hostile: dict[str, Artefact]) -> None:
    page = Page((hostile["publish"].path / "report.html").read_text("utf-8").replace("\xa0", " "))
    gates = all_gates(hostile["publish"])
    held = [gate for gate in gates if not gate.promote]
    assert held
    assert f"Held: {len(held)} of {len(gates)} gates did not pass" in page.text
    for gate in gates:
        assert TITLES[gate.gate] in page.text
        assert page.text.count(gate.reason) >= (1 if gate.promote else 2)  # the table, and on top what held it
    labels = [attributes["aria-label"] or "" for tag, attributes in page.tags if tag == "svg" and "aria-label" in attributes]
    assert labels[0].startswith("Reliability diagram: ")
    assert labels[1].startswith("Accuracy of the surest rows")
    assert labels[2].startswith("Feature map: ")


def test_report_says_that_sets_are_full_because_samples_are_few(hostile: dict[str, Artefact]) -> None:
    page = Page((hostile["publish"].path / "report.html").read_text("utf-8").replace("\xa0", " "))
    assert "Every set of labels is full, because a coverage of 0.9 needs at least 9 samples." in page.text


def test_model_card_shows_words_of_the_task_as_they_are_without_image_link_or_escape(hostile: dict[str, Artefact]) -> None:
    card = (hostile["export"].path / "README.md").read_text("utf-8")
    page = Page(MarkdownIt("commonmark").render(card.split("---\n", 2)[2]))
    assert not {"script", "img", "a", "b", "em"} & {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("h2") == 3  # the card's own
    shown = IMAGE.replace("\x1b", "\\u001b").replace("\x9b", "\\u009b")
    assert f"{SCRIPT} {MARKUP} {shown}" in page.text  # the description
    assert f"{SCRIPT}: {shown}\n" in page.text  # one line a class
    assert f"{MARKUP}: {MARKUP} # more\n" in page.text
    assert not {"\x1b", "\x9b"} & set(card)
    labels = json.loads((hostile["export"].path / "config.json").read_text("utf-8"))["labels"]
    assert labels == sorted([SCRIPT, MARKUP])


def test_model_card_gives_its_results_to_the_hub(hostile: dict[str, Artefact]) -> None:
    from huggingface_hub import ModelCard

    metrics = hostile["evaluate"].json("metrics.json")
    card = ModelCard.load(hostile["export"].path / "README.md")
    results = {result.metric_type: result for result in card.data.eval_results or []}
    assert {kind: result.metric_value for kind, result in results.items()} == {
        "accuracy": metrics["accuracy"],
        "f1": metrics["macro_f1"],
    }
    assert {result.task_type for result in results.values()} == {"text-classification"}
    assert results["f1"].metric_args == {"average": "macro"}
    metadata = card.data.to_dict()
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("onnx", "text-classification")
    assert card.text.lstrip().startswith("# task-0")
