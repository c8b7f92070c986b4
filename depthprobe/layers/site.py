"""Site: a unit with several arguments or outputs, in its place, with its gate and its gated copies."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.layers.gate import Gate, GateChain
from depthprobe.layers.wiring import Arguments, Wiring, get_leaf, put_argument, put_leaf


class BlockGate(Gate):
    """A gate around a unit that takes and returns more than one tensor; called like the unit.

    While training per sample, every argument that follows the batch is split with the stream, and what comes out is
    joined along its own batch dimension. At evaluation, or with units whose samples depend on each other, the stream
    is blended; what the unit returns beside it is then the unit's.
    """

    def __init__(self, inside: nn.Module, wiring: Wiring, **settings: Any) -> None:
        super().__init__(inside, **settings)
        self.wiring = wiring

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The unit's own arguments; returns what the unit returns."""
        p, arguments, wiring = self.ratio, (args, kwargs), self.wiring
        if p >= 1.0:
            return self.inside(*args, **kwargs)
        if p <= 0.0:
            return self._skipped(arguments)
        if self.splits(get_leaf(arguments, wiring.stream).shape[wiring.batch]):
            return self._split(arguments)
        old = self.around(get_leaf(arguments, wiring.stream))
        whole = self._inside(arguments)
        return put_leaf(whole, wiring.out, self.mix_streams(get_leaf(whole, wiring.out), old))

    def mix_streams(self, new: Tensor, old: Tensor) -> Tensor:
        """Both paths of the whole batch as the ratio says, where samples are not split."""
        return torch.lerp(old, new, self.ratio) if self.mix.mode == "prefix" else self.mix(new, old)

    def _split(self, arguments: Arguments) -> Any:
        wiring = self.wiring
        batch = get_leaf(arguments, wiring.stream).shape[wiring.batch]
        k = self.skip(batch)
        if k == batch:
            return self._skipped(arguments)
        if k == 0:
            return self._weighed_inside(arguments, batch)
        entered = self._weighed_inside(wiring.split(arguments, k, batch - k), batch)
        return wiring.join(self._skipped(wiring.split(arguments, 0, k), entered), entered)

    def _skipped(self, arguments: Arguments, like: Any = None) -> Any:
        """What a skipped unit returns; a recurrent state stays what was handed in, zeros if nothing was."""
        x = get_leaf(arguments, self.wiring.stream)
        out = self.wiring.around(self.around(x), arguments)
        return self._with_states(out, arguments, x) if self.wiring.states else out

    def _with_states(self, out: Any, arguments: Arguments, x: Tensor) -> Any:
        given = get_leaf(arguments, (0, 1))
        given = get_leaf(arguments, (1, "hx")) if given is None else given
        if given is None:
            given = empty_state(self.inside, x, self.wiring.batch)
        return (out[0], given)

    def _inside(self, arguments: Arguments) -> Any:
        if self.spoils:
            x = get_leaf(arguments, self.wiring.stream)
            arguments = put_argument(arguments, self.wiring.stream, x.clone())
        return self.inside(*arguments[0], **arguments[1])

    def _weighed_inside(self, arguments: Arguments, batch: int) -> Any:
        with self.weighed(batch):
            return self._inside(arguments)


class CopyGate(BlockGate):
    """A gated copy behind a unit: continues what the unit returned, with the unit's other arguments."""

    def extend(self, output: Any, arguments: Arguments) -> Any:
        """output: what the unit (or the copy before) returned; the same with the copy's stream, and state, in it."""
        p, wiring = self.ratio, self.wiring
        x = get_leaf(output, wiring.out)
        if p <= 0.0:
            return output
        arguments = ((x,), {}) if wiring.states else wiring.following(arguments, output)
        batch = x.shape[wiring.batch]
        if p < 1.0 and not self.splits(batch):
            return put_leaf(output, wiring.out, self.mix_streams(get_leaf(self._inside(arguments), wiring.out), x))
        k = 0 if p >= 1.0 else self.skip(batch)
        if k == batch:
            return output
        entering = wiring.split(arguments, k, batch - k) if k else arguments
        return self._merge(output, self._weighed_inside(entering, batch), k)

    def _merge(self, output: Any, new: Any, k: int) -> Any:
        wiring = self.wiring
        x, stream = get_leaf(output, wiring.out), get_leaf(new, wiring.out)
        stream = stream if k == 0 else torch.cat((x.narrow(wiring.batch, 0, k), stream), wiring.batch)
        if wiring.states:
            return (stream, last_layer(output[1], new[1], k))
        return put_leaf(output, wiring.out, stream)


class _InPlace(nn.Module):
    """Stands where a unit stood. Attributes it lacks are the unit's: some models read them from outside."""

    unit: nn.Module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            unit = self._modules["unit"]
            return getattr(unit.inside if isinstance(unit, Gate) else unit, name)


class PlainSite(_InPlace):
    """A unit that takes and returns one tensor (or its gate), then its gated copies."""

    def __init__(self, unit: nn.Module, copies: Sequence[Gate]) -> None:
        super().__init__()
        self.unit, self.copies = unit, GateChain(copies)

    def forward(self, input: Tensor) -> Tensor:
        """input: (B, ...) the unit's, named as torch's layers name it; returns the unit's output shape."""
        return self.copies(self.unit(input))  # type: ignore[no-any-return]


class Site(_InPlace):
    """A unit (or its gate), then its gated copies, which continue what the unit returned."""

    def __init__(self, unit: nn.Module, copies: Sequence[CopyGate]) -> None:
        super().__init__()
        self.unit, self.copies = unit, nn.ModuleList(copies)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The unit's own arguments; returns what the unit returns."""
        output = self.unit(*args, **kwargs)
        for copy in self.copies:
            output = copy.extend(output, (args, kwargs))  # type: ignore[operator]
        return output


def empty_state(rnn: nn.Module, x: Tensor, batch: int) -> Any:
    """The state that torch starts `rnn` with: zeros (layers * directions, B, size)."""
    count = int(rnn.num_layers) * (2 if rnn.bidirectional else 1)  # type: ignore[arg-type]
    size = int(getattr(rnn, "proj_size", 0) or rnn.hidden_size)  # type: ignore[arg-type]
    hidden = x.new_zeros(count, x.shape[batch], size)
    if isinstance(rnn, nn.LSTM):
        return hidden, x.new_zeros(count, x.shape[batch], rnn.hidden_size)
    return hidden


def last_layer(state: Any, new: Any, k: int) -> Any:
    """The state (layers, B, size) with the last layer's part, of all samples from `k` on, taken from `new`."""
    if isinstance(state, tuple):
        return tuple(last_layer(a, b, k) for a, b in zip(state, new, strict=True))
    kept = state.shape[0] - new.shape[0]
    top = new if k == 0 else torch.cat((state[kept:, :k], new), 1)
    return torch.cat((state[:kept], top)) if kept else top
