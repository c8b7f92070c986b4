"""depthprobe tune, whole: the run folder, the config file that grow takes, resuming, and what is refused."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

SMALL = ["--dataset", "digits", "--limit-train", "400", "--copies", "3", "--lr", "0.05"]
FEW = [*SMALL, "--steps", "40", "--trials", "3", "--confirm-seeds", "1", "--seed", "1"]


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        from depthprobe.cli import main

        monkeypatch.setattr(sys, "argv", ["depthprobe", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def answered(tmp_path_factory, net_text):
    """A finished study, run once: its folder, and what was said (exit code, stdout, stderr)."""
    from depthprobe.cli import main

    folder = tmp_path_factory.mktemp("answered")
    (folder / "net.py").write_text(net_text)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["depthprobe", "tune", "net.py", *FEW, "--out", "run", "--json"])
        with pytest.raises(SystemExit) as stop:
            main()
    return folder / "run", (stop.value.code or 0, out.getvalue(), err.getvalue())


def records(folder):
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def values(folder, stage="trials"):
    return {r["trial"]: r["values"] for r in records(folder) if r["stage"] == stage}


def test_a_study_ends_in_an_answer_and_a_config_file_that_grow_takes(answered, cli, net, tmp_path):
    run, (code, out, err) = answered
    assert code == 0, err
    answer = json.loads(out)
    assert answer == json.loads((run / "recommendation.json").read_text())
    assert answer["command"] == "tune"
    assert answer["trials"] == {"total": 3, "complete": 3, "pruned": 0, "failed": 0, "retried": 0}
    assert answer["verdict"] in ("keep", "tuned")
    assert answer["confirmed"][0]["trial"] == 0
    assert (answer["verdict"] == "keep") == (answer["best"] == answer["default"])
    assert answer["gain_exceeds_noise"] == bool(answer["best"]["gain"] and answer["best"]["gain"]["low"] > 0)
    assert "trial 0 of 3 (the default)" in err
    assert "confirming" in err
    assert next(r["settings"] for r in records(run) if r["trial"] == 0) == {"grow": {}, "train": {}}
    assert not list((run / "checkpoints").rglob("trials/*/*/*.pt"))
    grown = ["--seeds", "1", "--json", "--quiet", "--out", tmp_path / "grown"]
    code, out, err = cli("grow", net, *SMALL[:4], "--config", run / "best.toml", *grown)
    assert code == 0, err
    assert json.loads((tmp_path / "grown" / "config.json").read_text())["train"]["steps"] == 40


@pytest.mark.parametrize(
    "asked", [{}, {"copies": None, "max_depth": 5, "metric": "top5"}, {"split_seed": 3, "candidates": (1, 3)}]
)
def test_best_toml_gives_the_stairs_of_its_trial(make_setup, tmp_path, asked):
    import tomllib

    from depthprobe.config import GrowConfig, TrainConfig
    from depthprobe.probes.grow_setup import set_up
    from depthprobe.tuning.answer import config_text
    from depthprobe.tuning.confirm import Contender

    setup = make_setup(grow=asked)
    drawn = {"start": 0.11, "hold": 0.013, "cool": 0.2, "overlap": 2, "opening": "reverse", "mode": "bernoulli"}
    found = setup.settings({**drawn, "max_scale": 2.0, "init": "he", "lr": 0.0123, "new_lr_scale": 0.7})
    best = Contender(slot=5, settings=found, cost=1.0, searched=0.9, values=(0.9,), gain=None)
    file = tomllib.loads(config_text(setup, best))
    again = set_up(
        setup.base.model, setup.base.data_source, GrowConfig.from_json(file["grow"]),
        TrainConfig.from_json(file["train"]), timed=False,
    )  # fmt: skip
    expected = setup.place(found).plan
    assert again.bench.plan.lengths == expected.lengths
    assert again.bench.plan.cool == expected.cool
    assert again.bench.plan.edits == expected.edits
    assert again.bench.plan.opened == expected.opened
    assert again.bench.metric.name == setup.bench.metric.name
    assert again.bench.split(0).valid_id == setup.bench.split(0).valid_id
    assert again.bench.train.lr == 0.0123
    assert again.bench.train.new_lr_scale == 0.7


def test_a_finished_study_says_so_and_its_report_is_written_anew(answered, cli, net, tmp_path):
    run, _ = answered
    page = (run / "report.html").read_text()
    assert "src=" not in page.split("<script>")[0]
    assert json.loads((run / "recommendation.json").read_text())["sentence"][:20] in page
    code, _, err = cli("resume", run)
    assert code == 0
    assert "finished already" in err
    (run / "report.html").unlink()
    assert cli("report", run)[0] == 0
    assert (run / "report.html").stat().st_size > 100_000
    code, _, err = cli("report", run, run, "--out", tmp_path / "both.html")
    assert code == 2
    assert "stands alone" in err
    assert cli("worker", run, "--quiet")[0] == 0  # nothing is left


@pytest.fixture
def stopped(monkeypatch):
    """URLs of the storages that studies were to run in; each was made and interrupted at once."""
    from depthprobe.tuning.storage import open_storage
    from depthprobe.tuning.study import PLACE, ensure_study

    urls = []

    def stop(setup, folder, url, tell):
        urls.append(url)
        ensure_study(setup, open_storage(url, setup.config.heartbeat), folder.path / PLACE)
        raise KeyboardInterrupt

    monkeypatch.setattr("depthprobe.tuning.tune.run_tune", stop)
    return urls


def test_a_moved_or_copied_study_goes_on_in_its_own_database(cli, net, tmp_path, stopped):
    from depthprobe.cli.worker import _find
    from depthprobe.tuning.storage import local_url

    run, moved, other = tmp_path / "run", tmp_path / "moved", f"sqlite:///{tmp_path / 'other.db'}"
    assert cli("tune", net, *FEW, "--out", run, "--quiet")[0] == 130
    run.rename(moved)
    assert cli("resume", moved)[0] == 130
    assert cli("tune", net, *FEW, "--out", run, "--quiet", "--storage", other)[0] == 130
    assert cli("resume", run)[0] == 130
    assert stopped == [local_url(run), local_url(moved), other, other]
    assert _find(str(moved), None) == ("run", local_url(moved), moved)
    assert str(tmp_path) not in json.loads((moved / "config.json").read_text())["storage"]
    config = (moved / "config.json").read_text()
    (moved / "config.json").write_text(config.replace('"trials": 3', '"trials": 4'))
    code, _, err = cli("resume", moved)
    assert code == 2
    assert "config.json is not what it was" in err


@pytest.mark.slow
def test_names_in_the_page_are_escaped(cli, net, tmp_path):
    evil = tmp_path / "<b>net.py"
    evil.write_text(net.read_text())
    run = tmp_path / "run"
    assert cli("tune", evil, *FEW, "--out", run, "--quiet", "--study", "<script>alert(1)</script>")[0] == 0
    page = (run / "report.html").read_text()
    assert "<b>net" not in page
    assert "<script>alert(1)" not in page


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (["--pruner", "hyperband", "--trials", "6"], "pruned"),
        pytest.param(["--pruner", "wilcoxon"], None, marks=pytest.mark.slow),
        (["--objective", "accuracy,cost"], None),
        pytest.param(["--sampler", "random"], None, marks=pytest.mark.slow),
        pytest.param(["--sampler", "gp"], None, marks=pytest.mark.slow),
    ],
)
def test_every_way_to_search_ends(cli, net, tmp_path, words, state):
    run = tmp_path / "run"
    code, out, err = cli("tune", net, *FEW, *words, "--out", run, "--json", "--quiet")
    assert code == 0, err
    answer = json.loads(out)
    assert sum(answer["trials"][name] for name in ("complete", "pruned", "failed")) == answer["trials"]["total"]
    plots = json.loads((run / "plots.json").read_text())
    drawn = {"history", "importance", "slices", "parallel"}
    drawn |= {"pareto"} if "accuracy,cost" in words else {"intermediate"} if "--pruner" in words else set()
    assert set(plots) == (drawn if answer["trials"]["complete"] > 1 else set())
    if "accuracy,cost" in words:
        assert all(len(found) == 2 for found in values(run).values())
    if state:
        assert answer["trials"][state] >= 0


def test_another_model_or_data_is_refused_naming_both(cli, net, tmp_path, stopped):
    url, run = f"sqlite:///{tmp_path / 'shared.db'}", tmp_path / "run"
    assert cli("tune", net, *FEW, "--out", run, "--quiet", "--storage", url)[0] == 130
    mine = json.loads((run / "config.json").read_text())["model"]["sha256"]
    other = tmp_path / "other.py"
    other.write_text(net.read_text() + "\n# another\n")
    code, _, err = cli("worker", "run", "--storage", url, "--model", other)
    assert code == 2
    assert mine[:12] in err
    assert "another model source" in err
    assert err.count("sha256") == 2
    net.write_text(net.read_text() + "\n# changed\n")
    code, _, err = cli("worker", "run", "--storage", url)
    assert code == 2
    assert mine[:12] in err


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["worker", "nothing"], "--storage"),
        (["worker", "nothing", "--storage", "sqlite:///none.db"], "none.db"),
        (["worker", "nothing", "--storage", "no url"], "SQLAlchemy"),
        (["tune", "net.py", *FEW, "--storage", "no url"], "--storage"),
        (["tune", "net.py", *FEW, "--storage", "sqlite://"], "memory"),
        (["tune", "net.py", *FEW, "--storage", "magic://host/base"], "magic"),
        (["tune", "net.py", *FEW, "--storage", "sqlite:////proc/none/study.db"], "--storage"),
        (["tune", "net.py", *FEW, "--space", "none.toml"], "none.toml"),
        (["tune", "net.py", *FEW, "--space", "bad.toml"], "overlap"),
        (["tune", "net.py", *FEW, "--pruner", "hyperband", "--objective", "accuracy,cost"], "--pruner"),
        (["tune", "net.py", *FEW, "--trials", "0"], "--trials"),
        (["tune", "net.py", *FEW, "--config", "bad.toml"], "overlaps"),
        (["tune", "net.py", "--trials", "3"], "--dataset"),
    ],
)
def test_bad_input_creates_nothing(cli, net, tmp_path, words, culprit):
    (tmp_path / "bad.toml").write_text("overlaps = 3")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli(*words, *(["--out", "run"] if words[0] == "tune" else []))
    assert code == 2, err
    assert culprit in err
    assert out == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 6
    assert [p for p in sorted(tmp_path.rglob("*")) if "__pycache__" not in str(p)] == [
        p for p in before if "__pycache__" not in str(p)
    ]


@pytest.mark.parametrize(
    ("setting", "culprits"),
    [
        ("accumulate = 65", ["--accumulate", "at least 65"]),
        ("workers = 4", ["[train] workers", "tune --workers"]),
        ('log = ["tensorboard"]', ["[train] log", "best.toml"]),
        ('log = ["nonsense"]', ["[train] log", "nonsense"]),
    ],
)
def test_training_that_no_trial_can_have_is_refused_before_there_is_a_folder(cli, net, tmp_path, setting, culprits):
    (tmp_path / "train.toml").write_text(f"[train]\n{setting}\n")
    code, out, err = cli("tune", net, *FEW, "--config", "train.toml", "--out", "run")
    assert (code, out) == (2, "")
    assert all(culprit in err for culprit in culprits)
    assert len(err.splitlines()) <= 6
    assert not (tmp_path / "run").exists()


def test_a_study_inside_torchrun_is_refused_before_there_is_a_folder(cli, net, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    code, out, err = cli("tune", net, *FEW, "--out", "run")
    assert (code, out) == (2, "")
    assert "torchrun" in err
    assert "--workers N" in err
    assert not (tmp_path / "run").exists()


def test_a_taken_name_is_refused(cli, net, tmp_path, stopped):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    assert cli("tune", net, *FEW, "--out", "one", "--study", "same", "--storage", url, "--quiet")[0] == 130
    code, _, err = cli("tune", net, *FEW, "--out", "two", "--study", "same", "--storage", url, "--quiet")
    assert code == 2
    assert "same" in err
    assert not (tmp_path / "two").exists()
    code, _, err = cli("worker", "other", "--storage", url)
    assert code == 2
    assert "same" in err


def test_a_password_is_not_written_down():
    from depthprobe.tuning.storage import without_password

    assert without_password("postgresql+psycopg://me:secret@host/base") == "postgresql+psycopg://me@host/base"


def test_a_storage_that_breaks_off_says_how_to_go_on():
    import sqlalchemy

    from depthprobe.tuning.storage import StorageError, reporting_storage

    with pytest.raises(StorageError) as error, reporting_storage("sqlite:///study.db", "depthprobe resume run"):
        raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))
    assert "disk is full" in str(error.value)
    assert str(error.value).endswith("depthprobe resume run")
