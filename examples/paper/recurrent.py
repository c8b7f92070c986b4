"""A stack of LSTM layers that reads an image row by row: the recurrent network that the paper leaves to future work."""

from torch import Tensor, nn


class Stack(nn.Module):
    """(B, 1, H, W) -> (B, 10) logits, H steps of W numbers; layer k is `lstm_k`."""

    def __init__(self, layers: int, hidden: int, width: int) -> None:
        super().__init__()
        self.names = [f"lstm_{k}" for k in range(1, layers + 1)]
        for rank, name in enumerate(self.names):
            self.add_module(name, nn.LSTM(width if rank == 0 else hidden, hidden, batch_first=True))
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 1, H, W); returns (B, 10)."""
        x = x.squeeze(1)
        for name in self.names:
            x, _ = getattr(self, name)(x)
        return self.fc(x[:, -1])


def stacked(layers: int = 8, hidden: int = 32, shape: tuple[int, int, int] = (1, 28, 28)) -> Stack:
    """The network with torch's default init."""
    return Stack(layers, hidden, shape[2])
