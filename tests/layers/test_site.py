"""Gates around units with several arguments and outputs equal the same thing done sample by sample."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depthprobe.layers.dropin import skipped
from depthprobe.layers.site import BlockGate, CopyGate, Site, empty_state
from depthprobe.layers.wiring import Wiring, get_leaf, leaves_of, map_leaves, put_leaf

examples = settings(max_examples=40, deadline=None, derandomize=True)
ratios = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))


class Unit(nn.Module):
    """x: (T, B, D); mask: (B, T); table: (T, D); returns the stream, a note and what it was handed."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(3, 3)

    def forward(self, x, mask, table=None):
        return {"hidden": torch.tanh(self.mix(x)) * mask.T[..., None] + table, "note": None, "mask": mask}


WIRING = Wiring(
    stream=(0, 0), batch=1, batched={(0, 0): 1, (0, 1): 0}, whole=frozenset({(1, "table")}), out=("hidden",),
    out_batched={("hidden",): 1, ("mask",): 0}, handed={("mask",): (0, 1)}, positional=2, named=("table",),
    blank={"hidden": ..., "note": None, "mask": ...},
)  # fmt: skip


def inputs(batch):
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(4, batch, 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, 4, generator=generator, dtype=torch.float64)
    return x, mask, torch.randn(4, 1, 3, generator=generator, dtype=torch.float64)


@examples
@given(batch=st.integers(1, 9), p=ratios)
def test_a_gate_with_masks_equals_the_samples_one_by_one(batch, p):
    unit = Unit().double()
    x, mask, table = inputs(batch)
    out = BlockGate(unit, WIRING, ratio=p)(x, mask, table=table)
    k = {0.0: batch, 1.0: 0}.get(p, skipped(p, batch))
    whole = unit(x, mask, table=table)["hidden"]
    assert torch.allclose(out["hidden"], torch.cat((x[:, :k], whole[:, k:]), 1))
    assert torch.equal(out["mask"], mask)
    assert out["note"] is None
    assert list(out) == ["hidden", "note", "mask"]


@examples
@given(batch=st.integers(1, 9), p=ratios, q=ratios, mode=st.sampled_from(["prefix", "blend", "bernoulli"]))
def test_copies_continue_what_the_unit_returned(batch, p, q, mode):
    torch.manual_seed(0)
    unit, one, two = (Unit().double() for _ in range(3))
    x, mask, table = inputs(batch)
    gates = [CopyGate(copy, WIRING, ratio=ratio, mode=mode) for copy, ratio in ((one, p), (two, q))]
    site = Site(unit, gates).eval() if mode == "bernoulli" else Site(unit, gates)
    out = site(x, mask, table=table)
    stream = unit(x, mask, table=table)["hidden"]
    for copy, ratio in ((one, p), (two, q)):
        new = copy(stream, mask, table=table)["hidden"]
        k = skipped(ratio, batch)
        mixed = torch.cat((stream[:, :k], new[:, k:]), 1) if mode == "prefix" else torch.lerp(stream, new, ratio)
        stream = mixed
    assert torch.allclose(out["hidden"], stream)
    assert torch.equal(out["mask"], mask)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("k", [0, 3, 8])
def test_states_are_the_copys_for_samples_that_enter(kind, k):
    torch.manual_seed(0)
    names = [(1, 0), (1, 1)] if kind is nn.LSTM else [(1,)]
    wiring = Wiring(stream=(0, 0), batched={(0, 0): 0}, out=(0,), out_batched={(0,): 0, **dict.fromkeys(names, 1)},
                    made=tuple(names), states=True, blank=(..., ...))  # fmt: skip
    unit, copy = kind(4, 4, 2, batch_first=True), kind(4, 4, 1, batch_first=True)
    site = Site(unit, [CopyGate(copy, wiring, ratio=1.0 - k / 8)])
    x = torch.randn(8, 5, 4)
    out, state = site(x)
    before, old = unit(x)
    after, new = copy(before)
    assert torch.allclose(out, torch.cat((before[:k], after[k:])), atol=1e-6)
    pairs = zip(state, old, new, strict=True) if kind is nn.LSTM else [(state, old, new)]
    for mixed, mine, theirs in pairs:
        assert torch.equal(mixed[0], mine[0])
        assert torch.allclose(mixed[1], torch.cat((mine[1, :k], theirs[0, k:])), atol=1e-6)


def test_a_skipped_recurrent_layer_leaves_the_state_as_it_was():
    wiring = Wiring(stream=(0, 0), batch=1, batched={(0, 0): 1}, out=(0,), out_batched={(0,): 1, (1,): 1},
                    made=((1,),), states=True, blank=(..., ...))  # fmt: skip
    unit = nn.GRU(4, 4, 2, bidirectional=False)
    gate = BlockGate(unit, wiring, ratio=0.0)
    x, given = torch.randn(5, 3, 4), torch.randn(2, 3, 4)
    assert torch.equal(gate(x)[1], torch.zeros(2, 3, 4))
    assert gate(x, given)[1] is given
    assert gate(x)[0] is x
    assert empty_state(nn.LSTM(4, 6, 2, bidirectional=True, proj_size=3), x, 1)[0].shape == (4, 3, 3)


def late(*shape):
    x, mask, table = inputs(8)
    return WIRING.split(((x, mask), {"table": table, "extra": torch.ones(shape)}), 2, 5)[1]["extra"]


def test_a_tensor_that_was_not_there_when_traced_is_split_where_its_batch_is_clear():
    assert late(8).shape == (5,)
    assert late(8, 1, 8).shape == (5, 1, 8)
    assert late(1, 8).shape == (1, 8)
    assert late(4, 3).shape == (4, 3)


@pytest.mark.parametrize("shape", [(8, 8), (4, 8)])
def test_a_tensor_that_was_not_there_when_traced_is_refused_where_it_is_not(shape):
    with pytest.raises(ValueError, match=r"at argument extra that was not there when it was traced"):
        late(*shape)


def test_an_argument_of_another_batch_is_refused():
    x, mask, table = inputs(8)
    assert WIRING.split(((x, mask[:1]), {"table": table}), 2, 5)[0][1].shape == (1, 4)
    with pytest.raises(ValueError, match=r"argument 1, a batch of 8"):
        WIRING.split(((x, mask[:3]), {"table": table}), 2, 5)


def test_what_the_bypass_hands_out_is_its_own_where_it_is_overwritten():
    x, mask, table = inputs(4)
    gate = BlockGate(Unit().double(), WIRING, ratio=0.0, fresh=True)
    out = gate(x, mask, table=table)["hidden"]
    assert torch.equal(out, x)
    assert out is not x


def test_a_site_answers_for_its_unit():
    unit = Unit()
    unit.kind = "mixer"
    site = Site(BlockGate(unit, WIRING), [])
    assert (site.kind, site.mix) == ("mixer", unit.mix)
    with pytest.raises(AttributeError, match="nothing"):
        _ = site.nothing


@given(tree=st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=2), inner, max_size=3) | st.tuples(inner, inner), max_leaves=8))  # fmt: skip
@examples
def test_leaves_lie_where_their_paths_say(tree):
    assert map_leaves(lambda _, leaf: leaf, tree) == tree
    for path, leaf in leaves_of(tree):
        assert get_leaf(tree, path) == leaf
        assert get_leaf(put_leaf(tree, path, "new"), path) == "new"
