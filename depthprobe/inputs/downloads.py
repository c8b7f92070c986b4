"""Known data sets: their official files, fetched once and checked by hash, or found in a local folder."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from depthprobe.errors import DataError
from depthprobe.inputs.cifar import CIFAR10, CIFAR100, CifarLayout
from depthprobe.inputs.idx import FILES

_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True, kw_only=True)
class OfficialFiles:
    """Where the files of one data set are published. md5: of the files as published, name by name."""

    url: str
    md5: dict[str, str]


MNIST_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
OFFICIAL = {
    "mnist": OfficialFiles(url=_MNIST_URL, md5=dict(zip(FILES, MNIST_MD5, strict=True))),
    "fashion-mnist": OfficialFiles(url=_FASHION_URL, md5=dict(zip(FILES, FASHION_MD5, strict=True))),
    "cifar10": OfficialFiles(url=_CIFAR_URL, md5={CIFAR10.archive: "c32a1d4ab5d03f1284b67883e8d87530"}),
    "cifar100": OfficialFiles(url=_CIFAR_URL, md5={CIFAR100.archive: "03b5dce01913d631647c71ecec9e9cb8"}),
}


def fetch_files(name: str) -> list[Path]:
    """Return the official files of a data set, downloaded to the user's cache unless they are there already.

    Raises DataError naming the URL when a download fails or its hash does not match.
    """
    import pooch  # imported here: it brings requests along, and most runs never download

    official = OFFICIAL[name]
    folder = Path(pooch.os_cache("depthprobe")) / name
    fetched: list[Path] = []
    for file, md5 in official.md5.items():
        url = official.url + file
        try:
            fetched.append(Path(pooch.retrieve(url, f"md5:{md5}", fname=file, path=folder)))
        except (OSError, ValueError) as problem:  # requests raises OSError, a wrong hash is a ValueError
            raise DataError(
                f"cannot download {name}",
                where=url,
                expected=f"a file of md5 {md5}, kept in {folder}",
                found=f"{type(problem).__name__}: {problem}"[:200],
                hint="--data-dir FOLDER with a copy of the files",
            ) from problem
    return fetched


def find_idx_files(name: str, data_dir: Path) -> list[Path]:
    """Return the four IDX files in `data_dir/name` or in `data_dir` itself; DataError names a missing one."""
    folders = _list_places(name, data_dir, [name, "."])
    folder = next((place for place in folders if any((place / file).is_file() for file in FILES)), None)
    missing = next((file for file in FILES if folder is None or not (folder / file).is_file()), None)
    if folder is None or missing:
        raise _missing(name, folder or data_dir / name, missing or FILES[0])
    return [folder / file for file in FILES]


def find_cifar(name: str, layout: CifarLayout, data_dir: Path) -> Path:
    """Return the unpacked folder or the archive, in `data_dir/name` or `data_dir`; DataError when absent."""
    places = _list_places(name, data_dir, [f"{name}/{layout.folder}", layout.folder, name, "."])
    folder = next((place for place in places if (place / layout.train[0]).is_file()), None)
    archives = [data_dir / name / layout.archive, data_dir / layout.archive]
    archive = next((path for path in archives if path.is_file()), None)
    found = folder or archive
    if found is None:
        raise _missing(name, data_dir / name, f"{layout.folder}/{layout.train[0]} or {layout.archive}")
    return found


def _list_places(name: str, data_dir: Path, inside: list[str]) -> list[Path]:
    """Return the existing folders to look in; one named after another data set is not taken for this one."""
    if not data_dir.is_dir():
        raise DataError("no such folder", where=f"--data-dir {data_dir}", expected=f"a folder with {name}")
    own = data_dir.resolve().name == name or data_dir.resolve().name not in OFFICIAL
    return [data_dir / text for text in inside if text != "." or own]


def _missing(name: str, folder: Path, file: str) -> DataError:
    near = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    match = difflib.get_close_matches(file, near, n=1, cutoff=0.8)
    return DataError(
        f"{name}: missing {file}",
        where=str(folder),
        found=match[0] if match else ", ".join(near[:8]) or "no such folder, or an empty one",
        hint=f"leave --data-dir out to download {name}",
    )
