"""Opening the metadata of a pipeline, in SQLite or MySQL."""

import contextlib
import re
import sqlite3
import urllib.parse
from typing import Any

from ml_metadata import MetadataStore

_STATEMENT = re.compile(r" query: +[A-Z].*", re.DOTALL)
"""The SQL that ML Metadata appends to an error."""


def check_not_locked(sqlite_file: str) -> None:
    """Refuses a file that is locked: ML Metadata tries for long, and then does not say why."""
    if not sqlite_file:
        return
    uri = f"file:{urllib.parse.quote(sqlite_file)}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):  # what else is wrong, ML Metadata says
            raise ValueError(
                "The metadata store must not be locked by another process. "
                f"Received: {sqlite_file}: {error}. "
                "Wait until the pipeline that writes to it is done, or show a copy."
            ) from error


def store_of(connection: Any) -> MetadataStore:
    """Returns the metadata of a connection; an error says what keeps them from being read."""
    try:
        return MetadataStore(connection)
    except RuntimeError as error:
        reason = _STATEMENT.sub("", str(error))
        raise ValueError(
            "The metadata store must be one that a TFX pipeline has written to. "
            f"Received: {reason}. Give the file, or the server, database, user and password, "
            "of the pipeline's `metadata_connection_config`."
        ) from error
