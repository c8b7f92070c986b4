"""The exception tree: every message says what, where, expected, found, and what to type next."""


class DepthprobeError(Exception):
    """Base of all errors raised on purpose.

    what: one line naming the culprit; where: file, option or unit; expected / found: the two sides of the
    disagreement; hint: the next thing to type. The rendered message has at most six lines.
    """

    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.found, self.hint = what, where, expected, found, hint
        super().__init__(self.render())

    def render(self) -> str:
        """The message, one fact per line, absent facts left out."""
        facts = [("where", self.where), ("expected", self.expected), ("found", self.found), ("try", self.hint)]
        lines = [_one_line(self.what)]
        lines += [f"  {label + ':':<10}{_one_line(text)}" for label, text in facts if text]
        return "\n".join(lines)


def printable(text: str) -> str:
    """`text` in which nothing commands a terminal: what cannot be printed is written as its escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _one_line(text: str, limit: int = 300) -> str:
    flat = printable(" ".join(str(text).split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


class UsageError(DepthprobeError):
    """Bad input or usage: nothing was created (exit code 2)."""

    exit_code = 2


class ModelError(UsageError):
    """The model source cannot be loaded, or is not a model that can be probed."""


class DataError(UsageError):
    """The data set is unknown, missing, damaged or unfit."""


class ConfigError(UsageError):
    """A setting is unknown or out of range."""


class GraphError(UsageError):
    """The model cannot be traced, or has no unit that fits the request."""


class EditError(UsageError):
    """An edit names a unit that does not exist, or asks for what the unit refuses."""


class RunFolderError(UsageError):
    """A run folder exists already, is not one, or belongs to another model."""


class UserCodeError(DepthprobeError):
    """A function of the user's (loss, optimizer, metric, ...) raised in the middle of a run (exit code 3)."""


class TrainingError(DepthprobeError):
    """Training cannot go on: the loss is no longer finite, or every seed failed (exit code 3)."""


class ProcessError(DepthprobeError):
    """Another process of the same training, or a worker, ended before its work did (exit code 3)."""


class KernelError(DepthprobeError):
    """The CUDA kernels were demanded and are not there, or cannot be built (exit code 3)."""
