"""Where a data set lies: the file or folder that a name stands for, from here and from any other folder."""

import difflib
from pathlib import Path

from depthprobe.errors import DataError

KNOWN = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")


def find_path(spec: str, data_dir: Path | None) -> Path:
    """The file or folder `spec`, looked for in `data_dir`, then from the current folder. Raises DataError."""
    path = Path(spec).expanduser()
    found = _look(path, data_dir)
    if found is not None:
        return found.resolve()
    near = _near(path)
    if path.suffix or len(path.parts) > 1:
        hint = f"--dataset {near}" if near else "check the path, it is taken from the current folder"
        raise DataError(f"no such file or folder: {spec}", where=str(path.absolute()), hint=hint)
    match = difflib.get_close_matches(spec.lower(), KNOWN, n=1, cutoff=0.5)
    raise DataError(
        f"unknown data set: {spec}",
        expected=f"{', '.join(KNOWN)}, an image folder, a .npz or file.py:name",
        hint=f"--dataset {near or (match[0] if match else 'digits, or the path of a folder of images')}",
    )


def find_program(path: Path, spec: str, data_dir: Path | None) -> Path:
    """The Python file of a `spec` like `file.py:name`; `path`, which is where it would be, when it is nowhere."""
    found = _look(Path(_split(spec)[0]).expanduser(), data_dir)
    return path if found is None else found.resolve()


def anchor(spec: str, data_dir: Path | None) -> tuple[str, Path | None]:
    """The same data set, named so that it is found from any folder: `spec` as typed wherever an absolute folder of data
    beside it says the rest.
    """
    folder = None if data_dir is None else data_dir.absolute()
    text, name = _split(spec)
    path = Path(text).expanduser()
    if spec in KNOWN or (folder is not None and not path.is_absolute() and (folder / path).exists()):
        return spec, folder
    if folder is None and not path.is_absolute():
        return spec, Path.cwd()
    return f"{path.absolute()}{name}", folder


def _look(path: Path, data_dir: Path | None) -> Path | None:
    places = (path,) if data_dir is None else (data_dir / path, path)
    return next((place for place in places if place.exists()), None)


def _split(spec: str) -> tuple[str, str]:
    """The path in `file.py:name`, and the rest; of any other `spec` all of it."""
    stem, marker, name = spec.rpartition(".py:")
    return (f"{stem}.py", f":{name}") if marker else (spec, "")


def _near(path: Path) -> Path | None:
    """What lies in the same folder under nearly this name."""
    beside = {other.name: other for other in path.parent.iterdir()} if path.parent.is_dir() else {}
    match = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.75)
    return beside[match[0]] if match else None
