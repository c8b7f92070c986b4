"""Keyword arguments for a model's class or factory, as `--model-args name=value` takes them."""

import ast
from collections.abc import Mapping, Sequence

from depthprobe.errors import ModelError

_NOT_LITERAL = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)


def parse_model_args(pairs: Sequence[str]) -> dict[str, object]:
    """Read `["depth=3", "name=tiny"]` as `{"depth": 3, "name": "tiny"}`.

    A value is a Python literal; anything else is a string. Raises ModelError for a pair without `=`, a name
    that is no identifier, and a name given twice.
    """
    args: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ModelError(
                f"not a model argument: {pair!r}", where="--model-args", expected="name=value", hint="depth=3"
            )
        if name in args:
            raise ModelError(f"model argument {name} is given twice", where="--model-args")
        try:
            args[name] = ast.literal_eval(text)
        except _NOT_LITERAL:
            args[name] = text
    return args


def format_model_args(args: Mapping[str, object]) -> dict[str, str]:
    """Write each value as the text that `parse_model_args` reads back, so that tuples survive JSON."""
    return {name: repr(value) for name, value in args.items()}


def check_model_args(args: Mapping[str, object], where: str) -> None:
    """Raise ModelError for a value that its own text does not give back: it could not be stored."""
    for name, value in args.items():
        try:
            plain = bool(ast.literal_eval(repr(value)) == value)
        except _NOT_LITERAL:
            plain = False
        if not plain:
            raise ModelError(
                f"argument {name} is not a plain value",
                where=where,
                expected="numbers, strings, tuples, lists, dicts, True, False or None",
                found=repr(value),
                hint="set it in a factory function and name that: file.py:factory",
            )
