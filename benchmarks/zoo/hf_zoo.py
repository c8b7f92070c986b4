"""Twenty-five Hugging Face architectures from small configs: random weights, no network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from depthprobe.inputs.zoo import import_zoo
from zoo.cases import Case, picture

WORDS, LENGTH = 120, 12
_SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
_TEXT = {**_SMALL, "vocab_size": WORDS, "max_position_embeddings": 40}
_GROUPED = {**_TEXT, "num_key_value_heads": 2, "pad_token_id": 0}
_PICTURE = {**_SMALL, "image_size": 32, "patch_size": 8, "num_labels": 10}

# name -> (class, config, what it reads)
ARCHITECTURES: dict[str, tuple[str, dict[str, Any], str]] = {
    "BERT": ("BertForSequenceClassification", _TEXT, "words"),
    "RoBERTa": ("RobertaForSequenceClassification", _TEXT, "words"),
    "DistilBERT": (
        "DistilBertForSequenceClassification",
        {"vocab_size": WORDS, "max_position_embeddings": 40, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48},
        "words",
    ),
    "ALBERT": ("AlbertForSequenceClassification", {**_TEXT, "embedding_size": 16}, "words"),
    "ELECTRA": ("ElectraForSequenceClassification", {**_TEXT, "embedding_size": 16}, "words"),
    "DeBERTa-v2": (
        "DebertaV2ForSequenceClassification",
        {**_TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
        "words",
    ),
    "GPT-2": (
        "GPT2LMHeadModel",
        {"vocab_size": WORDS, "n_positions": 40, "n_embd": 32, "n_layer": 3, "n_head": 4,
         "bos_token_id": 1, "eos_token_id": 2},
        "words",
    ),
    "GPT-Neo": (
        "GPTNeoForCausalLM",
        {"vocab_size": WORDS, "max_position_embeddings": 40, "hidden_size": 32, "num_layers": 4, "num_heads": 4,
         "attention_types": [[["global", "local"], 2]], "window_size": 8, "bos_token_id": 1, "eos_token_id": 2},
        "words",
    ),
    "OPT": (
        "OPTForCausalLM",
        {"vocab_size": WORDS, "max_position_embeddings": 40, "hidden_size": 32, "word_embed_proj_dim": 32,
         "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_dim": 48},
        "words",
    ),
    "Llama": ("LlamaForCausalLM", _GROUPED, "words"),
    "Mistral": ("MistralForCausalLM", _GROUPED, "words"),
    "Qwen2": ("Qwen2ForCausalLM", _GROUPED, "words"),
    "Gemma": ("GemmaForCausalLM", {**_GROUPED, "head_dim": 8}, "words"),
    "Phi": ("PhiForCausalLM", {**_TEXT, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, "words"),
    "Falcon": (
        "FalconForCausalLM",
        {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         "bos_token_id": 1, "eos_token_id": 2},
        "words",
    ),
    "BLOOM": ("BloomForCausalLM", {"vocab_size": WORDS, "hidden_size": 32, "n_layer": 3, "n_head": 4}, "words"),
    "T5": (
        "T5ForConditionalGeneration",
        {"vocab_size": WORDS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4},
        "two texts",
    ),
    "BART": (
        "BartForConditionalGeneration",
        {"vocab_size": WORDS, "max_position_embeddings": 40, "d_model": 32, "encoder_layers": 3, "decoder_layers": 3,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
        "two texts",
    ),
    "ViT": ("ViTForImageClassification", _PICTURE, "picture"),
    "Swin": (
        "SwinForImageClassification",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4,
         "num_labels": 10},
        "picture",
    ),
    "ConvNeXt": (
        "ConvNextForImageClassification",
        {"hidden_sizes": [16, 24, 32, 40], "depths": [2, 2, 2, 2], "image_size": 64, "num_labels": 10},
        "large picture",
    ),
    "DeiT": ("DeiTForImageClassification", _PICTURE, "picture"),
    "BEiT": ("BeitForImageClassification", {**_PICTURE, "vocab_size": WORDS}, "picture"),
    "Wav2Vec2": (
        "Wav2Vec2ForSequenceClassification",
        {**_SMALL, "conv_dim": (16, 16, 16), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3),
         "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
         "layerdrop": 0.0, "apply_spec_augment": False},
        "sound",
    ),
    "Whisper": (
        "WhisperForConditionalGeneration",
        {"vocab_size": WORDS, "num_mel_bins": 16, "d_model": 32, "encoder_layers": 3, "decoder_layers": 3,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
         "max_source_positions": 20, "max_target_positions": 40, "pad_token_id": 0, "bos_token_id": 1,
         "eos_token_id": 2, "decoder_start_token_id": 1},
        "spectrum and text",
    ),
}  # fmt: skip


def cases() -> list[Case]:
    """All twenty-five, in the order above."""
    import_zoo("transformers", "coverage.py")
    return [
        Case("hf", name, kind, partial(build, spec, config), _INPUTS[kind], shared=name == "ALBERT")
        for name, (spec, config, kind) in ARCHITECTURES.items()
    ]


def build(class_name: str, config: dict[str, Any]) -> nn.Module:
    """The class made from its config alone."""
    kind = getattr(import_zoo("transformers", class_name), class_name)
    return kind(kind.config_class(**config))


def words(batch: int, length: int = LENGTH) -> dict[str, Any]:
    """Tokens with a padded second half in the last text."""
    generator = torch.Generator().manual_seed(batch)
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[-1, length // 2 :] = 0
    ids = torch.randint(5, WORDS, (batch, length), generator=generator)
    return {"input_ids": ids, "attention_mask": mask}


def _two_texts(batch: int) -> dict[str, Any]:
    return {**words(batch), "decoder_input_ids": words(batch, 7)["input_ids"]}


def _pixels(side: int, batch: int) -> dict[str, Any]:
    return {"pixel_values": picture(3, side, side)(batch)}


def _sound(batch: int) -> dict[str, Any]:
    return {"input_values": picture(800)(batch)}


def _spectrum(batch: int) -> dict[str, Any]:
    return {"input_features": picture(16, 40)(batch), "decoder_input_ids": words(batch, 7)["input_ids"]}


_INPUTS: dict[str, Callable[[int], Any]] = {
    "words": words, "two texts": _two_texts, "picture": partial(_pixels, 32), "large picture": partial(_pixels, 64),
    "sound": _sound, "spectrum and text": _spectrum,
}  # fmt: skip
