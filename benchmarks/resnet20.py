"""ResNet-20 on CIFAR-10: what `shrink` and `width` leave of it, and torch-pruning's networks of the same latency.

Run: python benchmarks/resnet20.py --data-dir DATA [--runs FOLDER] [--steps 6000] [--probe-steps 2000] ...  (resumable)

One network is trained, both probes run from it, and torch-pruning cuts it (uniformly, by group magnitude and by group
Taylor importance) to the measured latency of each answer. All are fine-tuned on the same examples for as many updates
as the probe's network saw; torch-pruning at the better of two rates by validation accuracy. Test accuracy of every
seed; differences with 95 % intervals over seeds and examples. Latency is the CPU time of one thread for a batch of 64,
networks in turns, so that a busy machine does not decide. Images are pooled (--image-size).
"""

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
import torch
from resnet20_model import resnet20

from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.verified import compare_verified
from depthprobe.config import ShrinkConfig, WidthConfig
from depthprobe.graph.costs import count_macs, count_parameters
from depthprobe.inputs import split_dataset
from depthprobe.probes import runner
from depthprobe.probes.listener import Listener
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.own import Asked
from depthprobe.probes.profiles import skeleton
from depthprobe.probes.setup import DataSource, recipe_network
from depthprobe.probes.shrink import create_shrink, reopen_shrink, run_shrink, set_up_shrink
from depthprobe.probes.shrink_whole import read_whole
from depthprobe.probes.trained import open_trained
from depthprobe.probes.width import create_width, reopen_width, run_width, set_up_width
from depthprobe.probes.width_arm import is_better
from depthprobe.runs import RunFolder
from truth.pruned import at_latency, fine_tune, measure_together
from truth.sweep import fit, outputs

MODEL = Path(__file__).with_name("resnet20_model.py")
STORE = Path(__file__).parent / "results" / "resnet20.json"
VERBS = {
    "shrink": (ShrinkConfig, set_up_shrink, create_shrink, reopen_shrink, run_shrink),
    "width": (WidthConfig, set_up_width, create_width, reopen_width, run_width),
}
SHARES = (1.0, 0.3)  # of the rate of training: those of the two probes, both tried on torch-pruning's networks


def kept(folder: Path, kind: str, seed: int, opened: int) -> Path:
    """Where the measured network of an arm lies."""
    return folder / "checkpoints" / f"{kind} {opened} seed {seed}.pt"


class KeepAll(RunNotebook):
    """Also saves the measured networks of the other seeds, which the product throws away."""

    def keep(self, arm, opened, net) -> None:
        super().keep(arm, opened, net)
        torch.save(net.state_dict(), kept(self.folder.path, arm.kind, arm.seed, opened))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs") / "resnet20")
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--limit-train", type=int, default=20_000)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6000, help="updates of the network that everything starts from")
    parser.add_argument("--probe-steps", type=int, default=2000, help="--steps of the two probes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--round-to", type=int, default=4)
    parser.add_argument("--tolerance", type=float, help="default: auto")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    runner.RunNotebook = KeepAll
    source = DataSource(
        spec="cifar10",
        data_dir=str(chosen.data_dir.absolute()),
        limit_train=chosen.limit_train,
        image_size=chosen.image_size,
    )
    split = split_dataset(source.open(), split_seed=0, fold=0, folds=1)
    base = trained(chosen, split)
    rows = [describe("ResNet-20", base, base, split)]
    print(say(rows[0]), flush=True)
    for verb in VERBS:
        rows += compare(verb, chosen, source, split, base)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(chosen).items()}
    settings = {name: value for name, value in settings.items() if name not in ("data_dir", "runs", "store")}
    about = {"date": str(date.today()), "torch": torch.__version__, "settings": settings}
    chosen.store.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


def trained(chosen, split):
    """The network that everything starts from; kept as a plain state dict."""
    torch.manual_seed(0)
    net, path = resnet20(), chosen.runs / "trained.pt"
    if path.exists():
        net.load_state_dict(torch.load(path, weights_only=True))
        return net
    path.parent.mkdir(parents=True, exist_ok=True)
    net = fit(net, split, 0, chosen.lr, True, chosen.steps)[0].net
    torch.save(net.state_dict(), path)
    return net


def compare(verb: str, chosen, source, split, base) -> list[dict]:
    """The probe's answer, and torch-pruning's at its latency."""
    setup, answer = probe(verb, chosen, source)
    opened, label = pick(setup.bench.plan, answer)
    nets = [load(verb, setup, opened, rank, split) for rank in range(chosen.seeds)]
    ours = describe(f"{verb}: {label}", base, nets[0], split)
    ours |= {"sentence": answer["sentence"], **scores_of(nets, split)}
    print(say(ours), flush=True)
    updates, rows = updates_seen(verb, setup, opened), [ours]
    for importance in ("magnitude", "taylor"):
        cut, ratio = at_latency(base, nets[0], split, importance, chosen.round_to)
        name = f"{verb}-{importance}"
        tuned = {
            share: [
                fine_tune(cut, split, seed, share * chosen.lr, updates, chosen.runs / f"{name}-{share}-{seed}.pt")
                for seed in range(chosen.seeds)
            ]
            for share in SHARES
        }
        best = max(SHARES, key=lambda share: sum(accuracy(net, split.valid) for net in tuned[share]))
        row = describe(f"torch-pruning, group {importance}, ratio {ratio:.2f}", base, cut, split)
        row |= {"rate": best * chosen.lr, "updates": updates, **scores_of(tuned[best], split)}
        row["ours_minus_this"] = difference(tuned[best], nets, split)
        rows.append(row)
        print(say(row), flush=True)
    return rows


