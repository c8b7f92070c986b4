"""The direction of imports (ARCHITECTURE.md), read from the sources, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A package may import the packages named here, and its own modules; nothing else of ours.
ALLOWED = {
    "errors": set(),
    "counting": set(),
    "settings": {"errors"},
    "config": {"settings", "errors"},
    "ops": {"errors"},
    "layers": {"ops", "errors"},
    "graph": {"errors", "layers"},
    "surgery": {"graph", "layers", "ops", "errors"},
    "exporting": {"graph", "errors"},
    "schedules": {"errors", "config"},
    "inputs": {"counting", "errors", "config"},
    "training": {"inputs", "surgery", "schedules", "graph", "layers", "config", "counting", "errors"},
    "locking": {"errors"},
    "recovery": {"training", "errors"},
    "runs": {"training", "recovery", "locking", "config", "errors"},
    "analysis": {"counting", "errors", "config"},
    "probes": {
        "training",
        "inputs",
        "surgery",
        "graph",
        "schedules",
        "analysis",
        "runs",
        "recovery",
        "config",
        "counting",
        "errors",
    },
    "tuning": {
        "probes",
        "training",
        "inputs",
        "surgery",
        "schedules",
        "analysis",
        "runs",
        "config",
        "settings",
        "counting",
        "errors",
    },
    "reports": {"analysis", "counting", "errors", "config"},
    "cli": {
        "reports",
        "tuning",
        "probes",
        "exporting",
        "ops",
        "inputs",
        "graph",
        "runs",
        "config",
        "counting",
        "errors",
    },
}
FOLDERS = {"cli": ROOT / "cli", "reports": ROOT / "reports"}


def files_of(package):
    place = FOLDERS.get(package, ROOT / "depthprobe" / package)
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ([node.module] if node.module != "depthprobe" else [f"depthprobe.{a.name}" for a in node.names])
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    for path in files_of(package):
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "depthprobe" and len(parts) > 1 and parts[1] != "__version__":
                assert parts[1] in ALLOWED[package] | {package}, f"{path.relative_to(ROOT)} imports {name}"


def test_every_package_is_listed():
    ours = {p.stem for p in (ROOT / "depthprobe").iterdir() if p.suffix in ("", ".py") and not p.stem.startswith("_")}
    assert ours - {"py"} <= set(ALLOWED)
    declared = (ROOT / "pyproject.toml").read_text()
    modules = {"errors", "counting", "settings", "config", "schedules", "locking", "recovery", "runs"}
    for package in set(ALLOWED) - modules:
        assert f'"depthprobe.{package}"' in declared


def test_analysis_and_reports_import_no_torch():
    for package in ("analysis", "reports"):
        for path in files_of(package):
            assert not any(name.split(".")[0] == "torch" for name in imports_of(path)), path


@pytest.mark.parametrize("words", ["import depthprobe", "import depthprobe.cli", "import depthprobe.reports"])
def test_light_imports_load_no_torch(words):
    code = f"import sys; {words}; sys.exit('torch' in sys.modules or 'optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_loads_no_torch():
    code = (
        "import sys; from depthprobe.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'plotly', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_public_names_load():
    import depthprobe as dp

    for name in dp.__all__:
        assert getattr(dp, name).__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        _ = dp.nothing


def test_files_stay_one_idea():
    long = {
        str(path.relative_to(ROOT)): lines
        for place in ("depthprobe", "cli", "reports", "examples")
        for path in (ROOT / place).rglob("*.py")
        if (lines := path.read_text().count("\n")) > (80 if place == "examples" else 400)
    }
    assert not long
