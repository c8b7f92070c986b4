"""The judgement as text: one block per case, then the bars."""

from importlib.metadata import version

import numpy as np

from truth.cases import DEPTHS
from truth.verdicts import READINGS, Judgement


def block(j: Judgement) -> str:
    """One case: both truths with intervals, the probe, its bias, and the peers."""
    lines = [f"{j.case.name}   rate {j.rate:g}   tolerance {100 * j.answer.tolerance:.2f} points"]
    lines.append(f"  {'hidden layers':22s}" + "".join(f"{depth:>18d}" for depth in DEPTHS))
    for name, truth in j.truths.items():
        ends = zip(truth.means, truth.low, truth.high, strict=True)
        cells = [f"{100 * mean:.1f} ({100 * low:.1f}-{100 * high:.1f})" for mean, low, high in ends]
        lines.append(f"  {name:22s}" + "".join(f"{cell:>18s}" for cell in cells))
        lines.append(f"  {'  recipe':22s}" + "".join(f"{recipe:>18s}" for recipe in truth.recipes))
        if any(truth.failed):
            lines.append(f"  {'  seeds that failed':22s}" + "".join(f"{count:>18d}" for count in truth.failed))
    for walk, values in j.curves.items():
        lines.append(f"  {'probe, ' + walk:22s}" + "".join(f"{100 * value:>18.1f}" for value in values))
    lines.append(
        "  the rule on the sweep: "
        + "; ".join(f"{name}: {truth.clears} (best guess {truth.guess})" for name, truth in j.truths.items())
    )
    lines.append(f"  probe: {j.answer.verdict}, {j.probe.depth:.0f} hidden; " + _score(j, j.probe))
    for (walk, reading), (mean, low, high) in j.bias.items():
        if np.isnan(mean):  # a probe of other seeds than the sweep's: nothing to pair
            continue
        zero = "" if low <= 0 <= high else "   NOT zero"
        lines.append(
            f"  bias of the way {walk} against {reading}: "
            f"{100 * mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}){zero}"
        )
    lines += [f"  {name}: {peer.depth:g} hidden; " + _score(j, peer) for name, peer in j.peers.items()]
    return "\n".join(lines)


def _score(j: Judgement, one) -> str:
    said = [f"{name} regret {100 * one.regret[name]:.2f} {'hit' if one.hit[name] else 'MISS'}" for name in READINGS]
    return f"cost {one.cost:.2f} of the sweep; " + ", ".join(said)


def bars(judgements: list[Judgement]) -> str:
    """How many cases hold, bar by bar."""
    count = len(judgements)
    lines = []
    for name in READINGS:
        hits = sum(j.probe.hit[name] for j in judgements)
        peers = ", ".join(f"{peer} {sum(j.peers[peer].hit[name] for j in judgements)}" for peer in judgements[0].peers)
        lines.append(f"{name}: the probe hits {hits} of {count}; {peers}")
    costs = [j.probe.cost for j in judgements]
    lines.append(f"cost of the probe: {min(costs):.2f} to {max(costs):.2f} of the sweep, mean {np.mean(costs):.2f}")
    for name in READINGS:
        better = sum(
            j.probe.cost < j.peers["bisection"].cost
            and j.probe.regret[name] <= max(j.peers["bisection"].regret[name], 0.0) + 1e-12
            for j in judgements
        )
        within = sum(
            j.probe.cost < j.peers["bisection"].cost
            and j.probe.regret[name] <= max(j.peers["bisection"].regret[name], j.answer.tolerance)
            for j in judgements
        )
        lines.append(
            f"cheaper than bisection at equal or smaller regret ({name}): {better} of {count}"
            f"; counting a regret within the tolerance as equal: {within}"
        )
    cheaper = sum(j.probe.cost < j.peers["optuna"].cost for j in judgements)
    lines.append(f"cheaper than Optuna: {cheaper} of {count}")
    for peer in judgements[0].peers:
        lines.append(f"mean cost of {peer}: {np.mean([j.peers[peer].cost for j in judgements]):.2f}")
    return "\n".join(lines)


def heading(command: str, date: str) -> str:
    """What made the table."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("depthprobe", "torch", "optuna", "numpy", "scipy"))
    return f"{command}\n{date}; {packages}; CPU, one thread per training"
