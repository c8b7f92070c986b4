"""Model sources: from what the user typed to a fresh network per seed."""

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs.candidates import choose_model, make_network
from depthprobe.inputs.checkpoint import Checkpoint, open_checkpoint
from depthprobe.inputs.isolation import isolated
from depthprobe.inputs.memory_model import InMemoryModel, check_network, renew
from depthprobe.inputs.model_args import check_model_args, format_model_args, parse_model_args
from depthprobe.inputs.named_by_file import check_module_name, check_target
from depthprobe.inputs.overrides import Overrides, find_overrides
from depthprobe.inputs.packages import find_in_package, hash_package_file, import_package_module
from depthprobe.inputs.pyfiles import execute_file, find_attribute, read_file, split_file_spec
from depthprobe.inputs.zoo_models import find_in_zoo, hash_zoo_file, is_zoo_spec

__all__ = ["InMemoryModel", "ModelSource", "open_model", "parse_model_args"]

FORMS = "file.py, file.py:name, pkg.mod:attr, torchvision:NAME, timm:NAME or hf:CLASS"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a network comes from: enough to build it again, in this process or another.

    spec: as typed, file paths made absolute. args: keyword arguments of the class or factory, plain values.
    sha256: of the file's bytes (for `pkg.mod:attr` of that module's file, for a model by name of the file that defines
    it); None when there is no such file. checkpoint: weights that every network starts from, whatever the seed. typed:
    whether the user named it, and not a file.
    """

    spec: str
    args: dict[str, object] = field(default_factory=dict)
    sha256: str | None = None
    checkpoint: Checkpoint | None = None
    typed: bool = field(default=True, compare=False)

    def build(self, seed: int) -> nn.Module:
        """Build a new network, its weights drawn under `torch.manual_seed(seed)`; random states are restored.

        The file is executed again each time, so a ready-made instance gets new weights too. Raises ModelError
        as `open_model` does, and when the file's bytes are no longer those that were opened.
        """
        network, ready_made = _load(self, seed)
        if ready_made:
            # Executing twice tells a new instance from one that is kept elsewhere and handed out again.
            again, _ = _load(self, seed)
            network = renew(again, seed) if again is network else again
        if self.checkpoint is not None:
            self.checkpoint.load_into(network)
        check_network(network, self.spec)
        return network

    def overrides(self) -> Overrides:
        """The training functions of the model's file or module; raises as `build` does. A model by name has none."""
        if is_zoo_spec(self.spec):
            return Overrides()
        file = split_file_spec(self.spec)
        path = file[0] if file else None
        with isolated(0, path.parent if path else Path.cwd()):
            _check_named(self)
            _check_unchanged(self)
            module = execute_file(path, ModelError) if path else import_package_module(self.spec)
        return find_overrides(module, path)

    def to_json(self) -> dict[str, object]:
        """Return plain values; each argument is the text that `--model-args` takes, so tuples survive."""
        started = {"checkpoint": self.checkpoint.to_json()} if self.checkpoint else {}
        return {"spec": self.spec, "args": format_model_args(self.args), "sha256": self.sha256, **started}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> "ModelSource":
        """Read what `to_json` wrote; ModelError for a model that was passed from Python."""
        spec, args, sha256 = record.get("spec"), record.get("args", {}), record.get("sha256")
        if spec == "<python>":
            raise ModelError(
                "this model was passed as a Python object and cannot be loaded by name",
                found=str(record.get("class")),
                hint="pass the object again",
            )
        if not (isinstance(spec, str) and isinstance(args, dict) and (sha256 is None or isinstance(sha256, str))):
            raise ModelError("not a model source", expected="spec, args and sha256", found=str(dict(record)))
        try:
            values = {name: ast.literal_eval(text) for name, text in args.items()}
        except (ValueError, TypeError, SyntaxError) as problem:
            raise ModelError("not a model source: unreadable arguments", found=str(args)) from problem
        checkpoint = Checkpoint.from_json(record.get("checkpoint"))
        return cls(spec=spec, args=values, sha256=sha256, checkpoint=checkpoint, typed=False)


