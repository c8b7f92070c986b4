"""Blocks of every kind: found, grown, left out, half open, settled and replayed, with a graph and without."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import EditError, GraphError
from depthprobe.graph.example import resize_batch, split_inputs
from depthprobe.graph.purity import same_output
from depthprobe.layers.wiring import leaves_of

BATCH = 16


class Residual(nn.Module):
    """Post-activation, with a downsampling shortcut where shapes differ."""

    def __init__(self, inner, outer, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Conv2d(inner, outer, 1, stride) if (inner, stride) != (outer, 1) else None

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.down is None else self.down(x)
        return self.relu(out)


class PreActivation(nn.Module):
    """Begins with an operation in place: it overwrites what it is given."""

    def __init__(self, width):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(1, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(1, width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        x = F.relu(x, inplace=True)
        return x + self.conv2(F.relu(self.norm2(self.conv1(self.norm1(x)))))


class Inverted(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.skip = inner == outer and stride == 1
        self.conv = nn.Sequential(
            nn.Sequential(nn.Conv2d(inner, 2 * inner, 1), nn.ReLU6()),
            nn.Sequential(nn.Conv2d(2 * inner, 2 * inner, 3, stride, 1, groups=2 * inner), nn.ReLU6()),
            nn.Conv2d(2 * inner, outer, 1),
        )

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


class Mixed(nn.Module):
    """Attends by hand: takes a mask and a table by keyword, returns its weights as well when asked."""

    def __init__(self, width, heads=2, weights=False):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.weights = heads, weights
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, hidden, *, mask=None, table=None):
        b, t, d = hidden.shape
        x = self.norm1(hidden) + (0 if table is None else table[0] * table[1])
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) + (0 if mask is None else mask)).softmax(-1)
        hidden = hidden + self.out((weights @ v).transpose(1, 2).reshape(b, t, d))
        hidden = hidden + self.down(F.gelu(self.up(self.norm2(hidden))))
        return (hidden, weights) if self.weights else (hidden, None)


class Tower(nn.Module):
    """A stem, blocks in a ModuleList, a head: `call` says how a block is called and what of it is taken."""

    def __init__(self, stem, blocks, head, call=lambda block, x: block(x)):
        super().__init__()
        self.stem, self.blocks, self.head, self.call = stem, nn.ModuleList(blocks), head, call

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = self.call(block, x)
        return self.head(x)


class Masked(nn.Module):
    """A padding mask per sample, a mask for all, a table in a tuple; the stream goes by keyword; a dict comes out."""

    def __init__(self, width=8, weights=False):
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.layers = nn.ModuleList([Mixed(width, weights=weights) for _ in range(3)])
        self.head = nn.Linear(width, 3)
        self.register_buffer("table", torch.linspace(0.0, 1.0, 6 * width).view(6, width))

    def forward(self, ids, pad=None):
        x = self.embed(ids)
        pad = torch.zeros_like(ids) if pad is None else pad
        mask = (-1e4 * pad[:, None, None, :].float()).expand(-1, -1, ids.shape[1], -1)
        for layer in self.layers:
            x = layer(mask=mask, table=(self.table, self.table.cos()), hidden=x)[0]
        return {"logits": self.head(x.mean(1)), "states": (x,)}


class Recurrent(nn.Module):
    """Two recurrent layers in a row; the head reads the last output or the last state."""

    def __init__(self, kind, head, **settings):
        super().__init__()
        width = 5 * (2 if settings.get("bidirectional") else 1)
        first = settings.get("batch_first", False)
        self.one, self.two = kind(4, 5, **settings), kind(width, 5, **settings)
        self.head, self.reads, self.first = nn.Linear(width if head == "output" else 5, 3), head, first

    def forward(self, x):
        x, _ = self.one(x if self.first else x.transpose(0, 1))
        x, state = self.two(x)
        if self.reads == "state":
            return self.head((state[0] if isinstance(state, tuple) else state)[-1])
        return self.head(x[:, -1] if self.first else x[-1])


class Encoder(nn.Module):
    """torch's own layers, with a causal mask for all and a padding mask per sample."""

    def __init__(self, batch_first, norm_first=True, wrapped=False):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=batch_first, norm_first=norm_first)
        layers = [copy.deepcopy(layer) for _ in range(2)]
        self.inside = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False) if wrapped else nn.ModuleList(layers)
        self.embed, self.head, self.first, self.wrapped = nn.Linear(4, 8), nn.Linear(8, 3), batch_first, wrapped

    def forward(self, x):
        pad = torch.zeros(x.shape[:2], dtype=torch.bool)
        x = self.embed(x if self.first else x.transpose(0, 1))
        causal = torch.ones(6, 6, dtype=torch.bool).triu(1)
        if self.wrapped:
            x = self.inside(x, mask=causal, src_key_padding_mask=pad)
        else:
            for layer in self.inside:
                x = layer(x, src_mask=causal, src_key_padding_mask=pad)
        return self.head(x.mean(1 if self.first else 0))


