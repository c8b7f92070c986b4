"""The CUDA kernels' bodies, compiled for the CPU and run thread by thread: indices, draws, weights without a GPU.

`DEPTHPROBE_SANITIZE=1` compiles them with the address and undefined-behaviour sanitizers (run under
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0).
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import depthprobe.ops as ops
from depthprobe.ops.cache import SOURCES
from depthprobe.ops.draws import draw_words

OPS = torch.ops.depthprobe
HERE = Path(__file__).parent / "rehearsal"


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: the kernels cannot be rehearsed on the CPU")
    target = tmp_path_factory.mktemp("rehearsal") / "rehearsal.so"
    checks = (
        ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if os.environ.get("DEPTHPROBE_SANITIZE") else []
    )
    command = [compiler, "-std=c++17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *checks]
    subprocess.run([*command, f"-I{SOURCES}", "-o", target, HERE / "rehearsal.cpp"], check=True)
    return ctypes.CDLL(str(target))


def numbers(*values):
    return (ctypes.c_int64 * len(values))(*values)


def pointer(x):
    return ctypes.c_void_p(None if x is None else x.data_ptr())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(-(2**63), 2**63 - 1), offset=st.integers(0, 2**63 - 1), block=st.integers(0, 2000),
    threshold=st.integers(0, 65536),
)  # fmt: skip
def test_the_kernel_draws_numpys_philox(kernels, seed, offset, block, threshold):
    words = draw_words(16 * (block + 1), seed, offset)[16 * block :].astype(np.int64)
    bits = ctypes.c_uint16()
    kernels.run_bits(*map(ctypes.c_int64, (seed, offset, block, threshold)), ctypes.byref(bits))
    assert [bool(bits.value >> i & 1) for i in range(16)] == (words < threshold).tolist()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), unit=st.sampled_from([1, 2, 4, 8]), rows=st.integers(1, 5), row=st.integers(1, 700))
def test_the_prefix_kernel_joins_any_strides_and_alignments(kernels, data, unit, rows, row):
    head = data.draw(st.integers(0, row))
    shift, gap_old, gap_new = (data.draw(st.integers(0, 9)) for _ in range(3))
    dtype = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[unit]
    old = torch.randint(1, 100, (rows * (row + gap_old) + shift,), dtype=dtype)[shift:].view(rows, -1)[:, :row]
    new = torch.randint(1, 100, (rows * (row - head + gap_new) + shift,), dtype=dtype)[shift:].view(rows, -1)
    new = new[:, : row - head]
    for fresh in (new, None):
        out = torch.full((rows, row), -1 if unit > 1 else 255, dtype=dtype)
        sizes = [rows * row, row, head, row + gap_old, row - head + gap_new]
        kernels.run_prefix(pointer(out), pointer(old), pointer(fresh), numbers(*(n * unit for n in sizes)), unit)
        tail = new if fresh is not None else torch.zeros_like(new)
        assert torch.equal(out, torch.cat((old[:, :head], tail), 1))


SHAPES = ((5000,), (3, 5), (3, 5, 7, 7), (2, 8, 33), (4, 16, 9, 9), (7, 4, 1, 1), (2, 4, 64, 64), (1, 1, 8200))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("entries", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("last", "vectors"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(("ratio", "scale", "offset"), [(0.0, None, 0), (1e-6, None, 1), (0.4, 1.7, 2), (0.9, None, 5)])
def test_the_bernoulli_kernels_are_the_reference(kernels, shape, entries, dtype, last, vectors, ratio, scale, offset):
    entries = min(entries, len(shape))
    new, old = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    last = last and len(shape) == 4
    per_vector = 16 // new.element_size()
    channels = shape[1] if last else 1
    vectors = vectors and channels % per_vector == 0 if last else vectors
    if last:
        new, old = (x.contiguous(memory_format=torch.channels_last) for x in (new, old))
    threshold, scales = ops.threshold_of(ratio), ops.path_scales(ratio, scale)
    inner = int(np.prod(shape[entries:])) if entries else 1
    sizes = numbers(new.numel(), inner, channels, new.numel() // (shape[0] * channels), 11, offset, threshold)
    doubles = (ctypes.c_double * 2)(*scales)
    out, grads = torch.empty_like(new), (torch.empty_like(new), torch.empty_like(new))
    width = new.element_size()
    kernels.run_bernoulli(width, pointer(new), pointer(old), pointer(out), None, sizes, doubles, last, vectors)
    kernels.run_bernoulli(width, pointer(new), None, *map(pointer, grads), sizes, doubles, last, vectors)
    arguments = (11, torch.tensor(offset), threshold, entries, *scales)
    assert torch.equal(out, OPS.dropin_bernoulli(new, old, *arguments))
    for mine, theirs in zip(grads, OPS.dropin_bernoulli_backward(new, *arguments), strict=True):
        assert torch.equal(mine, theirs)


def four(x):
    """Sizes and strides as (batch, channels, height, width)."""
    rank = x.dim()
    pad = 4 - rank
    return [*x.shape[:2], *[1] * pad, *x.shape[2:]], [*x.stride()[:2], *[0] * pad, *x.stride()[2:]]


def gather(kernels, x, out, choice, transposed):
    (xs, x_strides), (os_, o_strides) = four(x), four(out)
    last = out.dim() == 4 and not out.is_contiguous() and out.is_contiguous(memory_format=torch.channels_last)
    kernels.run_resize(
        x.element_size(), pointer(x), pointer(out), numbers(*xs), numbers(*os_), numbers(*x_strides),
        numbers(*o_strides), pointer(choice), transposed, out.dim() == 4, last,
    )  # fmt: skip
    return out


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data(), spatial=st.integers(0, 2), double=st.booleans(), last=st.booleans())
def test_the_resize_kernel_is_the_reference_and_its_transpose(kernels, data, spatial, double, last):
    size = st.one_of(st.integers(1, 9), st.sampled_from([16, 27, 40]))
    here, there = ([data.draw(size) for _ in range(spatial)] for _ in range(2))
    batch, channels, wanted, unused = (data.draw(st.integers(1, 9)) for _ in range(4))
    dtype, tolerance = (torch.float64, 1e-11) if double else (torch.float32, 3e-5)
    layout = torch.channels_last if last and spatial == 2 else torch.contiguous_format
    x = torch.randn(batch, channels, *here, dtype=dtype).contiguous(memory_format=layout)
    choice = torch.randint(2**31, (wanted,))
    exact = ops.reference.resize(x, there, wanted, choice)
    out = torch.full((batch, wanted, *there), float("nan"), dtype=dtype).contiguous(memory_format=layout)
    torch.testing.assert_close(gather(kernels, x, out, choice, False), exact, rtol=tolerance, atol=tolerance)
    y = torch.randn_like(exact)
    shape = (batch + unused - 1, channels, *here)
    exact = OPS.resize_backward(y, shape, choice)
    back = torch.full(shape, float("nan"), dtype=dtype).contiguous(memory_format=layout)
    torch.testing.assert_close(gather(kernels, y, back, choice, True), exact, rtol=8 * tolerance, atol=8 * tolerance)


def test_a_resize_into_a_part_of_the_output_leaves_the_rest_alone(kernels):
    x, choice = torch.randn(3, 2, 4, 4), torch.randint(2**31, (5,))
    whole = torch.full((3, 9, 8, 8), 7.0)
    gather(kernels, x, whole[:, :5], choice, False)
    torch.testing.assert_close(whole[:, :5], ops.reference.resize(x, (8, 8), 5, choice), rtol=1e-5, atol=1e-5)
    assert (whole[:, 5:] == 7.0).all()
