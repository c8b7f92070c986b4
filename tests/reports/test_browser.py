"""The page in a real browser: drawn, quiet, and deaf to hostile names."""

import re
import shutil
import subprocess

import pytest

from depthprobe.reports import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chromium-browser on PATH")
OPTIONS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
OPTIONS += " disable-component-update disable-sync virtual-time-budget=8000 enable-logging=stderr"
QUIET = [f"--{option}" for option in OPTIONS.split()]


@pytest.fixture
def browse(tmp_path):
    """browse(page, *options) -> (stdout, console messages)."""

    def run(page, *options):
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [BROWSER, *QUIET, profile, *options, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_plots_are_drawn_and_nothing_complains(golden, keep_run, tmp_path, browse):
    page = tmp_path / "page.html"
    write_report([golden, keep_run], page)
    dom, console = browse(page, "--dump-dom")
    assert console == []
    plots = len(re.findall(r'class="plot js-plotly-plot', dom))
    assert plots == 6 + 6 + 1
    assert len(re.findall(r"<svg[^>]*main-svg", dom)) >= plots


def test_a_screenshot_has_something_on_it(golden, tmp_path, browse):
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    write_report([golden], page)
    _, console = browse(page, f"--screenshot={picture}", "--window-size=1200,2600")
    assert console == []
    assert picture.stat().st_size > 100_000


def test_hostile_names_run_nothing(make_run, tmp_path, browse):
    evil = "</script><img src=x onerror=\"document.title='owned'\">"
    run = make_run(
        recommendation={"add": [{"after": evil, "copies": 1}], "sentence": evil, "notes": [evil]},
        config={"model": {"spec": "net.py:<b>x</b>"}, "data": {"spec": evil}},
    )
    page = tmp_path / "page.html"
    write_report([run], page)
    dom, console = browse(page, "--dump-dom")
    assert console == []
    assert "<img" not in dom
    assert "<title>owned" not in dom
    assert dom.count("main-svg") >= 4


def test_an_injected_script_would_not_run(golden, tmp_path, browse):
    """The second wall: the page's policy names its own scripts by hash."""
    page = tmp_path / "page.html"
    write_report([golden], page)
    broken = page.read_text(encoding="utf-8").replace("</main>", "<script>document.title='owned'</script></main>")
    page.write_text(broken, encoding="utf-8")
    dom, console = browse(page, "--dump-dom")
    assert "<title>owned" not in dom
    assert any("Content Security Policy" in line for line in console)
