"""New weights for a network that was narrowed: a slice of a wide layer's is not what a narrow layer starts from."""

from torch import nn

from depthprobe.inputs.isolation import seeded


def redraw_cut(network: nn.Module, whole: nn.Module, seed: int) -> nn.Module:
    """`network` itself, every layer whose shapes are not those of its namesake in `whole` drawn anew under `seed`, as
    its class draws them; layers that cannot be drawn keep what they have.

    whole: the same model before it was cut, its weights new.
    """
    shapes = {name: parameter.shape for name, parameter in whole.named_parameters()}
    with seeded(seed):
        for name, part in network.named_modules():
            prefix = f"{name}." if name else ""
            own = [(prefix + inner, parameter.shape) for inner, parameter in part.named_parameters(recurse=False)]
            reset = getattr(part, "reset_parameters", None)
            if callable(reset) and any(shapes.get(full) != shape for full, shape in own):
                reset()
    return network
