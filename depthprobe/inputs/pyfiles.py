"""Python files of the user: execute one, find a name in it, and say where in it something went wrong."""

import contextlib
import difflib
import hashlib
import re
import sys
import traceback
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from depthprobe.errors import DepthprobeError, UsageError


def split_file_spec(spec: str) -> tuple[Path, str | None] | None:
    """Split `file.py` or `file.py:name` into (absolute path, name or None); None when `spec` is neither."""
    if spec.endswith(".py"):
        return Path(spec).expanduser().resolve(), None
    stem, marker, name = spec.rpartition(".py:")
    return (Path(stem + ".py").expanduser().resolve(), name) if marker else None


def read_file(path: Path, error: type[UsageError]) -> bytes:
    """Return the file's bytes; `error` when it is missing (naming a close match) or unreadable."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = sorted(path.parent.glob("*.py")) if path.parent.is_dir() else []
        match = difflib.get_close_matches(path.name, [file.name for file in near], n=1)
        hint = f"{path.parent / match[0]}" if match else "check the path, it is taken from the current folder"
        raise error(f"no such file: {path.name}", where=str(path), expected="a Python file", hint=hint) from None
    except OSError as problem:
        raise error(f"cannot read {path.name}", where=str(path), found=str(problem)) from problem


def execute_file(path: Path, error: type[UsageError]) -> ModuleType:
    """Execute a Python file as a new module and return it.

    The module's private name comes from the path and the contents, so that files of one name do not collide.
    Call it inside `isolated`. Raises `error` for a missing file, a syntax error and whatever the file raises.
    """
    source = read_file(path, error)
    digest = hashlib.sha256(bytes(path) + b"\0" + source).hexdigest()[:12]
    name = re.sub(r"\W", "_", f"depthprobe_user_{path.stem}_{digest}")
    spec = spec_from_file_location(name, path)
    if spec is None:
        raise error(f"not a Python file: {path.name}", where=str(path))
    module = module_from_spec(spec)
    with reporting(path, f"executing {path.name}", error):
        code = compile(source, str(path), "exec", dont_inherit=True)
        sys.modules[name] = module  # dataclasses and torch.compile look their module up here
        try:
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def find_attribute(owner: object, name: str, where: str, error: type[UsageError]) -> object:
    """Return the attribute at a dotted `name`; `error` suggests a close match when there is none."""
    found = owner
    for part in name.split("."):
        if not hasattr(found, part):
            public = [text for text in dir(found) if not text.startswith("_")]
            match = difflib.get_close_matches(part, public, n=1, cutoff=0.5)
            source = where.removesuffix(f":{name}")
            raise error(
                f"there is no {part!r} in {getattr(owner, '__file__', None) or source}",
                where=where,
                found=", ".join(public[:20]) or "nothing",
                hint=f"{source}:{match[0]}" if match else None,
            )
        found = getattr(found, part)
    return found


@contextlib.contextmanager
def reporting(path: Path | None, doing: str, error: type[DepthprobeError], *, advise: bool = True) -> Iterator[None]:
    """Turn whatever user code raises into `error`, with the exception, its message and the line in `path`.

    advise: whether running the file by itself would show more.
    """
    try:
        yield
    except DepthprobeError:
        raise
    except (Exception, SystemExit) as problem:
        where = _find_line(problem, path)
        if isinstance(problem, SyntaxError):
            raise error(f"syntax error: {problem.msg}", where=where, found=(problem.text or "").strip()) from problem
        text = f"{type(problem).__name__}: {problem}".rstrip(": ")
        raise error(
            f"{doing} raised {text}", where=where, hint=_find_hint(problem, path if advise else None)
        ) from problem


def _find_line(problem: BaseException, path: Path | None) -> str | None:
    """`file:line` of the innermost frame in the user's file, or in its folder, or anywhere."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{problem.filename}:{problem.lineno}"
    frames = list(reversed(traceback.extract_tb(problem.__traceback__)))
    own = [frame for frame in frames if path and frame.filename == str(path)]
    near = [frame for frame in frames if path and Path(frame.filename).is_relative_to(path.parent)]
    ours = str(Path(__file__).parent)
    other = [frame for frame in frames if not frame.filename.startswith(ours)]
    if not (own or near or other):
        return str(path) if path else None
    best = (own or near or other)[0]
    return f"{best.filename}:{best.lineno}"


def _find_hint(problem: BaseException, path: Path | None) -> str | None:
    if isinstance(problem, ImportError) and "relative import" in str(problem):
        return "import neighbours by plain name (`import blocks`), or name the package: pkg.mod:attr"
    if isinstance(problem, ModuleNotFoundError):
        return f"install {problem.name} in this environment, or put it beside the file"
    return f"python {path}   (shows the whole traceback)" if path else None
