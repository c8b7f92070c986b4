"""The customary augmentation of small colour images: random flip and random crop."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_and_crop(x: Tensor, generator: torch.Generator, padding: int | None = None) -> Tensor:
    """Flip each image left to right with probability 1/2, and shift it by up to `padding` pixels.

    x: (B, C, H, W). Returns the same shape and dtype; what a shift uncovers is zero, which is the mean of
    normalised images. padding: in pixels; H // 8 by default, at least 1 (4 for 32 x 32). Decided by
    `generator` alone, which may live on another device than x.
    """
    batch, channels, height, width = x.shape
    margin = max(1, height // 8) if padding is None else padding
    device = generator.device
    flip = torch.randint(2, (batch, 1), generator=generator, device=device).to(x.device)
    shift = torch.randint(2 * margin + 1, (2, batch, 1), generator=generator, device=device).to(x.device)
    rows = torch.arange(height, device=x.device) + shift[0]  # (B, H), in the padded image
    columns = torch.arange(width, device=x.device) + shift[1]
    wide = width + 2 * margin
    columns = torch.where(flip.bool(), wide - 1 - columns, columns)
    places = (rows[:, :, None] * wide + columns[:, None, :]).view(batch, 1, height * width)
    padded = functional.pad(x, (margin,) * 4).view(batch, channels, -1)
    return padded.gather(2, places.expand(-1, channels, -1)).view_as(x)
