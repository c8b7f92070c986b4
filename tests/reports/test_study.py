"""What tune's page says of the trainings on fresh seeds: a value, that it diverged, or that it was lost."""

import pytest

from depthprobe.reports.study import _confirmed, _tiles

SEEDS = [11, 12, 13]


def row(values, lost=(), value=None, trial=0):
    return {
        "trial": trial, "value": value, "values": values, "lost": list(lost), "gain": None, "searched": 0.9,
        "cost": 1.0, "settings": {"grow": {}, "train": {}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "mean", "each"),
    [
        (row([], SEEDS), "lost", ("lost", "lost", "lost")),
        (row([None, None, None]), "diverged", ("diverged", "diverged", "diverged")),
        (row([0.5, None], [11], value=0.5), "0.5000", ("lost", "0.500", "diverged")),
        (row([None], [11, 13]), "diverged", ("lost", "diverged", "lost")),
        (row([0.5, 0.25, 0.75], value=0.5), "0.5000", ("0.500", "0.250", "0.750")),
    ],
)
def test_a_training_lost_with_its_worker_is_not_said_to_have_diverged(found, mean, each):
    view = _confirmed(found, 0, SEEDS)
    assert (view.mean, view.each) == (mean, each)
    trials = {"total": 3, "complete": 3, "pruned": 0, "failed": 0, "retried": 0}
    tiles = _tiles({"trials": trials, "best": found, "default": found, "cost": {"trainings": 2.0}})
    assert [tile.value for tile in tiles[:2]] == [mean, mean]
