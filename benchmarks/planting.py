"""What planted depth and planted width share: data, networks to plant something into, and a store, a line per case."""

import argparse
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import torch
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.inputs import open_dataset, split_dataset
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner, predict
from depthprobe.training.optimizers import lr_factor

STEPS, BATCH = 1500, 64
DATA = {"digits": {"spec": "digits"}, "mnist14": {"spec": "mnist", "limit_train": 10_000, "image_size": 14}}


def open_data(name: str, data_dir: Path | None):
    """(data, its one split)."""
    options = dict(DATA[name])
    data = open_dataset(options.pop("spec"), data_dir=None if name == "digits" else data_dir, **options)
    return data, split_dataset(data, split_seed=0, fold=0, folds=1)


def train(net: nn.Module, split, rate: float, seed: int) -> nn.Module:
    """Conventionally: cosine over STEPS updates."""
    torch.manual_seed(seed)
    accelerator = open_device("cpu", "no", 1)
    batches = Batches(split.train, BATCH, seed, False, accelerator.device)
    learner = Learner(net, batches, TrainConfig(lr=rate, steps=STEPS, batch_size=BATCH), accelerator)
    learner.run(STEPS, lambda step: lr_factor("cosine", step, STEPS))
    return learner.net


def accuracy(net: nn.Module, split) -> float:
    """On the test split."""
    return float((predict(net, split.test.x, torch.device("cpu")).argmax(1) == split.test.y).double().mean())


def run_cases(
    about: str,
    store: Path,
    cases: Sequence[tuple],
    name_of: Callable[[tuple], str],
    named: str,
    run_case: Callable[[tuple, Path | None, float | None], dict],
    say: Callable[[dict], str],
    tolerance: float | None = None,
) -> list[dict]:
    """The command line: run the cases that are asked for and not in the store yet; returns all rows of the store.

    about: the text of --help; named: the form of a case's name; say: a row in a line; tolerance: unless one is typed.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--cases", nargs="*", help=f"names, as {named}")
    parser.add_argument("--store", type=Path, default=store)
    parser.add_argument("--tolerance", type=float, default=tolerance, help=f"default: {tolerance or 'auto'}")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    done = {}
    if chosen.store.exists():
        done = {row["case"]: row for row in map(json.loads, chosen.store.read_text().splitlines())}
    for case in cases:
        if (chosen.cases and name_of(case) not in chosen.cases) or name_of(case) in done:
            continue
        row = run_case(case, chosen.data_dir, chosen.tolerance)
        row |= {"date": str(date.today()), "torch": torch.__version__}
        with chosen.store.open("a") as file:
            file.write(json.dumps(row) + "\n")
        done[row["case"]] = row
        print(say(row), flush=True)
    return list(done.values())
