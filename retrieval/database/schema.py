"""The tables of a knowledge base, and how those that an earlier version made become these."""

from __future__ import annotations

import sqlite3

_FIRST = """
CREATE TABLE IF NOT EXISTS styles (
    key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, caption TEXT NOT NULL,
    tags TEXT NOT NULL, licence TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, files TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (key INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS removed (seq INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS captions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL UNIQUE, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# What each file says of its picture is the truth in `files`, what a person says in `edits`; a row of `styles` is what
# both make together. `dropped_` tables hold what the last run that dropped something took away.
_FILE = """path TEXT NOT NULL UNIQUE, id TEXT NOT NULL, source TEXT NOT NULL, stamp TEXT NOT NULL, name TEXT NOT NULL,
    caption TEXT NOT NULL, tags TEXT NOT NULL, licence TEXT NOT NULL"""
_SECOND = f"""
ALTER TABLE styles ADD COLUMN other_names TEXT NOT NULL DEFAULT '[]';
ALTER TABLE styles ADD COLUMN other_captions TEXT NOT NULL DEFAULT '[]';
CREATE TABLE files (seq INTEGER PRIMARY KEY AUTOINCREMENT, {_FILE});
CREATE INDEX files_of ON files (id);
CREATE TABLE edits (id TEXT PRIMARY KEY, caption TEXT, tags TEXT) WITHOUT ROWID;
CREATE TABLE sources (source TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE dropped_files (seq INTEGER PRIMARY KEY, {_FILE});
CREATE TABLE dropped_styles (
    id TEXT PRIMARY KEY, width INTEGER NOT NULL, height INTEGER NOT NULL, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE dropped_sources (source TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO files (path, id, source, stamp, name, caption, tags, licence)
    SELECT file.key, styles.id, '', file.value, name, caption, tags, licence
    FROM styles, json_each(styles.files) AS file;
UPDATE files SET stamp = '[0, 0, 0]', name = '', caption = '', tags = '[]', licence = ''
    WHERE seq NOT IN (SELECT min(seq) FROM files GROUP BY id);
"""  # a record's words were those of its first file alone: the others are read again at the next run
STEPS = (_FIRST, _SECOND)  # `PRAGMA user_version` counts those that were taken


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Make the tables, or what is missing of them, in one transaction. Raises ValueError for a later version's."""
    if _version(db) == len(STEPS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for number, step in enumerate(STEPS[_version(db) :], _version(db) + 1):
            for statement in step.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        raise ValueError(
            f"the knowledge base has tables of version {version}, made by a later version of the pack, and this one "
            f"reads {len(STEPS)}: update the nodes."
        )
    return version
