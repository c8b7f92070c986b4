"""Where a study lives: any SQLAlchemy URL, with a heartbeat that finds the trials of workers that died."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from depthprobe.errors import ConfigError, DepthprobeError
from depthprobe.tuning.quiet import quietly

BEATS_MISSED = 3  # and the worker is taken for dead
SQLITE_WAIT_SECONDS = 120
AGAIN_SECONDS = 0.5
FILE = "study.db"
OWN = f"sqlite:///{FILE}"  # in config.json: the run folder's own file, wherever the folder lies


class StorageError(DepthprobeError):
    """The storage of a study cannot be reached or read (exit code 3)."""


def local_url(folder: Path) -> str:
    """The SQLite file of a run folder."""
    return URL.create("sqlite", database=str((folder / FILE).absolute())).render_as_string(hide_password=False)


def resolve_url(written: str, folder: Path) -> str:
    """The URL of a run's storage. written: as config.json has it; folder: of the run, which may have been moved."""
    return local_url(folder) if written == OWN else written


def parse_url(text: str) -> URL:
    """A SQLAlchemy URL, a file's path made absolute. Raises ConfigError for anything else, and for one that keeps
    nothing.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigError(
            "the storage is not a database URL",
            where="--storage",
            expected="sqlite:///study.db, postgresql+psycopg://HOST/DATABASE or another SQLAlchemy URL",
            found=_shown(text),
        ) from error
    if url.get_backend_name() == "sqlite" and not url.database:
        raise ConfigError(
            "a database in memory cannot be shared", where="--storage", expected="sqlite:///FILE", found=text
        )
    if url.get_backend_name() == "sqlite":  # other processes may be elsewhere
        return url.set(database=str(Path(str(url.database)).absolute()))
    return url


def without_password(text: str) -> str:
    """The URL as it may be written down."""
    return parse_url(text)._replace(password=None).render_as_string(hide_password=False)


def open_storage(text: str, heartbeat: int, *, create: bool = True) -> RDBStorage:
    """The storage of a study. heartbeat: seconds between two signs of life of a trial; create: make its tables, if they
    are missing.

    Raises ConfigError for an unknown dialect, a missing driver, and a storage that cannot be reached or is none.
    """
    url = parse_url(text)
    sqlite = url.get_backend_name() == "sqlite"
    engine = {"connect_args": {"timeout": SQLITE_WAIT_SECONDS}} if sqlite else {"pool_pre_ping": True}
    if sqlite and not create and not Path(str(url.database)).is_file():
        raise ConfigError("there is no such database", where="--storage", found=str(url.database))
    try:
        storage = _connect(url, engine, heartbeat, create=create)
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise _no_driver(url, error) from error
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        raise ConfigError(**_unreachable(url, error)) from error
    if sqlite:
        _serialise(storage.engine)
    return storage


def _connect(url: URL, engine: dict[str, Any], heartbeat: int, *, create: bool) -> RDBStorage:
    """Two processes that make the tables of an empty database at once disturb each other: the second try finds them."""
    for last in (False, True):
        try:
            with quietly():
                return RDBStorage(
                    url.render_as_string(hide_password=False),
                    engine_kwargs=dict(engine),
                    heartbeat_interval=heartbeat,
                    grace_period=BEATS_MISSED * heartbeat,
                    skip_table_creation=not create,
                )
        except (SQLAlchemyError, StorageInternalError, RuntimeError):
            if last:
                raise
            time.sleep(AGAIN_SECONDS)
    raise AssertionError


@contextmanager
def reporting_storage(text: str, hint: str | None = None) -> Iterator[None]:
    """Turn what a storage raises in the middle of a run into StorageError. hint: what to type once it is mended."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        found = _unreachable(parse_url(text), error)
        raise StorageError(**{**found, "hint": hint or found["hint"]}) from error


def _unreachable(url: URL, error: Exception) -> dict[str, str]:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    lines = str(getattr(cause, "orig", None) or cause).splitlines() or [type(cause).__name__]
    return {
        "what": "the storage cannot be reached, or holds no studies",
        "where": f"--storage {url.render_as_string(hide_password=True)}",
        "found": lines[0],
        "hint": "check the URL and the server; a password may come from PGPASSWORD or ~/.pgpass",
    }


def _no_driver(url: URL, error: Exception) -> ConfigError:
    return ConfigError(
        f"no driver for {url.drivername}",
        where="--storage",
        expected="an installed driver of SQLAlchemy",
        found=str(error.__cause__ or error).splitlines()[0],
        hint="pip install 'psycopg[binary]', for postgresql+psycopg://"
        if url.get_backend_name() == "postgresql"
        else None,
    )


def _serialise(engine: sqlalchemy.Engine) -> None:
    """One writer at a time from its first read on: else two processes could both take a trial that both saw waiting.

    SQLite has no row locks, and Python's driver begins a transaction at the first write only.
    """

    @event.listens_for(engine, "connect")
    def connect(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # the driver begins no transactions

    @event.listens_for(engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections that were made before know nothing of this


def _shown(text: str) -> str:
    return text if "@" not in text else "..." + text[text.rindex("@") :]
