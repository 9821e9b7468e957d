"""Opens the metadata store of a pipeline, in SQLite or MySQL."""

import contextlib
import re
import sqlite3
import urllib.parse
from typing import Any

from ml_metadata import MetadataStore

_STATEMENT = re.compile(r" query: +[A-Z].*", re.DOTALL)
"""The SQL statement that ML Metadata appends to an error message."""


def check_not_locked(sqlite_file: str) -> None:
    """Refuses a SQLite file that another process has locked.

    ML Metadata would retry for a long time, and fail without naming the lock.

    Raises:
        ValueError: If the file is locked.
    """
    if not sqlite_file:
        return
    uri = f"file:{urllib.parse.quote(sqlite_file)}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):  # ML Metadata reports all other errors itself
            raise ValueError(
                "The metadata store must not be locked by another process. "
                f"Received: {sqlite_file}: {error}. "
                "Wait until the pipeline that writes to it is done, or show a copy."
            ) from error


def store_of(connection: Any) -> MetadataStore:
    """Returns the metadata store of a connection.

    Raises:
        ValueError: If the store cannot be opened. The message has the reason, without the SQL.
    """
    try:
        return MetadataStore(connection)
    except RuntimeError as error:
        reason = _STATEMENT.sub("", str(error))
        raise ValueError(
            "The metadata store must be one that a TFX pipeline has written to. "
            f"Received: {reason}. Give the file, or the server, database, user and password, "
            "of the pipeline's `metadata_connection_config`."
        ) from error
