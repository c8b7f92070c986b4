"""A page on disk: written beside its place, then renamed into it."""

import os
import tempfile
from pathlib import Path

from depthprobe.errors import RunFolderError


def write_page(text: str, target: Path) -> None:
    """Write `text` to `target` (UTF-8), whole or not at all. Raises RunFolderError when that cannot be done."""
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            found = error.strerror or str(error)
            raise RunFolderError("the report cannot be written", where=str(target), found=found) from error
        raise


def _umask() -> int:
    """The process's file mode mask (a temporary file is private, a report need not be)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