class Decoder(nn.Module):
    """Encoder and decoder: the decoder's layers take the memory beside the stream."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.encoder = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True) for _ in range(2)])
        self.decoder = nn.ModuleList([nn.TransformerDecoderLayer(8, 2, 16, 0.0, batch_first=True) for _ in range(2)])

    def forward(self, x):
        memory = x = self.embed(x)
        for layer in self.encoder:
            memory = layer(memory)
        for layer in self.decoder:
            x = layer(x, memory)
        return self.head(x.mean(1))


def pooled(width):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def images(*blocks, width=6):
    return Tower(nn.Conv2d(3, 4, 3, padding=1), blocks, pooled(width))


IMAGES = torch.randn(BATCH, 3, 8, 8)
ROWS = torch.randn(BATCH, 6, 4)
IDS = torch.arange(BATCH * 6).view(BATCH, 6) % 11
PAD = (torch.arange(6)[None] >= torch.arange(BATCH)[:, None] % 3 + 4).long()

# name -> (model, inputs, kind of its blocks, names of the blocks, how many of them grow)
CASES = {
    "residual": (lambda: images(Residual(4, 6, 2), Residual(6, 6)), IMAGES, "residual", ["blocks.0", "blocks.1"], 2),
    "pre-activation": (lambda: images(PreActivation(4), PreActivation(4), width=4), IMAGES, "residual",
                       ["blocks.0", "blocks.1"], 2),
    "inverted": (lambda: images(Inverted(4, 6, 2), Inverted(6, 6, 1), Inverted(6, 4, 1), width=4), IMAGES, "",
                 ["blocks.0", "blocks.1", "blocks.2"], 2),
    "masks and tables": (Masked, {"ids": IDS, "pad": PAD}, "residual", ["layers.0", "layers.1", "layers.2"], 3),
    "attention weights": (lambda: Masked(weights=True), {"ids": IDS}, "residual",
                          ["layers.0", "layers.1", "layers.2"], 3),
    "encoder": (lambda: Encoder(True), ROWS, "transformer", ["inside.0", "inside.1"], 2),
    "encoder, batch second": (lambda: Encoder(False), ROWS, "transformer", ["inside.0", "inside.1"], 2),
    "encoder, torch's stack": (lambda: Encoder(True, wrapped=True), ROWS, "transformer",
                               ["inside.layers.0", "inside.layers.1"], 2),
    "decoder": (Decoder, ROWS, "transformer", ["encoder.0", "encoder.1", "decoder.0", "decoder.1"], 4),
    "lstm": (lambda: Recurrent(nn.LSTM, "output", batch_first=True), ROWS, "recurrent", ["one", "two"], 2),
    "lstm, batch second": (lambda: Recurrent(nn.LSTM, "output"), ROWS, "recurrent", ["one", "two"], 2),
    "lstm, state": (lambda: Recurrent(nn.LSTM, "state", batch_first=True), ROWS, "recurrent", ["one", "two"], 2),
    "lstm, both ways": (lambda: Recurrent(nn.LSTM, "state", batch_first=True, bidirectional=True), ROWS, "recurrent",
                        ["one", "two"], 2),
    "lstm, stacked": (lambda: Recurrent(nn.LSTM, "state", num_layers=2), ROWS, "recurrent", ["one", "two"], 2),
    "gru": (lambda: Recurrent(nn.GRU, "state", batch_first=True, num_layers=2), ROWS, "recurrent", ["one", "two"], 2),
    "rnn": (lambda: Recurrent(nn.RNN, "output", nonlinearity="relu"), ROWS, "recurrent", ["one", "two"], 2),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    make, inputs, *rest = CASES[request.param]
    return make(), inputs, *rest


@pytest.fixture(params=["auto", "modules"])
def tracer(request):
    return request.param


def run(model, inputs, seed=0):
    torch.manual_seed(seed)
    args, kwargs = split_inputs(copy.deepcopy(inputs))
    return model(*args, **kwargs)


def loss(output):
    return sum(leaf.square().mean() for _, leaf in leaves_of(output) if torch.is_floating_point(leaf))


def names(case, what, tracer):
    return [u.name for u in dp.units(case[0], case[1], tracer) if getattr(u, what)]


def test_blocks_are_found_by_name_and_kind(case, tracer):
    model, inputs, kind, blocks, growable = case
    found = [u for u in dp.units(model, inputs, tracer) if u.kind not in ("conv", "linear")]
    assert [u.name for u in found] == blocks
    assert sum(u.growable for u in found) == growable
    assert all(u.kind == kind for u in found if kind)
    assert all(u.params == sum(p.numel() for p in model.get_submodule(u.name).parameters()) for u in found)


def test_shut_copies_change_no_bit_and_open_ones_settle(case, tracer):
    model, inputs = case[:2]
    edits = [dp.Duplicate(unit=name, copies=2) for name in names(case, "growable", tracer)]
    edited = dp.apply(model, edits, inputs, tracer).eval()
    model.eval()
    with torch.no_grad():
        assert same_output(run(edited, inputs), run(model, inputs))
        edited.set_ratio(1.0)
        plain = dp.settle(edited)
        assert same_output(run(edited, inputs), run(plain, inputs))
        assert not same_output(run(edited, inputs), run(model, inputs))
    assert not [m for m in plain.modules() if type(m).__module__.startswith("depthprobe")]
    again = copy.deepcopy(plain)
    again.load_state_dict(plain.state_dict(), strict=True)
    assert same_output(run(again, inputs), run(plain, inputs))


def test_units_left_out_settle_to_fewer_parameters(case, tracer):
    model, inputs = case[:2]
    model.eval()
    shrinkable = names(case, "shrinkable", tracer)
    for name in shrinkable:
        edited = dp.apply(model, [dp.Gate(unit=name)], inputs, tracer)
        with torch.no_grad():
            assert same_output(run(edited, inputs), run(model, inputs))
            edited.set_ratio(0.0)
            out = run(edited, inputs)
            assert all(torch.isfinite(leaf).all() for _, leaf in leaves_of(out))
            plain = dp.settle(edited)
            assert same_output(out, run(plain, inputs))
            removed = dp.settle(dp.apply(model, [dp.Remove(unit=name)], inputs, tracer))
        counts = [sum(p.numel() for p in net.parameters()) for net in (plain, removed, model)]
        assert counts[0] == counts[1] < counts[2]
    assert shrinkable  # attention weights that nobody reads are no obstacle


def test_half_open_networks_train_every_live_parameter(case, tracer):
    model, inputs = case[:2]
    edits = [dp.Duplicate(unit=name) for name in names(case, "growable", tracer)]
    edits += [dp.Gate(unit=name) for name in names(case, "shrinkable", tracer)]
    edited = dp.apply(model, edits, inputs, tracer).train()
    edited.set_ratio(0.5)
    loss(run(edited, inputs)).backward()
    missing = [name for name, p in edited.named_parameters() if p.grad is None]
    run(model.train(), inputs)
    loss(run(model, inputs)).backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing or unused
    edited.eval()
    assert all(torch.isfinite(leaf).all() for _, leaf in leaves_of(run(edited, inputs)))


def test_half_open_gates_split_the_batch_and_compute_nothing_else(case, tracer):
    model, inputs = case[:2]
    name = names(case, "growable", tracer)[0]
    edited = dp.apply(model, [dp.Duplicate(unit=name, ratio=0.5)], inputs, tracer)
    gate = edited.gates[f"{name}_copy1"]
    seen = []

    def watch(_, args, kwargs, output):
        seen.extend(leaf.shape for _, leaf in leaves_of((args, kwargs)) if isinstance(leaf, torch.Tensor))

    gate.inside.register_forward_hook(watch, with_kwargs=True)
    edited.train()
    run(edited, inputs)
    assert seen
    assert any(BATCH // 2 in shape for shape in seen)
    assert not any(BATCH in shape for shape in seen)
    count = len(seen)
    edited.set_ratio(0.0)
    run(edited, inputs)
    assert len(seen) == count


def test_a_recipe_replays(case, tracer):
    model, inputs = case[:2]
    edits = [dp.Duplicate(unit=name, copies=2) for name in names(case, "growable", tracer)]
    edits += [dp.Remove(unit=f"{edits[0].unit}_copy1")]
    nets = []
    for recipe in (edits, dp.recipe_from_json(dp.recipe_to_json(edits))):
        torch.manual_seed(3)
        nets.append(dp.settle(_opened(dp.apply(model, recipe, inputs, tracer))).eval())
    assert same_output(run(nets[0], inputs), run(nets[1], inputs))
    assert list(nets[0].state_dict()) == list(nets[1].state_dict())


def _opened(edited):
    edited.set_ratio(1.0)
    return edited


def test_the_model_is_left_as_found(case, tracer):
    model, inputs = case[:2]
    before = {name: (id(t), t.clone(), t.requires_grad) for name, t in model.state_dict(keep_vars=True).items()}
    facts = [(id(m), m.training, len(m._forward_hooks), sorted(m.__dict__)) for m in model.modules()]
    state = torch.get_rng_state()
    dp.units(model, inputs, tracer)
    assert torch.equal(state, torch.get_rng_state())
    edits = [dp.Duplicate(unit=name, ratio=1.0) for name in names(case, "growable", tracer)]
    edited = dp.apply(model, edits, inputs, tracer).train()
    loss(run(edited, inputs)).backward()
    back = dp.undo(edited)
    assert type(back) is type(model)
    assert list(back.state_dict()) == list(model.state_dict())
    assert facts == [(id(m), m.training, len(m._forward_hooks), sorted(m.__dict__)) for m in model.modules()]
    for name, tensor in model.state_dict(keep_vars=True).items():
        identity, value, grad = before[name]
        assert (identity, grad) == (id(tensor), tensor.requires_grad)
        assert torch.equal(value, tensor)
        assert tensor.grad is None


def test_copies_of_an_edited_network_stand_alone(case, tracer):
    model, inputs = case[:2]
    edits = [dp.Duplicate(unit=name, ratio=1.0) for name in names(case, "growable", tracer)]
    edited = dp.apply(model, edits, inputs, tracer).eval()
    other = copy.deepcopy(edited)
    assert same_output(run(other, inputs), run(edited, inputs))
    other.load_state_dict(edited.state_dict(), strict=True)
    for parameter in other.parameters():
        parameter.data.zero_()
    assert not same_output(run(other, inputs), run(edited, inputs))
    state = [value for name, value in edited.double().state_dict().items() if "ratio" not in name]
    assert {v.dtype for v in state if torch.is_tensor(v) and v.is_floating_point()} == {torch.float64}
    assert {p.dtype for p in dp.undo(edited).parameters()} == {torch.float64}
    assert {p.dtype for p in dp.settle(edited).parameters()} == {torch.float64}


IDENTITIES = ["residual", "masks and tables", "encoder", "encoder, batch second"]


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_copies_change_nothing_and_can_learn(name):
    torch.manual_seed(0)
    make, inputs, *_ = CASES[name]
    model = make().eval()
    case = (model, inputs)
    last = names(case, "growable", "auto")[-1]
    edited = dp.apply(model, [dp.Duplicate(unit=last, copies=2, init="identity", ratio=1.0)], inputs)
    assert same_output(run(edited, inputs), run(model, inputs))
    loss(run(edited.train(), inputs)).backward()
    copies = [p for gate in edited.gates.values() for p in gate.inside.parameters()]
    assert any(p.grad.abs().sum() > 0 for p in copies)
    assert any(p.abs().sum() > 0 for p in copies)


@pytest.mark.parametrize("name", ["lstm", "decoder", "pre-activation"])
def test_identity_that_cannot_be_is_refused(name):
    make, inputs, *_, blocks, _ = CASES[name]
    with pytest.raises(EditError, match="init 'identity' needs a block that adds its input back"):
        dp.apply(make(), [dp.Duplicate(unit=blocks[0], init="identity")], inputs)


@pytest.mark.parametrize("init", ["copy", "xavier", "he", "gaussian:0.1"])
@pytest.mark.parametrize("name", ["residual", "encoder", "lstm, stacked"])
def test_initialisations_of_blocks(name, init):
    torch.manual_seed(0)
    make, inputs, *_ = CASES[name]
    model = make()
    last = names((model, inputs), "growable", "auto")[-1]
    edited = dp.apply(model, [dp.Duplicate(unit=last, init=init, ratio=1.0)], inputs)
    inside = edited.gates[f"{last}_copy1"].inside
    if init == "copy":
        source = dict(model.get_submodule(last).named_parameters())
        suffix = "_l1" if "lstm" in name else ""
        for key, value in inside.named_parameters():
            assert torch.equal(value, source[key.replace("_l0", suffix) if suffix else key])
    elif init == "gaussian:0.1":
        matrix = max((p for p in inside.parameters() if p.ndim > 1), key=torch.numel)
        assert matrix.std().item() == pytest.approx(0.1, rel=0.2)
    assert torch.isfinite(loss(run(edited, inputs)))


def test_the_tracer_is_chosen_reported_and_can_be_asked_for():
    model, inputs = CASES["residual"][0](), IMAGES
    assert dp.apply(model, [], inputs).tracer == "fx"
    assert dp.apply(model, [], inputs, tracer="modules").tracer == "modules"
    assert dp.apply(Masked(), [], {"ids": IDS}).tracer in ("fx", "modules")
    with pytest.raises(GraphError, match="tracer is not known"):
        dp.units(model, inputs, tracer="guess")


def test_outputs_that_are_read_cannot_be_left_out():
    class Reader(Masked):
        def forward(self, ids):
            x, read = self.embed(ids), 0.0
            for layer in self.layers:
                x, weights = layer(x)
                read = read + weights.mean((1, 2))
            return self.head(x.mean(1)) + read[:, :3]

    units = dp.units(Reader(weights=True), IDS)
    blocks = [unit for unit in units if unit.name.startswith("layers.")]
    assert len(blocks) == 3
    assert all(unit.growable and not unit.shrinkable for unit in blocks)
    assert all("returns more than the stream (1 tensors)" in unit.reason for unit in blocks)
    edited = dp.apply(Reader(weights=True), [dp.Duplicate(unit="layers.1", ratio=0.5)], IDS).train()
    loss(run(edited, IDS)).backward()


def test_other_batch_sizes_pass():
    for name in ("masks and tables", "lstm, batch second", "decoder"):
        make, inputs, *_ = CASES[name]
        model = make()
        edited = dp.apply(model, [dp.Duplicate(unit=names((model, inputs), "growable", "auto")[0], ratio=0.4)], inputs)
        args, kwargs = split_inputs(inputs)
        for size in (1, 5, 40):
            edited.train()(*resize_batch(args, size), **resize_batch(kwargs, size))


class Head(nn.Module):
    """Refines a state and reads an answer from it; only the answer needs the second layer."""

    def __init__(self):
        super().__init__()
        self.state, self.answer = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        x = x + self.state(x)
        return x, self.answer(x)


class Answers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Head(), Head()

    def forward(self, x):
        x, one = self.first(x)
        x, two = self.second(x)
        return one + two + x


def test_a_copy_whose_layers_would_be_dead_is_refused():
    units = {unit.name: unit for unit in dp.units(Answers(), torch.randn(4, 6))}
    assert not units["first"].growable
    assert "answer.weight" in units["first"].reason


class Skips(nn.Module):
    """As transformers do: a mask of ones is not passed on, one that hides something is, first for all samples alike."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Optional() for _ in range(2))

    def forward(self, x, mask):
        kept = None if bool(mask.all()) else mask if bool((mask != mask[:1]).any()) else mask[:1]
        for block in self.blocks:
            x = block(x, kept)
        return x


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, x, mask=None):
        out = self.down(torch.relu(self.up(x)))
        return x + (out if mask is None else out * mask)


