"""The page in a real browser: drawn, quiet, usable by all, and deaf to hostile names."""

import json
import re
from itertools import pairwise

import pytest

from depthprobe.reports import read_runs, view_runs, write_report
from depthprobe.reports.sections import sections_of

VERBS = ("grow", "full", "shrink", "shrink-now", "width", "width-now")

# Every visible text with its contrast against the nearest background; AA asks for 4.5, of large text for 3.
CONTRAST = """
(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    for (let e = node; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode, holder = node.parentElement, style = getComputedStyle(holder);
    if (!node.textContent.trim() || !holder.getClientRects().length || style.visibility === "hidden") continue;
    if (holder.closest("script, style, noscript, .modebar, .hidden")) continue;
    const svg = holder.closest("svg"), front = parse(svg ? style.fill : style.color);
    const back = behind(svg ? svg.parentElement : holder);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a), ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) bad.push([node.textContent.trim().slice(0, 40), ratio.toFixed(2), front, back]);
  }
  return { seen, bad };
})()
"""
CUT = """
[...document.querySelectorAll(".plot .annotation-text, .plot .textpoint text, .plot .xtick text")].filter((e) => {
  const text = e.getBoundingClientRect(), plot = e.closest(".plot").getBoundingClientRect();
  return text.left < plot.left - 1 || text.right > plot.right + 1;
}).map((e) => e.textContent)
"""
LEVELS = "[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => +h.tagName[1])"
UNNAMED = """
[...document.querySelectorAll("a, button, summary, [tabindex], [role=img], [role=region], table, section, article")]
  .filter((e) => !(e.getAttribute("aria-label") || e.textContent).trim()).map((e) => e.outerHTML.slice(0, 80))
"""
FOCUSED = """
(() => {
  const at = document.activeElement;
  return at.tagName + " " + at.closest("figure")?.querySelector(".plot")?.id;
})()
"""
WORDS = """
[...document.querySelectorAll("main p, main td, main th, main li, main dd, main dt, main h2")].map((e) => e.textContent)
"""
SPACE = {"&gt;": ">", "&nbsp;": "\u00a0", "&amp;": "&"}
PICTURES = "document.querySelectorAll('.plot.js-plotly-plot .main-svg').length"


@pytest.fixture(scope="module")
def pages(finished, tmp_path_factory):
    """One page of every verb."""
    folder = tmp_path_factory.mktemp("pages")
    for name, run in finished.items():
        write_report([run], folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in finished}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("verb", VERBS)
def test_everything_is_drawn_and_can_be_read(chromium, pages, finished, verb, width, scheme, tmp_path):
    """Counts are those of the view; nothing is wider than the screen, pale, nameless or out of order; no complaint."""
    tab = chromium.open(pages[verb], width=width, scheme=scheme)
    (view,) = view_runs(read_runs([finished[verb]]))
    check_counts(tab, view)
    check_names(tab)
    assert tab.ask("document.documentElement.scrollWidth") <= width
    rights = tab.ask("[...document.querySelectorAll('.plot svg')].map((s) => s.getBoundingClientRect().right)")
    assert max(rights) <= width
    assert tab.ask(CUT) == []
    found = tab.ask(CONTRAST)
    assert found["seen"] > 200
    assert found["bad"] == []
    assert tab.console == []
    assert tab.picture(tmp_path / f"{verb}-{width}.png").stat().st_size > 100_000


def check_counts(tab, view):
    """Figures, tables, rows, boxes and links of the page are those of the view."""
    shown = [one for section in sections_of(view) for one in section.exhibits]
    tables = [table for one in shown for table in one.tables]
    count = "document.querySelectorAll('{}').length".format
    assert tab.ask(count(".plot.js-plotly-plot")) == len(shown)
    assert tab.ask(PICTURES) >= len(shown)
    assert tab.ask(count("figure details table")) == len(tables)
    assert tab.ask(count("figure details tbody tr")) == sum(len(table.rows) for table in tables)
    assert tab.ask(count(".strip li")) == len(view.network.before) + len(view.network.boxes)
    assert tab.ask(count(".downloads a")) == 2