@overload
def open_model(
    spec: str, model_args: Mapping[str, object] | None = None, checkpoint: Path | None = None
) -> ModelSource: ...
@overload
def open_model(
    spec: nn.Module, model_args: Mapping[str, object] | None = None, checkpoint: Path | None = None
) -> InMemoryModel: ...
@overload
def open_model(
    spec: str | nn.Module, model_args: Mapping[str, object] | None = None, checkpoint: Path | None = None
) -> ModelSource | InMemoryModel: ...
def open_model(
    spec: str | nn.Module, model_args: Mapping[str, object] | None = None, checkpoint: Path | None = None
) -> ModelSource | InMemoryModel:
    """Return the source of a model, tried once by building it with seed 0.

    spec: `file.py`, `file.py:name`, `pkg.mod:attr`, `torchvision:NAME`, `timm:NAME`, `hf:CLASS`, or a network.
    model_args: keyword arguments of plain values; for `hf:` fields of the config. Raises ModelError with the place and
    the culprit for anything that does not give a trainable network.
    """
    args = dict(model_args or {})
    started = open_checkpoint(checkpoint) if checkpoint is not None else None
    if not isinstance(spec, (str, nn.Module)):
        name = getattr(spec, "__name__", type(spec).__name__)  # type: ignore[unreachable]
        raise ModelError(
            "the model is neither a module nor a source", expected=FORMS + ", or a torch.nn.Module instance",
            found=name, hint=f"{name}()" if isinstance(spec, type) else None,
        )  # fmt: skip
    if isinstance(spec, nn.Module):
        memory = InMemoryModel(spec, started)
        check_network(make_network(spec, args, memory.where, None), memory.where)
        return memory
    _check_form(spec)
    check_model_args(args, spec)
    file = split_file_spec(spec)
    spec = spec if file is None else ":".join(str(part) for part in file if part is not None)
    with isolated(0, Path.cwd()):
        source = ModelSource(spec=spec, args=args, sha256=_hash_source(spec))
    source.build(0)
    return replace(source, checkpoint=started)


def _load(source: ModelSource, seed: int) -> tuple[nn.Module, bool]:
    """Execute the source once and return (network, whether it is a ready-made instance)."""
    file = split_file_spec(source.spec)
    path = file[0] if file else None
    with isolated(seed, path.parent if path else Path.cwd()):
        _check_named(source)
        _check_unchanged(source)
        target: object
        if is_zoo_spec(source.spec):
            target = find_in_zoo(source.spec, source.args)
        else:
            target = _find_in_package(source) if file is None else _find_in_file(*file, source)
        network = make_network(target, source.args, source.spec, path)
    return network, network is target


def _find_in_package(source: ModelSource) -> object:
    target = find_in_package(source.spec)
    if not source.typed:
        check_target(target, source.spec)
    return target


def _find_in_file(path: Path, name: str | None, source: ModelSource) -> object:
    module = execute_file(path, ModelError)
    if name is None:
        return choose_model(module, source.spec, source.args)
    return find_attribute(module, name, source.spec, ModelError)


def _hash_source(spec: str) -> str | None:
    if is_zoo_spec(spec):
        return hash_zoo_file(spec)
    file = split_file_spec(spec)
    if file is None:
        return hash_package_file(spec)
    return hashlib.sha256(read_file(file[0], ModelError)).hexdigest()


def _check_named(source: ModelSource) -> None:
    """Before anything is imported that a file names."""
    if not (source.typed or is_zoo_spec(source.spec) or split_file_spec(source.spec)):
        check_module_name(source.spec)


def _check_unchanged(source: ModelSource) -> None:
    digest = _hash_source(source.spec) if source.sha256 is not None else None
    if digest != source.sha256:
        raise ModelError(
            "the model's file has changed since it was opened",
            where=source.spec,
            expected=f"sha256 {str(source.sha256)[:12]}",
            found=f"sha256 {digest[:12]}" if digest else "no file",
            hint="put the old file back, or start a new run with the new one",
        )


def _check_form(spec: str) -> None:
    prefix, _, rest = spec.partition(":")
    file = split_file_spec(spec)
    if (file is None and not (rest and prefix.replace(".", "").isidentifier())) or (file and file[1] == ""):
        hint = f"{spec}.py" if Path(f"{spec}.py").is_file() else None
        found = "a file that is not Python" if Path(spec).is_file() else None
        raise ModelError(f"not a model: {spec!r}", expected=FORMS, found=found, hint=hint)
