"""Operating test of the deciding rule: simulated probes with known answers go through the real `decide`.

Run: python benchmarks/rule.py --draws 500 --seed 0 [--curves flat rising] [--disagreement 0.02 ...] Every
row uses its own automatic tolerance. `wrong`: not inconclusive and the regret exceeds the tolerance, or
`deepen` where the current depth, or the control, is as good as anything. `excess`: mean of advised minus
true depth over answered draws; `*` marks rows whose answer is resolvable (no candidate's regret between 0.5
and 1.5 tolerances, which is about one standard error either side). `covers`: share of 95 % resample ranges
holding the true depth (--resamples).
"""

import argparse
import time

from depthprobe.analysis.operating import CURVES, Setting, World, run_row

SETTINGS = (
    Setting(examples=360, seeds=3, folds=True),
    Setting(examples=360, seeds=5, folds=True),
    Setting(examples=1080, seeds=3, folds=False),
    Setting(examples=1080, seeds=5, folds=False),
    Setting(examples=5000, seeds=3, folds=False),
    Setting(examples=5000, seeds=5, folds=False),
)


def main() -> None:
    world = World()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--curves", nargs="*", default=list(CURVES), choices=list(CURVES))
    parser.add_argument("--tolerance", type=float, default=None, help="fraction; default: automatic")
    parser.add_argument("--resamples", type=int, default=0)
    for name in ("disagreement", "shared", "seed_sd", "seed_by_depth_sd", "control_sd"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=float, default=getattr(world, name))
    chosen = parser.parse_args()
    world = World(
        disagreement=chosen.disagreement,
        shared=chosen.shared,
        seed_sd=chosen.seed_sd,
        seed_by_depth_sd=chosen.seed_by_depth_sd,
        control_sd=chosen.control_sd,
    )
    started = time.perf_counter()
    print(f"{'data':18} {'tol':>5} {'curve':12} deepen  keep inconcl  wrong excess")
    for setting in SETTINGS:
        for name in chosen.curves:
            row = run_row(
                name,
                setting,
                draws=chosen.draws,
                rng_seed=chosen.seed,
                world=world,
                tolerance=chosen.tolerance,
                resamples=chosen.resamples,
            )
            covers = f"  covers {row.covers:.3f}" if row.covers is not None else ""
            print(
                f"{setting.name:18} {100 * row.tolerance:5.2f} {name:12} {row.deepen:6.3f} {row.keep:5.3f} "
                f"{row.inconclusive:7.3f} {row.wrong:6.3f} {row.excess:6.2f}{' *'[row.resolvable]}{covers}",
                flush=True,
            )
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
