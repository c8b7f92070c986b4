"""From options to the model and the data: `open_inputs` where training begins, `open_network` for a trained network."""

from pathlib import Path
from typing import Any

from depthprobe.cli import options as o
from depthprobe.errors import ConfigError


def open_inputs(
    model: str | None,
    model_args: list[str] | None,
    dataset: str | None,
    data_dir: Path | None,
    limit_train: int | None,
    image_size: int | None,
    out: Path | None,
    checkpoint: Path | None,
) -> tuple[Any, Any]:
    """The model source and the data source that the options name; `out` is checked, nothing is created."""
    from depthprobe.inputs import open_model, parse_model_args

    _check_out(out)
    source = _data(o.need_dataset(dataset), data_dir, limit_train, image_size)
    return open_model(o.need_model(model), parse_model_args(model_args or []), checkpoint), source


def open_network(
    checkpoint: Path | None,
    model: str | None,
    model_args: list[str] | None,
    dataset: str | None,
    data_dir: Path | None,
    limit_train: int | None,
    image_size: int | None,
    out: Path | None,
) -> tuple[Any, Any]:
    """The trained network and its data, as `open_trained` gives them; `out` is checked, nothing is created.

    Raises ConfigError for options that would do nothing.
    """
    from depthprobe.inputs import parse_model_args
    from depthprobe.probes.trained import open_trained

    _check_out(out)
    if dataset is None and (limit_train is not None or image_size is not None):
        raise ConfigError(
            "the checkpoint brings its own data, as it was trained on", where="--limit-train, --image-size",
            expected="--dataset beside them", hint="leave them out, or name the data set",
        )  # fmt: skip
    if model is None and model_args:
        raise ConfigError("--model-args without --model", where="--model-args", hint="--model file.py:name")
    source = None if dataset is None else _data(dataset, data_dir, limit_train, image_size)
    return open_trained(
        o.need_checkpoint(checkpoint), model, parse_model_args(model_args or []), source, data_dir=data_dir
    )


def _check_out(out: Path | None) -> None:
    from depthprobe.runs import check_out

    if out is not None:
        check_out(out)


def _data(dataset: str, data_dir: Path | None, limit_train: int | None, image_size: int | None) -> Any:
    from depthprobe.probes.setup import DataSource

    folder = str(data_dir.absolute()) if data_dir else None
    return DataSource(spec=dataset, data_dir=folder, limit_train=limit_train, image_size=image_size)
