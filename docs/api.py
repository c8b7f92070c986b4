"""Writes docs/api.md, the API reference, from signatures and docstrings.

Run: python docs/api.py     (a test fails when the page is not what this writes)
"""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import depthprobe as dp
from depthprobe import config, errors
from depthprobe.layers.gate import Gate
from depthprobe.probes.answer import Recommendation
from depthprobe.probes.listener import Listener
from depthprobe.probes.result import Result
from depthprobe.surgery.edited import Edited

PAGE = Path(__file__).with_name("api.md")
HEAD = """# API reference

Written by `python docs/api.py` from the signatures and docstrings of `depthprobe` {version}; `import depthprobe as dp`.
How things are used: the [README](../README.md), and the method cards of [grow](methods/grow.md),
[shrink](methods/shrink.md) and [width](methods/width.md).

Shapes are written as (B, C, H, W), B the batch. `example_inputs` is always a tensor, a tuple of positional or a dict of
keyword arguments of `forward`, with a batch of two or more. Ratios p run from 0 (the unit is skipped) to 1 (it is fully
in). Metrics are in their own units; accuracy is a share: 0.97.
"""
SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Probes", "One call, one answer.", ("grow", "shrink", "width")),
    ("Units", "What a model consists of, as far as depth and width go.", ("units", "Unit")),
    (
        "Edits",
        "Records of what is done to a model: frozen, keyword-only, equal after a round trip through JSON. A value out "
        "of its range raises EditError when the edit is made; a unit that does not exist, when it is applied.",
        ("Duplicate", "Gate", "Remove", "Narrow", "recipe_to_json", "recipe_from_json"),
    ),
    (
        "Surgery",
        "Edits are applied to a copy; gates are moved; what is left over becomes plain modules.",
        ("apply", "settle", "undo", "move_optimizer"),
    ),
    (
        "Layers",
        "The two layers behind a gate, for networks of your own. An unknown option, and shapes that do not fit, raise "
        "ValueError as torch's own layers do.",
        ("DropIn", "Resize"),
    ),
)
RETURNED = (Result, Recommendation, Edited, Gate, Listener)
_NAMED = r"[a-z_]+(?:(?:, | / )[a-z_]+)*: "
SETTINGS = (
    config.GrowConfig, config.ShrinkConfig, config.WidthConfig, config.GrowthConfig, config.BudgetConfig,
    config.TrainConfig,
)  # fmt: skip
SHOWN = {
    Result: ("curve", "save", "report", "plot", "to_frame"),
    Recommendation: ("to_json", "from_json"),
    Edited: ("gates", "set_ratio", "set_ratios", "tracer", "original_parameters"),
    Gate: ("ratio",),
    Listener: ("begun", "arm_begun", "arm_skipped", "progress", "recorded"),
}


def write_page() -> str:
    """The whole page."""
    parts = [HEAD.format(version=dp.__version__)]
    for title, text, names in SECTIONS:
        parts += [f"## {title}\n\n{text}\n", *(describe(f"dp.{name}", getattr(dp, name)) for name in names)]
    parts.append("## What they return\n\nNot made by hand; in the order in which one meets them.\n")
    parts += [describe(kind.__name__, kind, called=False) + members(kind) for kind in RETURNED]
    parts.append(
        "## Settings\n\nKeywords of the probes, and keys of a `--config` file, by section. `grow` takes those of "
        "GrowConfig (GrowthConfig and BudgetConfig among them) and TrainConfig, `shrink` and `width` theirs, "
        "BudgetConfig's and TrainConfig's. A value out of its range raises ConfigError.\n"
    )
    parts += [describe(kind.__name__, kind, called=False) + table(kind) for kind in SETTINGS]
    parts.append(
        "## Errors\n\nEvery message says what is wrong, where, what was expected and found, and what to type next; "
        "they are attributes too: `what`, `where`, `expected`, `found`, `hint`. A UsageError ends a command with exit "
        "code 2: nothing was created; all others with 3.\n"
    )
    parts.append("\n".join(tree(errors.DepthprobeError)) + "\n")
    return "\n".join(parts)


