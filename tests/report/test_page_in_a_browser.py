"""The report's page: its sections with and without the parts that a run may lack, and the page in a real browser."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from browser import Tab
from fsat_tasks.report.page import render_report
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task
from report.made_up_figures import CHAMPION, EXTRA_METRICS, TIMINGS, VARIANTS

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
"""Time of the reports that these tests write."""


@pytest.fixture(scope="module")
def demo(demo_store: Path) -> Path:
    """The report of the demo run, as it was written."""
    (path,) = demo_store.glob("publish/*/*/report.html")
    return path


def found(store: Path, step: str) -> Artefact:
    (path,) = store.glob(f"{step}/*/*/manifest.json")
    return Artefact(path.parent, json.loads(path.read_text()))


def with_files(artefact: Artefact, root: Path, **files: str) -> Artefact:
    """Copy the artefact into another store, with more files, whose names have _ in place of the dot."""
    folder = root / artefact.step / artefact.key[:2] / artefact.key
    shutil.copytree(artefact.path, folder)
    names = {name.replace("_", "."): text for name, text in files.items()}
    for name, text in names.items():
        (folder / name).write_text(text)
    entries = {name: {"bytes": len(text), "sha256": ""} for name, text in names.items()}
    return replace(artefact, path=folder, manifest={**artefact.manifest, "files": {**artefact.manifest["files"], **entries}})


@pytest.fixture(scope="module")
def full(demo_store: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that is held and has all that a run may have."""
    folder = tmp_path_factory.mktemp("full")
    parents = {step: found(demo_store, step) for step in ("validate", "extract", "tune", "evaluate", "export")}
    curve = "coverage,accuracy\n" + "".join(f"{i / 420},{1 - 0.35 * i / 420}\n" for i in range(1, 421))
    parents["evaluate"] = with_files(parents["evaluate"], folder, coverage_csv=curve)
    parents["export"] = with_files(parents["export"], folder, variants_json=json.dumps(VARIANTS))
    warning = {
        "check": "near",
        "severity": "warning",
        "file": "samples",
        "message": "nearly the same text",
        "lines": [4, 9, 9999],
    }
    parents["validate"] = with_files(parents["validate"], folder, findings_json=json.dumps([warning]))
    decision = found(demo_store, "publish").json("decision.json")
    decision["metrics"] |= EXTRA_METRICS
    decision["gates"].append(
        {
            "gate": "champion",
            "promote": False,
            "reason": "Not better beyond chance than the champion, version 3.",
            "figure": 0.07,
            "bound": 0.05,
            "detail": "p 0.07 > 0.05",
        }
    )
    decision |= {"promote": False, "champion": CHAMPION, "timings": TIMINGS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_DATA", str(repository / "data"))
        html = render_report(Run(load_task("support-intents"), Store(demo_store), parents), decision, NOON)
    (folder / "report.html").write_text(html, "utf-8")
    return folder / "report.html"


ALWAYS = [
    "suspects",
    "accuracy",
    "gates",
    "classes",
    "confusions",
    "calibration",
    "selective",
    "ladder",
    "data",
    "variants",
    "use",
    "run",
]


def sections(page: Path) -> list[str]:
    return [part.split('"')[0] for part in page.read_text("utf-8").split('<section id="')[1:]]


def test_sections_are_there_where_their_data_is(demo: Path, full: Path) -> None:
    everything = [
        "suspects",
        "accuracy",
        "gates",
        "classes",
        "confusions",
        "calibration",
        "selective",
        "map",
        "ladder",
        "labels",
        "data",
        "variants",
        "robustness",
        "slices",
        "use",
        "run",
    ]
    assert sections(full) == everything
    assert sections(demo) == [name for name in everything if name != "slices"]
    for page in (demo, full):
        links = [part.split('"')[0] for part in page.read_text("utf-8").split('<a href="#')[1:]]
        assert links == sections(page)


def test_a_task_without_pool_and_query_rows_has_the_sections_that_it_can(
    make_task: Callable[..., str], encoder_store: Path, toy_rows: list[tuple[str, str]]
) -> None:
    published = run_steps(load_task(make_task(toy_rows), dry_run=True))["publish"]
    page = (published.path / "report.html").read_text("utf-8").replace("\xa0", " ")
    assert sections(published.path / "report.html") == sorted([*ALWAYS, "map"], key=[*ALWAYS[:7], "map", *ALWAYS[7:]].index)
    assert "samples, each left out in turn" in page


def test_held_run_says_why_and_what_it_was_compared_with(full: Path) -> None:
    page = full.read_text("utf-8").replace("\xa0", " ")
    top = page.split("<section")[0]
    assert "Held: 1 of 14 gates did not pass" in top
    assert top.count("Not better beyond chance than the champion, version 3.") == 1
    assert "p 0.07 &gt; 0.05" in page and "p 0.07" not in top  # behind the fold
    assert "28 November 2026, 12:00 UTC" in top
    assert re.search(r"A head on the frozen encoder gets 60\.0 % right after [\d.]+ s, this model .* better beyond chance", top)
    for text in (
        "champion, version 3",
        "frozen baseline",
        "58.0 to 67.0 %",
        "✕ fails",
        "4.1 ms",
        "23.5 MB",
        "nearly the same text",
    ):
        assert text in page


def test_page_is_small_and_the_same_again_but_for_timings(demo: Path, demo_copy: Path) -> None:
    assert demo.stat().st_size < 500_000
    parents = {step: found(demo_copy, step) for step in ("validate", "extract", "tune", "evaluate", "export")}
    decision = found(demo_copy, "publish").json("decision.json") | {"champion": None, "timings": TIMINGS}
    pages = [render_report(Run(load_task("support-intents"), Store(demo_copy), parents), decision, NOON) for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("page", ["demo", "full"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_browser_has_no_complaint_asks_for_nothing_and_scrolls_one_way(
    page: str, width: int, dark: bool, tab: Tab, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(page)
    tab.open(path, width, dark)
    assert tab.ask("document.documentElement.scrollWidth") == width
    background = tab.ask("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(16, 21, 26)" if dark else "rgb(255, 255, 255)")
    assert tab.complaints() == []
    assert tab.requests() == [path.as_uri()]


def test_every_plot_has_a_text_or_its_figures_beside_it(full: Path, tab: Tab) -> None:
    tab.open(full)
    bare = """[...document.querySelectorAll("svg")].filter(svg => svg.getAttribute("role") === "img"
        ? svg.ariaLabel.length < 20 : svg.ariaHidden !== "true" || !svg.closest("td, th, .legend")).length"""
    assert tab.ask(bare) == 0
    assert tab.ask('document.querySelectorAll("svg[role=img]").length') == 3


def column(tab: Tab, section: str, number: int) -> list[str]:
    rows = f'[...document.querySelector("#{section} tbody").rows]'
    texts = f"{rows}.map(row => row.cells[{number}].textContent.trim())"
    return [str(text) for text in tab.ask(texts)]


def test_a_click_and_a_key_on_a_heading_sort(demo: Path, tab: Tab, demo_store: Path) -> None:
    tab.open(demo)
    recall, before = "#classes thead th:nth-child(4)", column(tab, "classes", 0)
    tab.click(f"{recall} button")
    assert tab.ask(f"document.querySelector('{recall}').ariaSort") == "ascending"
    assert tab.ask('document.querySelectorAll("#classes [aria-sort]").length') == 1
    shares = [float(text.split()[0]) for text in column(tab, "classes", 3)]
    assert shares == sorted(shares)
    tab.press_enter()  # the button that was clicked has the focus
    assert tab.ask(f"document.querySelector('{recall}').ariaSort") == "descending"
    assert [float(text.split()[0]) for text in column(tab, "classes", 3)] == sorted(shares, reverse=True)
    tab.click("#classes thead th:nth-child(1) button")
    with (found(demo_store, "evaluate").path / "confusion.csv").open() as file:
        assert column(tab, "classes", 0) == sorted({row["actual"] for row in csv.DictReader(file)})
    assert sorted(before) == column(tab, "classes", 0)
    assert tab.complaints() == []


def test_headings_sort_on_a_phone_too(full: Path, tab: Tab) -> None:
    tab.open(full, 390)
    tab.click("#variants summary")
    tab.click("#variants thead th:nth-child(2) button")
    assert column(tab, "variants", 1) == ["23.5\xa0MB", "91.6\xa0MB"]


def test_a_phone_shows_most_sections_folded_with_their_gist(full: Path, tab: Tab) -> None:
    tab.open(full, 390)
    opened = "[...document.querySelectorAll('.part[open]')].map(part => part.parentElement.id)"
    assert tab.ask(opened) in (["suspects"], ["accuracy"])  # suspects if there are some
    folded = tab.ask("document.documentElement.scrollHeight")
    assert "1 held, 13 passed" in tab.ask("document.querySelector('#gates summary').innerText")
    tab.ask("document.querySelectorAll('.part').forEach(part => part.open = true)")
    assert 2 * folded < tab.ask("document.documentElement.scrollHeight")
    assert tab.ask("document.documentElement.scrollWidth") == 390
    tab.open(full)
    assert len(tab.ask(opened)) == len(sections(full))


def test_a_link_opens_the_section_that_it_leads_to(full: Path, tab: Tab) -> None:
    tab.open(full)
    tab.click("#classes summary")
    assert not tab.ask("document.querySelector('#classes .part').open")
    tab.click("nav a[href='#classes']")
    assert tab.ask("document.querySelector('#classes .part').open")


def test_statistics_are_in_folds_that_open_and_are_open_on_paper(full: Path, tab: Tab) -> None:
    tab.open(full, 390)
    assert tab.ask("document.querySelectorAll('.part details:not([open])').length") >= 6
    seen = "document.querySelector('#gates details details table').checkVisibility()"
    tab.click("#gates summary")
    assert not tab.ask(seen)
    tab.click("#gates details details summary")
    assert tab.ask(seen)
    tab.ask("dispatchEvent(new Event('beforeprint'))")
    assert tab.ask("document.querySelectorAll('details:not([open])').length") == 0
    assert tab.ask("document.documentElement.scrollWidth") == 390
    assert tab.complaints() == []


def test_a_point_of_the_map_tells_its_text_and_lights_its_class(demo: Path, tab: Tab) -> None:
    tab.open(demo)
    point = 'document.querySelector("#map .p")'
    tab.ask(f'{point}.dispatchEvent(new PointerEvent("pointerover", {{bubbles: true}}))')
    said = tab.ask('document.querySelector(".said").textContent')
    assert said == tab.ask(f'{point}.querySelector("title").textContent')
    same, own = tab.ask(f'[document.querySelectorAll("#map .p.same").length, {point}.dataset.class]')
    assert same == tab.ask(f"document.querySelectorAll(\"#map .p[data-class='{own}']\").length") > 1
    tab.ask('document.querySelector("svg.map").dispatchEvent(new PointerEvent("pointerleave"))')
    assert tab.ask('document.querySelectorAll("#map .same").length') == 0


def test_hostile_texts_are_shown_and_not_run(make_task: Callable[..., str], encoder_store: Path, tab: Tab) -> None:
    attack = (
        "</script></style></svg><script>document.title='run'</script><img src=https://example.org onerror=document.title='run'>"
    )
    rows = [(f"a {animal} asleep {attack}", f"one{attack}") for animal in ("cat", "dog", "cow", "hen")]
    rows += [(f"the {number} of nine {attack}", f"two{attack}") for number in ("root", "half", "third", "square")]
    name = make_task([*rows, (f"a goat asleep {attack}", f"two{attack}")], description=attack, unlabelled=[*rows])
    path = run_steps(load_task(name, dry_run=True))["publish"].path / "report.html"
    tab.open(path)
    assert tab.ask("document.title").startswith(f"{name}: ")
    assert tab.ask('document.querySelectorAll("img, script").length') == 1
    assert attack in tab.ask("document.body.innerText")
    tab.click("#classes thead button")
    assert tab.complaints() == []
    assert tab.requests() == [path.as_uri()]