@pytest.mark.parametrize("shown", ["ones", "alike", "each"])
@pytest.mark.parametrize("later", ["ones", "alike", "each"])
def test_masks_may_come_and_go(shown, later):
    masks = {"ones": torch.ones(5, 6), "alike": torch.ones(5, 6), "each": torch.ones(5, 6)}
    masks["alike"][:, 3:], masks["each"][2:, 3:], masks["each"][1, 4:] = 0.0, 0.0, 0.0
    torch.manual_seed(0)
    x, model = torch.randn(5, 6), Skips()
    edited = dp.apply(model, [dp.Gate(unit="blocks.0"), dp.Duplicate(unit="blocks.1")], (x, masks[shown]))
    edited.set_ratios({"blocks.0": 0.6, "blocks.1_copy1": 0.6})
    copied, mask = edited.gates["blocks.1_copy1"].inside, masks[later]
    kept = mask.all().item() or mask
    gated = torch.cat((x[:2], model.blocks[0](x, kept)[2:]))
    there = model.blocks[1](gated, kept)
    wanted = torch.cat((there[:2], copied(there, kept)[2:]))
    assert torch.allclose(edited.train()(x, mask), wanted)


def test_an_argument_whose_batch_is_not_clear_is_refused():
    model = Skips()
    edited = dp.apply(model, [dp.Gate(unit="blocks.0", ratio=0.5)], (torch.randn(5, 6), torch.ones(5, 6)))
    square = torch.ones(6, 6).tril()
    with pytest.raises(ValueError, match="which dimension is the batch of 6 is not clear"):
        edited.train()(torch.randn(6, 6), square)


class Pools(nn.Module):
    """A block that takes the size of its map and returns it, halved where it pools."""

    def __init__(self, stride):
        super().__init__()
        self.one, self.two, self.stride = nn.Linear(6, 6), nn.Linear(6, 6), stride

    def forward(self, x, size):
        x = x + self.two(torch.relu(self.one(x)))
        grid = x.transpose(1, 2).reshape(len(x), 6, *size)[:, :, :: self.stride, :: self.stride]
        return grid.flatten(2).transpose(1, 2), tuple(grid.shape[2:])


class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Pools(stride) for stride in (1, 2, 1))

    def forward(self, x):
        size = (4, 4)
        for block in self.blocks:
            x, size = block(x, size)
        return x


def test_copies_get_the_numbers_that_the_unit_returned():
    x, model = torch.randn(4, 16, 6), Sized().eval()
    edited = dp.apply(model, [dp.Duplicate(unit="blocks.1", init="identity", copies=2)], x)
    for ratio in (0.0, 1.0):
        edited.set_ratio(ratio)
        assert same_output(edited(x), model(x))
        assert same_output(dp.settle(edited)(x), model(x))
    edited.set_ratio(0.5)
    assert edited.train()(x).shape == (4, 4, 6)
