"""Who watches a probe: called at every event, decides nothing."""

from collections.abc import Sequence
from typing import Any


class Listener:
    """Base that ignores everything; subclasses draw, print or count."""

    def begun(self, setup: Any, done_arms: int, arms: Sequence[Any]) -> None:
        """Training starts; of `arms`, `done_arms` were finished before. Once more, with more arms, if --verify adds
        them.
        """

    def arm_begun(self, arm: Any, step: int) -> None:
        """An arm starts, or goes on from `step`."""

    def arm_skipped(self, arm: Any) -> None:
        """An arm is not needed: its seed failed already."""

    def progress(self, arm: Any, step: int, loss: float, ratios: list[float]) -> None:
        """Every few steps."""

    def recorded(self, record: dict[str, Any]) -> None:
        """Something was written to records.jsonl."""
