"""The page: one file, nothing fetched, readable without JavaScript, names harmless."""

import json
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from depthprobe.reports import render

EVIL = "</script><img src=x onerror=alert(1)>"


def without_plotly(page):
    return page.replace(get_plotlyjs(), "")


class Outline(HTMLParser):
    """Elements, attributes and text outside scripts, as a browser with JavaScript sees them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.data = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        (self.data if self.tags and self.tags[-1] == "script" else self.text).append(data)


@pytest.fixture(scope="module")
def page():
    from pathlib import Path

    return render([Path(__file__).parents[1] / "golden" / "run-v1"])


def test_plotly_is_there_exactly_once(page, golden, keep_run):
    assert page.count(get_plotlyjs()) == 1
    assert render([golden, keep_run]).count(get_plotlyjs()) == 1


def test_nothing_is_fetched(page):
    rest = without_plotly(page)
    for tag, name, value in Outline(rest).attributes:
        if name in {"src", "href", "srcset", "data", "action", "poster"}:
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"url\(|@import|https?://", rest)


def test_the_policy_allows_only_the_scripts_of_the_page(page):
    policy = next(value for tag, name, value in Outline(without_plotly(page)).attributes if "default-src" in str(value))
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "http" not in policy


def test_first_comes_the_answer(page, golden):
    sentence = json.loads((golden / "recommendation.json").read_text())["sentence"]
    rest = without_plotly(page)
    text = "".join(Outline(rest).text)
    assert sentence in text
    headings = ["Accuracy against depth", "What each candidate costs", "How sure", "The training itself"]
    headings += ["What to do next", "Where this comes from"]
    assert re.findall(r"<h2>(.*?)</h2>", rest) == headings
    assert text.index(sentence) < text.index(headings[0])
    assert '<span class="badge deepen">deepen</span>' in rest


def test_every_figure_has_its_numbers_in_a_table(finished):
    for run in finished.values():
        rest = without_plotly(render([run]))
        for figure in re.findall(r"<figure>(.*?)</figure>", rest, re.DOTALL):
            assert figure.count("<details") == 1
            assert figure.count("<caption>") == figure.count("<table>") >= 1
            assert figure.count('<th scope="row">') >= 2
            assert figure.count("aria-label=") >= figure.count('class="plot"') == 1


def test_candidates_are_readable_without_javascript(page):
    table = next(
        text for text in re.findall(r"<table>(.*?)</table>", without_plotly(page), re.DOTALL) if "cooled" in text
    )
    assert table.count("<tr class") == 5 + 1
    for number in ("0.938", "0.976", "0.979", "0.985", "0.980", "0.960"):
        assert number in table


def test_figures_are_named_for_those_who_do_not_see_them(page):
    labels = re.findall(r'class="plot"[^>]*aria-label="([^"]*)"', without_plotly(page))
    assert len(labels) == 6
    assert "5 layers 0.979" in labels[0]
    assert ("html", "lang", "en") in Outline(without_plotly(page)).attributes


def test_current_and_recommended_are_marked(page):
    rest = without_plotly(page)
    assert rest.count('<tr class="recommended">') == rest.count('<tr class="current">') == 2  # curve and candidates
    assert rest.count('<tr class="control">') == 2


def test_test_accuracy_is_said_once(page):
    assert without_plotly(page).count("Test accuracy") == 1


def test_page_is_the_same_every_time(page, golden):
    assert render([golden]) == page


@pytest.mark.parametrize("name", [EVIL, "<b>bold</b>", "{{ 7 * 7 }}", "a&amp;b", "--><svg onload=alert(1)>"])
def test_names_are_harmless(make_run, name):
    run = make_run(
        recommendation={
            "add": [{"after": name, "copies": 2}],
            "sentence": name,
            "notes": [name],
            "verdict": name,
        },
        config={
            "model": {"spec": name, "args": {name: name}},
            "data": {"spec": name},
            "tolerance_note": name,
            "units": [{"name": name, "kind": name, "out_shape": [4, 2, 2]}],
            "gates": [name] * 4,
            "lr_note": name,
            "lr_range_test": [{"rates": [0.1, 1.0], "losses": [2.0, 1.0]}],
        },
        environment={"command_line": [name], "gpu": name, "packages": {name: name}, "device": name},
        extra_records=[{"kind": "failure", "arm": name, "seed": 0, "what": name}],
    )
    rest = without_plotly(render([run]))
    outline = Outline(rest)
    assert not {"img", "svg"} & set(outline.tags)
    assert outline.tags.count("b") == 0
    figures = outline.tags.count("noscript") - 1  # one hides the empty places
    assert outline.tags.count("script") == figures + len(["numbers of the run", "night", "plotly", "report.js"])
    assert not [name for _, name, _ in outline.attributes if name.startswith("on")]
    assert name in "".join(outline.text)


def test_data_of_figures_cannot_leave_their_script():
    from depthprobe.reports.figures import script_json

    text = script_json({"name": EVIL, "more": "<!--\u2028"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"name": EVIL, "more": "<!--\u2028"}


def test_several_runs_start_side_by_side(golden, keep_run, open_run):
    rest = without_plotly(render([golden, keep_run, open_run]))
    ids = [value for _, name, value in Outline(rest).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {"run-1", "run-2", "run-3"} <= set(ids)
    cards = rest[rest.index('<ul class="cards">') : rest.index("<article")]
    places = [cards.index(word) for word in ("Deepen from", "Keep 3", "Inconclusive:")]
    assert places == sorted(places)


def test_failed_seed_is_on_the_page(open_run):
    assert "Seed 2 failed in the grow arm: collapsed at 7 layers" in render([open_run])