def probe(verb: str, chosen, source):
    """(setup, recommendation) of a product run into its folder, gone on with where it was interrupted."""
    config, set_up, create, reopen, run = VERBS[verb]
    path = chosen.runs / verb
    if not path.exists():
        model, source = open_trained(chosen.runs / "trained.pt", f"{MODEL}:resnet20", {}, source)
        typed = {"steps": chosen.probe_steps, "threads": 1, "device": "cpu"}
        typed["lr"] = chosen.lr * config().lr_share
        settings = {"seeds": chosen.seeds, "tolerance": chosen.tolerance}
        settings |= {"round_to": chosen.round_to} if verb == "width" else {}
        setup = set_up(model, source, config(**settings), typed, asked=Asked(typed=frozenset(typed)))
        with create(setup, path) as folder:
            run(setup, folder, Listener())
    with RunFolder.open(path, write=True) as folder:
        setup = reopen(folder)
        if not folder.finished:
            run(setup, folder, Listener())
        return setup, folder.read_json("recommendation.json")


def updates_seen(verb: str, setup, opened: int) -> int:
    """Updates that the candidate had when it was measured, and the whole network that it was made of before."""
    plan = setup.bench.plan
    with RunFolder.open(chosen_folder(setup)) as folder:
        records = list(folder.records())
    first = is_better(records) if verb == "width" else read_whole(setup, records).better
    return (plan.updates if verb == "width" else plan.seen(opened)) + (plan.updates if first else 0)


def pick(plan, answer) -> tuple[int, str]:
    """(open gates or percent of the network to compare, how it was chosen): the advised one, or the best guess; where
    that is the network as it is, the middle one of the candidates that all seeds trained, said so.
    """
    part, key = (answer["width"], "ratio") if answer["command"] == "width" else (answer["depth"], "depth")
    sizes = [row[key] for row in part["candidates"]]
    if answer["command"] == "width":
        places = {size: plan.opened[-len(sizes) :][rank] for rank, size in enumerate(sizes)}
    else:
        places = {size: plan.opened[plan.depths.index(size)] for size in sizes}
    for word, label in (("recommended", "advised"), ("best_guess", "best guess, not advised")):
        if part[word] is not None and part[word] < part["current"]:
            return places[part[word]], label
    return places[sizes[(len(sizes) - 1) // 2]], "in the middle of what was trained, not advised"


def load(verb: str, setup, opened: int, rank: int, split):
    """The cooled network of one seed."""
    plan, net, x, kind = setup.bench.plan, setup.model.build(), split.train.x[:2], kind_of(setup, opened)
    if verb == "width":
        net = skeleton(net, plan.units, plan.widths[opened], x)
    else:
        net = recipe_network(net, plan.recipe(opened, rank), x)
    net.load_state_dict(torch.load(kept(chosen_folder(setup), kind, setup.seeds[rank], opened), weights_only=True))
    return net


def kind_of(setup, opened: int) -> str:
    """The kind of arm that every seed ran for this candidate (a first seed may have tried two starts)."""
    ran = [
        {path.name.partition(f" {opened} seed ")[0] for path in (chosen_folder(setup) / "checkpoints").glob(pattern)}
        for pattern in (f"* {opened} seed {seed}.pt" for seed in setup.seeds)
    ]
    return max(set.intersection(*ran))


def chosen_folder(setup) -> Path:
    """Where the probe's run folder lies: beside the checkpoint."""
    verb = "width" if isinstance(setup.config, WidthConfig) else "shrink"
    return Path(setup.model.weights.path).parent / verb


def describe(name: str, base, net, split) -> dict:
    """Size and latency against the network as it is, measured in turns."""
    x = split.test.x[:64]
    before, after = measure_together([base, net], x)
    macs, whole = count_macs(net, x[:2]), count_macs(base, x[:2])
    return {
        "name": name, "params": count_parameters(net), "macs": macs, "latency_ms": round(after, 3),
        "macs_saved": round(1 - macs / whole, 3), "time_saved": round(1 - after / before, 3),
        "test": [accuracy(net, split.test)],
    }  # fmt: skip


def scores_of(nets, split) -> dict:
    return {part: [accuracy(net, getattr(split, part)) for net in nets] for part in ("valid", "test")}


def accuracy(net, part) -> float:
    return float((outputs(net, part.x) == part.y).double().mean())


def difference(theirs, ours, split) -> dict:
    """Test accuracy of ours minus theirs, with its 95 % interval."""
    right = [
        np.stack([(outputs(net, split.test.x) == split.test.y).double().numpy() for net in pair])
        for pair in zip(theirs, ours, strict=True)
    ]
    scores = [
        SeedScores(seed=rank, candidates=pair, control=pair[0], examples="test") for rank, pair in enumerate(right)
    ]
    return compare_verified(scores, larger=False, tolerance=0.01, confidence=0.95)["difference"]


def say(row: dict) -> str:
    test = " ".join(f"{100 * value:.2f}" for value in row["test"])
    text = (
        f"{row['name']:45s} {row['params']:>8,} parameters {row['macs']:>11,} MACs ({-100 * row['macs_saved']:+.0f} %) "
        f"{row['latency_ms']:6.2f} ms ({-100 * row['time_saved']:+.0f} %)  test {test}"
    )
    if "ours_minus_this" in row:
        gap = {name: 100 * value for name, value in row["ours_minus_this"].items()}
        text += f"  ours minus this {gap['value']:+.2f} ({gap['low']:+.2f} to {gap['high']:+.2f})"
    return text


if __name__ == "__main__":
    main()
