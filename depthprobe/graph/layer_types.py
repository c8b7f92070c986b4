"""Which modules hold weights, which only shape or squash, and which are units at once."""

from torch import Tensor, nn

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHT_LAYERS = (*CONVS, nn.Linear)
NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LocalResponseNorm, nn.RMSNorm,
)  # fmt: skip
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid,
)  # fmt: skip
DROPOUTS = nn.modules.dropout._DropoutNd
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
KNOWN_BLOCKS = (nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_LATER = (*KNOWN_BLOCKS, nn.MultiheadAttention, nn.Transformer)
REMIXES = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, *_LATER)  # what comes before one is no output head
_ATOMS = (nn.RNNBase, nn.MultiheadAttention)
_BARE = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def is_weight_layer(module: nn.Module) -> bool:
    """Whether the module itself mixes features by a weight: conv, linear, recurrent, attention, or one of the user's
    own with a matrix (an embedding or a norm is none).
    """
    if isinstance(module, (*REMIXES, *_ATOMS)):
        return True
    if isinstance(module, (*NORMS, nn.Embedding, nn.EmbeddingBag, *_BARE)) or any(True for _ in module.children()):
        return False
    return any(isinstance(p, Tensor) and p.ndim >= 2 for p in module._parameters.values())


def is_container(module: nn.Module) -> bool:
    """Whether the module only holds others: a list, a dict, or a Sequential with torch's own forward."""
    if isinstance(module, nn.Sequential):
        return type(module).forward is nn.Sequential.forward
    return isinstance(module, _BARE) and type(module).forward in (nn.Module.forward, None)


def count_weight_layers_in(module: nn.Module, counts: dict[int, int]) -> int:
    """Weight layers inside, an attention or recurrent layer as one. counts: what is known already, by id."""
    known = counts.get(id(module))
    if known is None:
        inner = 0 if isinstance(module, _ATOMS) else sum(count_weight_layers_in(c, counts) for c in module.children())
        own = int(getattr(module, "num_layers", 1)) if isinstance(module, nn.RNNBase) else int(is_weight_layer(module))
        known = counts[id(module)] = inner or own
    return known
