"""A sample of the models people have, by torchvision, timm and transformers, small: found, grown, shrunk, settled."""

import copy

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.graph.example import split_inputs
from depthprobe.graph.purity import same_output, tensors_of

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 30,
    "max_position_embeddings": 16,
}  # fmt: skip
IDS = {"input_ids": torch.arange(32).view(4, 8) % 29 + 1, "attention_mask": (torch.arange(8) < 7).long().expand(4, 8)}
PAIRS = {**IDS, "decoder_input_ids": IDS["input_ids"], "use_cache": False}
IMAGES = torch.randn(12, 3, 32, 32)


def hugging(zoo, config, model, settings, inputs):
    library = zoo("transformers")
    return getattr(library, model)(getattr(library, config)(**settings)), inputs


def seen(zoo, name):
    return zoo("torchvision").models.get_model(name, weights=None, num_classes=4), IMAGES


def drawn(zoo, name, **settings):
    return zoo("timm").create_model(name, pretrained=False, num_classes=4, **settings), IMAGES


# name -> (model and inputs, tracer, a block, its kind)
MODELS = {
    "resnet18": (lambda z: seen(z, "resnet18"), "fx", "layer1.1", "residual"),
    "mobilenet_v2": (lambda z: seen(z, "mobilenet_v2"), "fx", "features.3", "residual"),
    "squeezenet": (lambda z: seen(z, "squeezenet1_1"), "fx", "features.4", "block"),
    "timm vit": (lambda z: drawn(z, "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=3, embed_dim=24), "fx",
                 "blocks.1", "transformer"),
    "timm mixer": (lambda z: (z("timm").models.mlp_mixer.MlpMixer(
        num_classes=4, img_size=32, patch_size=8, num_blocks=3, embed_dim=24), IMAGES), "fx", "blocks.1", "residual"),
    "timm convnext": (lambda z: drawn(z, "convnext_atto", depths=(2, 2, 2, 2), dims=(8, 16, 16, 16)), "fx",
                      "stages.0.blocks.1", "residual"),
    "timm resnetv2": (lambda z: drawn(z, "resnetv2_50", layers=(2, 2), channels=(16, 32)), "fx",
                      "stages.0.blocks.1", "residual"),
    "bert": (lambda z: hugging(z, "BertConfig", "BertForSequenceClassification", SMALL, IDS), "modules",
             "bert.encoder.layer.0", "transformer"),
    "gpt2": (lambda z: hugging(z, "GPT2Config", "GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2,
             "vocab_size": 30, "bos_token_id": 0, "eos_token_id": 0}, IDS), "modules", "transformer.h.1",
             "transformer"),
    "llama": (lambda z: hugging(z, "LlamaConfig", "LlamaForCausalLM", SMALL, IDS), "modules", "model.layers.1",
              "transformer"),
    "albert": (lambda z: hugging(z, "AlbertConfig", "AlbertForSequenceClassification", {**SMALL, "embedding_size": 8},
               IDS), "modules", "albert.encoder.albert_layer_groups.0.albert_layers.0", "transformer"),
    "t5": (lambda z: hugging(z, "T5Config", "T5ForConditionalGeneration", {"vocab_size": 30, "d_model": 16, "d_kv": 8,
           "d_ff": 24, "num_layers": 2, "num_heads": 2}, PAIRS), "modules",
           "encoder.block.1", "transformer"),
}  # fmt: skip


@pytest.fixture(params=MODELS)
def entry(request, zoo):
    make, tracer, block, kind = MODELS[request.param]
    torch.manual_seed(0)
    model, inputs = make(zoo)
    return model.eval(), inputs, tracer, block, kind


def run(model, inputs):
    torch.manual_seed(0)
    args, kwargs = split_inputs(copy.deepcopy(inputs))
    return model(*args, **kwargs)


def test_models_people_have(entry):
    model, inputs, tracer, block, kind = entry
    units = dp.units(model, inputs)
    assert next(u for u in units if u.name == block).kind == kind
    with torch.no_grad():
        reference = run(model, inputs)
    growable, shrinkable = ([u.name for u in units if getattr(u, what)] for what in ("growable", "shrinkable"))
    grown = dp.apply(model, [dp.Duplicate(unit=name) for name in growable], inputs)
    assert grown.tracer == tracer
    with torch.no_grad():
        assert same_output(run(grown, inputs), reference)
        grown.set_ratio(1.0)
        assert same_output(run(grown, inputs), run(dp.settle(grown), inputs))
    grown.set_ratio(0.75)
    sum(t.float().square().mean() for _, t in tensors_of(run(grown.train(), inputs)) if t.requires_grad).backward()
    copies = [p for gate in grown.gates.values() for p in gate.inside.parameters()]
    assert copies
    assert any(p.grad is not None for p in copies)
    for name in {shrinkable[0], shrinkable[-1], block} & set(shrinkable):
        edited = dp.apply(model, [dp.Gate(unit=name)], inputs)
        with torch.no_grad():
            assert same_output(run(edited, inputs), reference)
            edited.set_ratio(0.0)
            plain = dp.settle(edited)
            assert same_output(run(edited, inputs), run(plain, inputs))
        assert count(plain) < count(model)
        assert all(torch.isfinite(t).all() for _, t in tensors_of(run(plain, inputs)))


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_a_decoder_with_a_cache_generates_the_same_tokens_while_copies_are_shut(zoo):
    model, inputs = hugging(zoo, "LlamaConfig", "LlamaForCausalLM", {**SMALL, "eos_token_id": None}, IDS)
    edited = dp.apply(model.eval(), [dp.Duplicate(unit="model.layers.0")], inputs)
    wanted = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert torch.equal(edited.network.generate(**inputs, max_new_tokens=4, do_sample=False, use_cache=False), wanted)
    assert model.config.use_cache
    assert dp.undo(edited).config.use_cache


def test_copies_of_layers_with_a_cache_number_themselves(zoo):
    model, inputs = hugging(zoo, "LlamaConfig", "LlamaForCausalLM", SMALL, IDS)
    edited = dp.apply(model, [dp.Duplicate(unit="model.layers.0", copies=2)], inputs)
    numbers = [gate.inside.self_attn.layer_idx for gate in edited.gates.values()]
    assert numbers == [2, 3]
