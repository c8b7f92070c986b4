"""The operators as PyTorch knows them: schema, fake, autograd, and the plain-PyTorch reference behind every device.

A kernel for CUDA replaces the reference under these very names when it is loaded (`kernels.py`). Operators never return
an input, so the functions of `depthprobe.ops` handle the exact ends before. The seed is an integer; the offset an int64
scalar on the CPU, because an integer that changes at every step would be compiled anew at every step.
Results are dense: channels_last where the first input is, row-major elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from depthprobe.ops import reference
from depthprobe.ops.adjoint import resize_adjoint
from depthprobe.ops.draws import draw_mask, mask_shape

_LIBRARY = torch.library.Library("depthprobe", "DEF")  # type: ignore[no-untyped-call]
_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def _define(schema: str, run: Callable[..., Any], fake: Callable[..., Any]) -> None:
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]
    name = schema.partition("(")[0]
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"depthprobe::{name}", fake, lib=_LIBRARY)


def _differentiate(name: str, backward: Callable[..., Any], remember: Callable[..., None]) -> None:
    torch.library.register_autograd(f"depthprobe::{name}", backward, setup_context=remember, lib=_LIBRARY)


def memory_format(like: Tensor) -> torch.memory_format:
    """channels_last (2-d or 3-d) where `like` is that and not row-major, else contiguous."""
    last = _FORMATS.get(like.ndim)
    if last is None or like.is_contiguous() or not like.is_contiguous(memory_format=last):
        return torch.contiguous_format
    return last


def _fresh(out: Tensor, like: Tensor, *inputs: Tensor) -> Tensor:
    """`out` in the layout of `like`, in memory of its own."""
    layout = memory_format(like)
    if any(out.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for x in inputs):
        return out.clone(memory_format=layout)
    return out.contiguous(memory_format=layout)


def _empty(like: Tensor, shape: Sequence[int], layout: Tensor | None = None) -> Tensor:
    return like.new_empty(shape).contiguous(memory_format=memory_format(like if layout is None else layout))


# dropin_prefix ------


def _prefix(new_part: Tensor, old: Tensor, k: int, dim: int) -> Tensor:
    return _fresh(reference.dropin_prefix(new_part, old, k, dim), old, new_part, old)


def _prefix_backward(grad: Tensor, k: int, dim: int) -> Tensor:
    """Gradient of `old`: that of its first `k` entries, zero elsewhere."""
    out = torch.zeros_like(grad, memory_format=memory_format(grad))
    k = min(max(k, 0), grad.shape[dim])
    out.narrow(dim, 0, k).copy_(grad.narrow(dim, 0, k))
    return out


def _remember_prefix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, old, k, dim = inputs
    ctx.k, ctx.dim = min(max(k, 0), old.shape[dim]), dim


def _remember_projection(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.k, ctx.dim = inputs


def _prefix_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    new = old = None
    if ctx.needs_input_grad[0]:
        new = grad.narrow(ctx.dim, ctx.k, grad.shape[ctx.dim] - ctx.k)
    if ctx.needs_input_grad[1]:
        old = torch.ops.depthprobe.dropin_prefix_backward(grad, ctx.k, ctx.dim)
    return new, old, None, None


_define(
    "dropin_prefix(Tensor new_part, Tensor old, SymInt k, int dim) -> Tensor",
    _prefix,
    lambda new_part, old, k, dim: _empty(old, old.shape),
)
_define(
    "dropin_prefix_backward(Tensor grad, SymInt k, int dim) -> Tensor",
    _prefix_backward,
    lambda grad, k, dim: _empty(grad, grad.shape),
)
_differentiate("dropin_prefix", _prefix_gradients, _remember_prefix)
_differentiate(  # a projection is its own adjoint
    "dropin_prefix_backward",
    lambda ctx, grad: (torch.ops.depthprobe.dropin_prefix_backward(grad, ctx.k, ctx.dim), None, None),
    _remember_projection,
)


# dropin_bernoulli ------

_DRAW = "int seed, Tensor offset, int threshold, int entries, float scale_new, float scale_old"


def _mask(like: Tensor, seed: int, offset: Tensor, threshold: int, entries: int) -> Tensor:
    return draw_mask(like.shape, seed, int(offset), threshold, entries).to(like.device)


def _bernoulli(
    new: Tensor, old: Tensor, seed: int, offset: Tensor, threshold: int, entries: int, *scales: float
) -> Tensor:
    out = reference.dropin_masked(new, old, _mask(new, seed, offset, threshold, entries), *scales)
    return _fresh(out, new)


def _bernoulli_backward(
    grad: Tensor, seed: int, offset: Tensor, threshold: int, entries: int, scale_new: float, scale_old: float
) -> tuple[Tensor, Tensor]:
    """Gradients of `new` and `old`, from the same draws."""
    mask, zero = _mask(grad, seed, offset, threshold, entries), grad.new_zeros(())
    new = torch.where(mask, grad if scale_new == 1.0 else grad * scale_new, zero)
    old = torch.where(mask, zero, grad if scale_old == 1.0 else grad * scale_old)
    return _fresh(new, grad), _fresh(old, grad)


def _remember_draw(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *_, seed, offset, threshold, entries, scale_new, scale_old = inputs
    ctx.save_for_backward(offset)
    ctx.draw = (seed, threshold, entries, scale_new, scale_old)


def _with_offset(ctx: Any) -> tuple[Any, ...]:
    seed, *others = ctx.draw
    return (seed, ctx.saved_tensors[0], *others)


def _bernoulli_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    new, old = torch.ops.depthprobe.dropin_bernoulli_backward(grad, *_with_offset(ctx))
    return (new, old, *[None] * 6)


def _bernoulli_second(ctx: Any, new: Tensor, old: Tensor) -> tuple[Tensor | None, ...]:
    return (torch.ops.depthprobe.dropin_bernoulli(new, old, *_with_offset(ctx)), *[None] * 6)


_define(  # on the CPU: what compiled code cannot trace; the selection itself it fuses with its neighbours
    "dropin_draw(SymInt[] shape, int seed, Tensor offset, int threshold, int entries) -> Tensor",
    lambda shape, seed, offset, threshold, entries: draw_mask(shape, seed, int(offset), threshold, entries),
    lambda shape, seed, offset, threshold, entries: torch.empty(
        mask_shape(shape, entries), dtype=torch.bool, device="cpu"
    ),
)
_define(
    f"dropin_bernoulli(Tensor new, Tensor old, {_DRAW}) -> Tensor",
    _bernoulli,
    lambda new, *rest: _empty(new, new.shape),
)
_define(
    f"dropin_bernoulli_backward(Tensor grad, {_DRAW}) -> (Tensor, Tensor)",
    _bernoulli_backward,
    lambda grad, *rest: (_empty(grad, grad.shape), _empty(grad, grad.shape)),
)
_differentiate("dropin_bernoulli", _bernoulli_gradients, _remember_draw)
_differentiate("dropin_bernoulli_backward", _bernoulli_second, _remember_draw)


# resize, and the prefix of a resized bypass ------


def _resize(x: Tensor, size: Sequence[int], channels: int, choice: Tensor) -> Tensor:
    return _fresh(reference.resize(x, size, channels, choice), x, x)


def _resize_backward(grad: Tensor, shape: Sequence[int], choice: Tensor) -> Tensor:
    """The adjoint of `resize` for an input of `shape`; samples beyond those of `grad` were not used: zero."""
    return _fresh(resize_adjoint(grad, shape, choice), grad, grad)


def _remember_resize(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.shape = inputs[0].shape
    ctx.save_for_backward(inputs[3])


def _resize_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, None]:
    return torch.ops.depthprobe.resize_backward(grad, ctx.shape, ctx.saved_tensors[0]), None, None, None


def _remember_adjoint(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, _, choice = inputs
    ctx.shape = grad.shape
    ctx.save_for_backward(choice)


def _adjoint_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    batch, channels, *size = ctx.shape
    return torch.ops.depthprobe.resize(grad.narrow(0, 0, batch), size, channels, ctx.saved_tensors[0]), None, None


def _prefix_resized(new_part: Tensor, old: Tensor, k: int, dim: int, size: Sequence[int], choice: Tensor) -> Tensor:
    out = reference.dropin_prefix_resized(new_part, old, k, dim, size, choice)
    return _fresh(out, old, new_part, old)


def _prefix_resized_shape(new_part: Tensor, old: Tensor, k: int, dim: int, size: Sequence[int]) -> list[int]:
    batch = old.shape[0]
    return [batch, new_part.shape[1] + (k if dim == 1 else 0), *size]


def _remember_prefix_resized(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, old, ctx.k, ctx.dim, _, choice = inputs
    ctx.shape = old.shape
    ctx.save_for_backward(choice)


def _prefix_resized_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    new = old = None
    if ctx.needs_input_grad[0]:
        new = grad.narrow(ctx.dim, ctx.k, grad.shape[ctx.dim] - ctx.k)
    if ctx.needs_input_grad[1]:
        used = grad.narrow(ctx.dim, 0, ctx.k)
        old = torch.ops.depthprobe.resize_backward(used, ctx.shape, ctx.saved_tensors[0])
    return new, old, None, None, None, None


_define(
    "resize(Tensor x, SymInt[] size, SymInt channels, Tensor choice) -> Tensor",
    _resize,
    lambda x, size, channels, choice: _empty(x, [x.shape[0], channels, *size]),
)
_define(
    "resize_backward(Tensor grad, SymInt[] shape, Tensor choice) -> Tensor",
    _resize_backward,
    lambda grad, shape, choice: _empty(grad, shape),
)
_define(
    "dropin_prefix_resized(Tensor new_part, Tensor old, SymInt k, int dim, SymInt[] size, Tensor choice) -> Tensor",
    _prefix_resized,
    lambda new_part, old, k, dim, size, choice: _empty(old, _prefix_resized_shape(new_part, old, k, dim, size)),
)
_differentiate("resize", _resize_gradients, _remember_resize)
_differentiate("resize_backward", _adjoint_gradients, _remember_adjoint)
_differentiate("dropin_prefix_resized", _prefix_resized_gradients, _remember_prefix_resized)
