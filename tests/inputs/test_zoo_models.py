"""Models by name: built offline with random weights, fitted to the data, wrong names and arguments named."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

import depthprobe.inputs.zoo as zoo
from depthprobe.errors import ModelError
from depthprobe.inputs import ModelSource, as_dataset, as_tokens, fit_to_data, open_model, split_dataset

needs_torchvision = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
needs_transformers = pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")

SMALL_BERT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 50,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def pictures(channels=3, side=32, classes=4):
    return as_dataset({"train": (torch.rand(40, channels, side, side), torch.arange(40) % classes)})


def texts():
    tokens = torch.randint(0, 50, (40, 8))
    return as_dataset({"train": (tokens, torch.arange(40) % 3)}), tokens


def fails(spec, *parts, args=None):
    with pytest.raises(ModelError) as caught:
        open_model(spec, args)
    for part in parts:
        assert part in str(caught.value)


@needs_torchvision
def test_torchvision_model_is_built_anew_for_every_seed():
    source = open_model("torchvision:squeezenet1_1", {"num_classes": 5})
    one, again, other = source.build(0), source.build(0), source.build(1)
    assert torch.equal(one.features[0].weight, again.features[0].weight)
    assert not torch.equal(one.features[0].weight, other.features[0].weight)
    assert one.classifier[1].out_channels == 5
    assert ModelSource.from_json(source.to_json()) == source
    assert source.sha256
    assert not source.overrides().names


@needs_torchvision
def test_another_version_of_the_package_is_another_model():
    source = replace(open_model("torchvision:squeezenet1_1"), sha256="0" * 64)
    with pytest.raises(ModelError, match="has changed"):
        source.build(0)


@needs_torchvision
def test_torchvision_head_fits_the_data_and_says_so():
    source, said = fit_to_data(open_model("torchvision:squeezenet1_1"), pictures())
    assert source.build(0)(torch.rand(2, 3, 32, 32)).shape == (2, 4)
    assert said == ("torchvision:squeezenet1_1 is built with num_classes=4, to fit <python>",)
    assert fit_to_data(source, pictures()) == (source, said)  # a resumed run says the same


@needs_torchvision
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_torchvision_model_takes_pictures_of_any_channels_and_says_so(channels):
    source, said = fit_to_data(open_model("torchvision:squeezenet1_1"), pictures(channels=channels))
    assert said == (f"torchvision:squeezenet1_1 is built with num_classes=4, in_channels={channels}, to fit <python>",)
    net, three = source.build(0), open_model("torchvision:squeezenet1_1", {"num_classes": 4}).build(0)
    assert net(torch.rand(2, channels, 32, 32)).shape == (2, 4)
    assert [name for name, _ in net.named_parameters()] == [name for name, _ in three.named_parameters()]
    assert torch.equal(net.features[0].bias, three.features[0].bias)
    assert torch.equal(net.features[3].squeeze.weight, three.features[3].squeeze.weight)
    ratio = net.features[0].weight[:, 0].std() / three.features[0].weight[:, 0].std()
    assert ratio.item() == pytest.approx((3 / channels) ** 0.5, rel=1e-4)


@needs_torchvision
def test_what_the_user_asked_for_stays():
    source, said = fit_to_data(open_model("torchvision:squeezenet1_1", {"num_classes": 9}), pictures())
    assert source.args == {"num_classes": 9}
    assert said == ()


@needs_torchvision
def test_torchvision_mistakes_are_named():
    fails("torchvision:resnet81", "no model 'resnet81'", "torchvision:resnet18")
    fails("torchvision:resnet18", "not fetched", args={"weights": "DEFAULT"})
    fails("torchvision:resnet18", "nonsense", args={"nonsense": 3})


@needs_timm
def test_timm_model_takes_the_pictures_as_they_are():
    source, said = fit_to_data(open_model("timm:vit_tiny_patch16_224"), pictures(channels=1))
    assert source.build(0)(torch.rand(2, 1, 32, 32)).shape == (2, 4)
    assert "num_classes=4, in_chans=1, img_size=32" in said[0]
    fails("timm:resnet1", "no model 'resnet1'")
    fails("timm:resnet18", "not fetched", args={"pretrained": True})


@needs_transformers
def test_config_fields_make_a_hugging_face_model():
    source = open_model("hf:BertForSequenceClassification", SMALL_BERT)
    data, tokens = texts()
    source, said = fit_to_data(source, data)
    net = source.build(0)
    assert net(tokens[:2]).logits.shape == (2, 3)
    assert len(net.bert.encoder.layer) == 2
    assert "num_labels=3" in said[0]
    fails("hf:BertForSequenceClassification", "no config field", "num_hidden_layers", args={"num_hiden_layers": 2})
    fails("hf:BertForSequenceClasification", "no model", "hf:BertForSequenceClassification")
    fails("hf:AutoModel", "AutoModel")


def test_whole_numbers_are_tokens_for_a_network_with_an_embedding():
    data, tokens = texts()
    read = as_tokens(data, nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(32, 3)))
    assert torch.equal(read.train.x, tokens)
    split = split_dataset(read, split_seed=0)
    assert split.train.x.dtype == split.valid.x.dtype == split.test.x.dtype == torch.int64
    assert split.mean == split.std == ()
    assert as_tokens(data, nn.Linear(8, 3)) is data
    fractions = as_dataset({"train": (torch.rand(40, 8), torch.arange(40) % 3)})
    assert as_tokens(fractions, nn.Embedding(50, 4)) is fractions


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda name: None)
    for spec, package in (("torchvision:resnet18", "torchvision"), ("timm:x", "timm"), ("hf:X", "transformers")):
        fails(spec, f"{package} is not installed", f"pip install {package}")
