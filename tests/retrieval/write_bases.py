"""Writes bases/version_N.sqlite, the database of a small knowledge base as each version of the tables holds it.

    .venv/bin/python tests/retrieval/write_bases.py

A file that is there is left alone: it stands for what users have. A new version of the tables adds the next one.
"""

from __future__ import annotations

import json
import runpy
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

BASES = Path(__file__).parent / "bases"
SCHEMA = BASES.parents[2] / "retrieval" / "database" / "schema.py"
# Name, caption, tags, vector. Each is shown by ./pictures/NAME.png.
STYLES = (("blue", "a blue lake", ["water"], (0.0, 0.0, 1.0)), ("red", "a red wall", ["brick"], (1.0, 0.0, 0.0)))
META = {"encoder": "colours@1", "dimension": 3, "pack": "0.1.0", "decoding": 1, "revision": 1, "changes": ["0a1b2c3d"]}
STAMP = [100, 1_700_000_000_000_000_000, 0]
EDIT = ("red", "bricks in the sun")  # what a person said in place of the file


def id_of(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def first(db: sqlite3.Connection) -> None:
    for key, (name, caption, tags, vector) in enumerate(STYLES, 1):
        files = json.dumps({f"./pictures/{name}.png": STAMP})
        row = (key, id_of(name), name, caption, json.dumps(tags), "CC0-1.0", 16, 16, files)
        columns = "key, id, name, caption, tags, licence, width, height, files"
        db.execute(f"INSERT INTO styles ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO vectors VALUES (?, ?)", (key, np.array(vector, dtype="<f4").tobytes()))
    db.executemany("INSERT INTO meta VALUES (?, ?)", [(name, json.dumps(value)) for name, value in META.items()])


def second(db: sqlite3.Connection) -> None:
    name, caption = EDIT
    for other, said, tags, _ in STYLES:
        row = (f"./pictures/{other}.png", id_of(other), "", json.dumps(STAMP), other, said, json.dumps(tags), "CC0-1.0")
        columns = "path, id, source, stamp, name, caption, tags, licence"
        db.execute(f"INSERT INTO files ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    db.execute("INSERT INTO edits VALUES (?, ?, NULL)", (id_of(name), caption))
    db.execute("UPDATE styles SET caption = ? WHERE name = ?", (caption, name))


ROWS = (first, second)  # what the tables of each version hold beside those of the versions before


def tables_of(version: int) -> Iterator[str]:
    for step in runpy.run_path(str(SCHEMA))["STEPS"][:version]:
        yield from step.split(";\n")


def write(version: int) -> None:
    with closing(sqlite3.connect(BASES / f"version_{version}.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA page_size = 512")
        for statement in tables_of(version):
            db.execute(statement)
        for add in ROWS[:version]:
            add(db)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("VACUUM")


if __name__ == "__main__":
    for number in range(1, len(ROWS) + 1):
        if not (BASES / f"version_{number}.sqlite").exists():
            write(number)
