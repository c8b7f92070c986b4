"""apply, undo, settle and recipes keep what they promise, on random feed-forward networks."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import depthprobe as dp

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
examples = settings(max_examples=40, deadline=None, derandomize=True)


def run(model, x, seed=3):
    """One forward from the same random state, on an own copy of the input (in-place layers)."""
    torch.manual_seed(seed)
    return model(x.clone())


def equal_states(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def apply_seeded(net, edits, seed=5):
    torch.manual_seed(seed)
    return dp.apply(net.model, edits, net.example)


def fingerprint(model):
    """Everything about a model that surgery must leave as it is."""
    tensors = {name: (id(t), t.clone(), t.requires_grad) for name, t in model.state_dict(keep_vars=True).items()}
    modules = {
        name: (id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks), sorted(m.__dict__))
        for name, m in model.named_modules()
    }
    return tensors, modules


@examples
@given(data=st.data())
def test_shut_copies_and_open_gates_change_no_bit(nets, recipes, data):
    net = data.draw(nets)
    edits = data.draw(recipes(net, removals=False))
    edited = apply_seeded(net, edits)
    assert len(edited.gates) >= len(edits)
    assert edited.training == net.model.training
    reference = copy.deepcopy(net.model)
    assert torch.equal(run(edited, net.batch), run(reference, net.batch))
    assert equal_states(dp.undo(edited).state_dict(), reference.state_dict())  # running statistics too
    assert torch.equal(run(edited.eval(), net.batch), run(reference.eval(), net.batch))


@examples
@given(data=st.data())
def test_settled_network_computes_what_the_gated_one_does(nets, recipes, data):
    net = data.draw(nets)
    edits = data.draw(recipes(net))
    edited = apply_seeded(net, edits)
    for name in edited.gates:
        edited.gates[name].ratio = data.draw(st.sampled_from([0.0, 1.0]))
    plain = dp.settle(edited)
    assert not [m for m in plain.modules() if type(m).__module__.startswith("depthprobe")]
    assert not [name for name in plain.state_dict() if "ratio" in name or "gate" in name]
    plain_modes = {name: m.training for name, m in plain.named_modules()}
    assert plain.training == edited.training
    assert torch.equal(run(edited, net.batch), run(plain, net.batch))
    assert torch.equal(run(edited.eval(), net.batch), run(plain.eval(), net.batch))
    assert not {id(p) for p in plain.parameters()} & {id(p) for p in edited.parameters()}
    edited.train(net.model.training)
    again = dp.settle(edited)
    again.load_state_dict(plain.state_dict(), strict=True)
    assert list(again.state_dict()) == list(plain.state_dict())
    assert set(plain_modes) == {name for name, _ in again.named_modules()}


@examples
@given(data=st.data())
def test_all_shut_settles_to_the_original_state_dict(nets, recipes, data):
    net = data.draw(nets)
    edits = [edit for edit in data.draw(recipes(net)) if isinstance(edit, dp.Duplicate)]
    plain = dp.settle(apply_seeded(net, edits))
    mine, theirs = plain.state_dict(), net.model.state_dict()
    assert set(mine) == set(theirs)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@examples
@given(data=st.data())
def test_undo_gives_the_model_back_and_the_users_model_is_never_touched(nets, recipes, data):
    net = data.draw(nets)
    net.model.register_forward_hook(lambda *_: None)
    tensors, modules = fingerprint(net.model)
    random_state = torch.get_rng_state()
    dp.units(net.model, net.example)
    plain = dp.apply(net.model, [], net.example)
    dp.settle(plain)
    assert torch.equal(torch.get_rng_state(), random_state)  # only new layers draw
    edited = apply_seeded(net, data.draw(recipes(net)))
    back = dp.undo(edited)
    assert type(back) is type(net.model)
    assert equal_states(back.state_dict(), net.model.state_dict())
    assert [m.training for m in back.modules()] == [m.training for m in net.model.modules()]
    assert [p.requires_grad for p in back.parameters()] == [p.requires_grad for p in net.model.parameters()]
    for parameter in [*edited.parameters(), *back.parameters()]:
        parameter.data.add_(1.0)
    edited.set_ratio(0.5)
    run(edited.train(), net.batch).sum().backward() if any(p.requires_grad for p in edited.parameters()) else None
    after_tensors, after_modules = fingerprint(net.model)
    assert modules == after_modules
    for name, (identity, value, grad) in tensors.items():
        assert (identity, grad) == (after_tensors[name][0], after_tensors[name][2])
        assert torch.equal(value, after_tensors[name][1])
    assert all(p.grad is None for p in net.model.parameters())


@examples
@given(data=st.data())
def test_recipe_replays_to_the_same_network(nets, recipes, data):
    net = data.draw(nets)
    edits = data.draw(recipes(net))
    text = dp.recipe_to_json(edits)
    replayed = dp.recipe_from_json(text)
    assert replayed == edits
    assert dp.recipe_to_json(replayed) == text
    assert dp.recipe_from_json(json.dumps(json.loads(text))) == edits
    one, two = apply_seeded(net, edits), apply_seeded(net, replayed)
    assert list(one.gates) == list(two.gates)
    states = [{k: v for k, v in e.state_dict().items() if "_extra_state" not in k} for e in (one, two)]
    assert equal_states(*states)
    one.set_ratio(0.5)
    two.set_ratio(0.5)
    assert torch.equal(run(one, net.batch), run(two, net.batch))


@examples
@given(data=st.data(), ratio=st.floats(0.0, 1.0))
def test_half_open_network_trains_copies_and_saves(nets, recipes, data, ratio):
    net = data.draw(nets)
    edited = apply_seeded(net, data.draw(recipes(net)))
    edited.train()
    edited.set_ratio(ratio)
    other = copy.deepcopy(edited)
    assert {n: g.ratio for n, g in other.gates.items()} == {n: g.ratio for n, g in edited.gates.items()}
    loss = run(edited, net.batch).square().mean()
    assert torch.equal(run(other, net.batch).square().mean(), loss)
    if loss.requires_grad:
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in edited.parameters() if p.grad is not None)
        assert all(p.grad is None for p in other.parameters())
    other.set_ratio(1.0)
    for parameter in other.parameters():
        parameter.data.zero_()
    assert all(gate.ratio == ratio for gate in edited.gates.values())
    assert edited.eval()(net.batch.clone()).shape == (len(net.batch), 3)
    other.load_state_dict(edited.state_dict())
    assert all(gate.ratio == ratio for gate in other.gates.values())
    assert torch.equal(run(other.eval(), net.batch), run(edited, net.batch))


@examples
@given(data=st.data())
def test_gates_come_in_the_order_of_the_data_flow(nets, recipes, data):
    net = data.draw(nets)
    edited = apply_seeded(net, data.draw(recipes(net)))
    edited.set_ratio(1.0)
    ran = []
    for name, gate in edited.gates.items():
        gate.inside.register_forward_hook(lambda *_, name=name: ran.append(name))
    run(edited.eval(), net.batch)
    assert ran == list(edited.gates)
    names = [unit.name for unit in dp.units(net.model, net.example)]
    order = [names.index(name.split("_copy")[0]) for name in edited.gates]
    assert order == sorted(order)
