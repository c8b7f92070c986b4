"""A page on disk: written beside its place, then renamed into it."""

import os
import secrets
from pathlib import Path

from depthprobe.errors import RunFolderError


def write_page(text: str, target: Path) -> None:
    """Write `text` to `target` (UTF-8), whole or not at all. Raises RunFolderError when that cannot be done."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        found = error.strerror or str(error)
        raise RunFolderError("the report cannot be written", where=str(target), found=found) from error
    finally:
        temporary.unlink(missing_ok=True)
