"""A ratio that lives on the host and is persisted in a buffer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class RatioModule(nn.Module):
    """Base of layers with a `ratio` in [0, 1]: a Python float that forward reads, written to a buffer on saving.

    Reading a device buffer in forward would synchronise at every gate; so `ratio_saved` only crosses
    `state_dict` and back: in float64 there, whatever the network is cast to (not every device has it).
    """

    ratio_saved: Tensor

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.register_buffer("ratio_saved", torch.zeros(()))
        self._ratio = 0.0
        self.ratio = ratio

    @property
    def ratio(self) -> float:
        """Share of the output taken from the new path (unitless, 0..1)."""
        return self._ratio

    @ratio.setter
    def ratio(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"ratio must lie in [0, 1], found {value}")
        self._ratio = float(value)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "ratio_saved"] = torch.tensor(self._ratio, dtype=torch.float64)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        saved = state_dict.get(prefix + "ratio_saved")
        if saved is not None:
            self.ratio = float(saved)
