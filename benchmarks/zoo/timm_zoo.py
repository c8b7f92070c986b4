"""timm's models: a seeded sample, stratified by family (timm's own modules), or all of them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from depthprobe.inputs.zoo import import_zoo
from zoo.cases import Case, picture, rank

SAMPLE, SEED = 150, 5
_SIDES = (64, 96, 112, 128, 160)  # 112: patches of 14


def cases(count: int | None = SAMPLE) -> list[Case]:
    """`count` models (None: all): one of every family, the rest in proportion to the families' sizes."""
    timm = import_zoo("timm", "coverage.py")
    families = {family: timm.list_models(module=family) for family in timm.list_modules()}
    chosen = {f: n for f, names in families.items() if (n := _draw(names, _share(families, f, count)))}
    return [_case(timm, family, name) for family, names in chosen.items() for name in sorted(names)]


def _share(families: dict[str, list[str]], family: str, count: int | None) -> int:
    """Largest remainders: one each, then what is left by size."""
    if count is None:
        return len(families[family])
    filled = {name: len(names) for name, names in families.items() if names}
    left, total = max(0, count - len(filled)), sum(filled.values())
    exact = {name: left * size / total for name, size in filled.items()}
    shares = {name: 1 + int(share) for name, share in exact.items()}
    rest = count - sum(shares.values())
    for name in sorted(exact, key=lambda name: (int(exact[name]) - exact[name], name))[: max(0, rest)]:
        shares[name] += 1
    return min(shares.get(family, 0), filled.get(family, 0))


def _draw(names: list[str], count: int) -> list[str]:
    return sorted(names, key=partial(rank, SEED))[:count]


def _case(timm: Any, family: str, name: str) -> Case:
    settings = _Settings(timm, name)
    return Case("timm", name, family, settings.build, settings.inputs)


class _Settings:
    """Builds the model at the smallest picture it takes: found by trying, when it is built first."""

    def __init__(self, timm: Any, name: str) -> None:
        self.timm, self.name = timm, name
        self.found: tuple[dict[str, Any], tuple[int, ...]] | None = None

    def build(self) -> nn.Module:
        if self.found is None:
            return self._search()
        return self.timm.create_model(self.name, pretrained=False, **self.found[0])

    def inputs(self, batch: int) -> torch.Tensor:
        if self.found is None:
            self._search()
        assert self.found is not None
        return picture(*self.found[1])(batch)

    def _search(self) -> nn.Module:
        problem: Exception | None = None
        for options, size in self._attempts():
            try:
                model = self.timm.create_model(self.name, pretrained=False, **options)
                _runs(model, picture(*size))
            except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, ZeroDivisionError) as error:
                if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
                    raise
                problem = error
                continue
            self.found = (options, size)
            return model
        raise RuntimeError(f"the model does not run on its own input size: {problem}")

    def _attempts(self) -> Iterator[tuple[dict[str, Any], tuple[int, ...]]]:
        """Without options where any size will do; with `img_size` where it is fixed; last, as it is."""
        config = self.timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        native = tuple(config.input_size) if config else (3, 224, 224)
        fixed = bool(config and config.fixed_input_size)
        for side in _SIDES:
            if side < native[1]:
                yield ({"img_size": side} if fixed else {}), (native[0], side, side)
        yield {}, native


def _runs(model: nn.Module, inputs: Any) -> None:
    """Forward in eval with two pictures and in train with four; BatchNorm's statistics are put back."""
    state = {name: value.clone() for name, value in model.named_buffers()}
    with torch.no_grad():
        model.eval()(inputs(2))
        model.train()(inputs(4))
        for name, value in model.named_buffers():
            if name in state and state[name].shape == value.shape:
                value.copy_(state[name])