def check_names(tab):
    """Headings go down one level at a time; what can be reached has a name; no name twice."""
    levels = tab.ask(LEVELS)
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tab.ask(UNNAMED) == []
    ids = tab.ask("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_a_keyboard_reaches_every_table(chromium, pages):
    tab = chromium.open(pages["grow"])
    reached = []
    for _ in range(80):
        tab.press("Tab")
        reached.append(tab.ask(FOCUSED))
        if reached[-1].startswith("BODY"):
            break
    figures = tab.ask("[...document.querySelectorAll('.plot')].map((e) => e.id)")
    assert {f"SUMMARY {name}" for name in figures} <= set(reached)
    assert any(place.startswith("A ") for place in reached)
    tab.ask("document.querySelector('figure summary').focus()")
    before = tab.ask("document.querySelector('figure details').open")
    tab.press("Enter")
    assert tab.ask("document.querySelector('figure details').open") != before


@pytest.mark.parametrize("verb", ["full", "width"])
def test_without_scripts_all_text_is_there(chromium, pages, verb, tmp_path):
    """No figure is drawn, but no number is missing; a screenshot shows the rest."""
    tab = chromium.open(pages[verb], scripts=False)
    tab.picture(tmp_path / f"{verb}-noscript.png")
    document = tab.send("DOM.getDocument", depth=0)["root"]["nodeId"]
    found = tab.send("DOM.getOuterHTML", nodeId=document)["outerHTML"]
    bare = re.sub(r"<[^>]+>", " ", found)
    for entity, character in SPACE.items():
        bare = bare.replace(entity, character)
    bare = " ".join(bare.split())
    downloads = "Numbers of the figures"
    for text in chromium.open(pages[verb]).ask(WORDS):
        for word in text.split():
            assert word in bare or downloads in text, (word, text)


def test_printing_shows_drawings_and_no_buttons(chromium, pages, tmp_path):
    tab = chromium.open(pages["full"], width=794, media="print")
    assert tab.ask("getComputedStyle(document.querySelector('.downloads')).display") == "none"
    assert tab.ask("getComputedStyle(document.querySelector('.strip .bar')).printColorAdjust") == "exact"
    assert tab.ask("document.documentElement.scrollWidth") <= 794
    pdf = tab.send("Page.printToPDF", printBackground=False, preferCSSPageSize=True)["data"]
    assert len(pdf) > 100_000
    tab.picture(tmp_path / "print.png")


def test_the_numbers_can_be_taken_along(chromium, pages, tmp_path):
    """The links make files of what is in the page; nothing is fetched."""
    tab = chromium.open(pages["full"])
    chromium.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True)
    for number, name in enumerate(("full.csv", "full.json")):
        tab.ask(f"document.querySelectorAll('.downloads a')[{number}].click()")
        while not any(
            e["method"] == "Browser.downloadProgress" and e["params"]["state"] == "completed" for e in chromium.events
        ):
            chromium.events.append(chromium._receive())
        chromium.events = [e for e in chromium.events if e["method"] != "Browser.downloadProgress"]
        assert (tmp_path / name).stat().st_size > 1000
    rows = (tmp_path / "full.csv").read_text().splitlines()
    assert rows[0] == "figure,series,x,y"
    assert any(row.startswith("course,0_copy1,") for row in rows)
    assert any(row.startswith('loss,"seed 1, grow",') for row in rows)
    document = json.loads((tmp_path / "full.json").read_text())
    assert document["recommendation"]["verdict"] == "deepen"
    assert all("scores" not in record for record in document["measurements"])


def test_a_comparison_is_drawn(chromium, finished, tmp_path):
    page, runs = tmp_path / "all.html", {name: run for name, run in finished.items() if not name.endswith("-now")}
    write_report(list(runs.values()), page)
    tab = chromium.open(page, width=390)
    assert tab.ask("document.querySelectorAll('article').length") == 4
    assert tab.ask("document.querySelector('#all-compare-1').data.filter((t) => t.hoverinfo !== 'skip').length") == 3
    rows = tab.ask(
        "[...document.querySelector('main table').querySelectorAll('tbody th')].map((e) => e.textContent.trim())"
    )
    assert rows == list(runs)
    assert tab.ask("document.documentElement.scrollWidth") <= 390
    assert tab.console == []
    tab.picture(tmp_path / "all-390.png")


def test_hostile_names_run_nothing(chromium, make_run, tmp_path):
    evil = "</script><img src=x onerror=\"document.title='owned'\">"
    run = make_run(
        recommendation={"add": [{"after": evil, "copies": 1}], "sentence": evil, "notes": [evil]},
        config={
            "model": {"spec": "net.py:<b>x</b>"},
            "data": {"spec": evil},
            "units": [{"name": evil, "kind": "conv", "out_shape": [4, 2, 2]}],
            "gates": [evil] * 4,
        },
    )
    page = tmp_path / "page.html"
    write_report([run], page)
    tab = chromium.open(page)
    assert tab.console == []
    assert tab.ask("document.querySelectorAll('img').length") == 0
    assert "owned" not in tab.ask("document.title.slice(0, 12)")
    assert tab.ask(PICTURES) >= 6


def test_an_injected_script_would_not_run(chromium, golden, tmp_path):
    """The second wall: the page's policy names its own scripts by hash."""
    page = tmp_path / "page.html"
    write_report([golden], page)
    broken = page.read_text(encoding="utf-8").replace("</main>", "<script>document.title='owned'</script></main>")
    page.write_text(broken, encoding="utf-8")
    tab = chromium.open(page)
    assert tab.ask("document.title") != "owned"
    assert any("Content Security Policy" in json.dumps(message) for message in tab.console)
