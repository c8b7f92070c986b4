"""depthprobe export: a run's network as weights, as one readable Python file, or as ONNX."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from depthprobe.counting import number_of
from depthprobe.errors import ConfigError

_KIND_OF = {".pt": "pt", ".safetensors": "safetensors", ".py": "code", ".onnx": "onnx"}


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of grow or train, or its model.pt")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; must not exist", show_default=False)
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="KIND", help="pt, safetensors, code or onnx (default: as --out ends)"),
    ] = None,
) -> None:
    """Write the network of a finished run: its weights, one .py with weights beside it, or ONNX."""
    if out is None:
        raise ConfigError("no file to write", hint="--out network.py, model.safetensors, model.pt or model.onnx")
    kind = kind or _KIND_OF.get(out.suffix)
    if kind is None:
        raise ConfigError(
            "which format?", where="--out", expected=", ".join(_KIND_OF), found=out.name, hint="--format code"
        )
    from depthprobe.exporting.files import Source, check_export, write_export
    from depthprobe.probes.saved import read_saved

    check_export(kind, out)
    saved = read_saved(run)
    title = f"The network of {saved.path.parent.name or saved.path.name}: {_added(saved.about)}."
    source = Source(state=saved.state, about=saved.about, build=saved.build, title=title)
    for path in write_export(source, kind, out):
        print(path)


def _added(about: Mapping[str, Any]) -> str:
    """Of which model, and how many layers the recipe added."""
    added = sum(edit.get("copies", 0) for edit in json.loads(about["recipe"])["edits"])
    return f"{about['model'].get('spec', 'a model')}, {number_of(added, 'added layer')}"