def describe(name: str, thing: Any, *, called: bool = True) -> str:
    """Heading, signature and docstring of one name."""
    shown = f"```text\n{signature(name, thing)}\n```\n\n" if called else ""
    return f"### {name}\n\n{shown}{prose(thing)}\n"


def signature(name: str, thing: Any) -> str:
    """The call, types without their modules; one parameter per line where it is long."""
    found = inspect.signature(thing)
    words = [short(str(parameter)) for parameter in found.parameters.values()]
    keyword = [number for number, p in enumerate(found.parameters.values()) if p.kind is p.KEYWORD_ONLY]
    if keyword:
        words.insert(keyword[0], "*")
    end = "" if inspect.isclass(thing) else f" -> {short(inspect.formatannotation(found.return_annotation))}"
    line = f"{name}({', '.join(words)}){end}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){end}"


def short(text: str) -> str:
    """`collections.abc.Mapping[str, typing.Any]` as `Mapping[str, Any]`."""
    return re.sub(r"\b(?:[a-zA-Z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text)


def prose(thing: Any) -> str:
    """The docstring in Markdown: what is said of a parameter ("name: ...") becomes a line of a list."""
    paragraphs = (inspect.getdoc(thing) or "").split("\n\n")
    return "\n\n".join(itemise(" ".join(text.split())) for text in paragraphs)


def itemise(text: str) -> str:
    """`a: one. b, c: two. Raises X.` as a list of two, and a paragraph."""
    body, raises, errors_said = text.partition(" Raises ")
    lines = [item(part) for part in re.split(rf"(?<=[.;]) (?={_NAMED})", body)]
    first = 0 if lines[0].startswith("- ") else 1
    listed = "\n\n".join(filter(None, [*lines[:first], "\n".join(lines[first:])]))
    return listed + (f"\n\nRaises {escape(errors_said)}" if raises else "")


def item(text: str) -> str:
    """`name: what it is;` as a line of a list; anything else as it is."""
    named = re.match(_NAMED, text)
    if not named:
        return escape(text)
    return f"- {quote(named[0])}: {escape(text[named.end() :].removesuffix(';').removesuffix('.'))}."


def quote(names: str) -> str:
    """`a, b: ` with each name as code."""
    return re.sub(r"\w+", r"`\g<0>`", names.removesuffix(": "))


def escape(text: str) -> str:
    """Stars and angle brackets mean themselves, but in `code`."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def members(kind: type) -> str:
    """Properties and methods that are meant for readers, one line each."""
    lines = []
    for name in SHOWN[kind]:
        member = inspect.getattr_static(kind, name)
        call = "" if isinstance(member, property) else inspect_call(getattr(kind, name))
        lines.append(f"- `.{name}{call}`: {' '.join(prose(member).split())}")
    return "\n" + "\n".join(lines) + "\n"


def inspect_call(method: Any) -> str:
    """The parameters of a method, without self and types."""
    return f"({', '.join(name for name in inspect.signature(method).parameters if name not in ('self', 'cls'))})"


def table(kind: type) -> str:
    """Settings of a dataclass that it does not inherit from another one of the page, with their types and defaults."""
    homes = [home for home in kind.__mro__ if home is kind or (dataclasses.is_dataclass(home) and home not in SETTINGS)]
    own = [field for field in dataclasses.fields(kind) if any(field.name in home.__annotations__ for home in homes)]
    rows = [f"| `{field.name}` | {type_of(field)} | `{default_of(field)}` |" for field in own]
    return "\n" + "\n".join(["| setting | type | default |", "|---|---|---|", *rows]) + "\n"


def type_of(field: Any) -> str:
    """`int or None`, without the bar that ends a cell."""
    return short(inspect.formatannotation(field.type)).replace(" | ", " or ")


def default_of(field: Any) -> Any:
    """As one would type it."""
    made = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    return repr(made)


def tree(kind: type, depth: int = 0) -> list[str]:
    """An exception and those below it."""
    said = (inspect.getdoc(kind) or "").split("\n\n")[0]
    lines = [f"{'  ' * depth}- `{kind.__name__}`: {' '.join(said.split())}"]
    known = [below for below in kind.__subclasses__() if below.__module__ == errors.__name__]
    return lines + [line for below in known for line in tree(below, depth + 1)]


if __name__ == "__main__":
    PAGE.write_text(write_page())
