"""What blocks return beside the stream and nobody reads: a bypass need not make it."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from depthprobe.graph.blocks import Block, Blocks
from depthprobe.graph.example import Example, evaluating
from depthprobe.graph.purity import same_output
from depthprobe.layers.wiring import Wiring, map_leaves


def drop_unused(model: nn.Module, example: Example, blocks: Blocks, output: Any) -> Blocks:
    """The blocks without the outputs that change nothing when None takes their place (attention weights, usually).

    output: what the model gives for `example` from the random state 0. All are tried at once, then, if that fails, one
    block after another. The model is left as found.
    """
    asked = [b for b in blocks.found if b.wiring.made and not b.wiring.states]
    if not asked:
        return blocks
    unused = asked if _same_without(model, example, asked, output) else []
    unused = unused or [b for b in asked if _same_without(model, example, [b], output)]
    names = {block.name for block in unused}
    return replace(blocks, found=tuple(_lighter(b) if b.name in names else b for b in blocks.found))


def _lighter(block: Block) -> Block:
    wiring = block.wiring
    blank = map_leaves(lambda path, leaf: None if path in wiring.made else leaf, wiring.blank)
    return replace(block, wiring=replace(wiring, made=(), blank=blank))


def _same_without(model: nn.Module, example: Example, blocks: Iterable[Block], output: Any) -> bool:
    def without(wiring: Wiring, returned: Any) -> Any:
        return map_leaves(lambda path, leaf: None if path in wiring.made else leaf, returned)

    with ExitStack() as stack:
        for block in blocks:
            module = model.get_submodule(block.name)
            hook = module.register_forward_hook(lambda *call, wiring=block.wiring: without(wiring, call[2]))
            stack.callback(hook.remove)
        try:
            with evaluating(model):
                torch.manual_seed(0)
                return same_output(model(*example[0], **example[1]), output)
        except Exception:  # noqa: BLE001  # whatever a forward raises that misses what it reads
            return False
