"""What a knowledge base remembers about itself, readable without opening it."""

import re
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from .database import FILE, Database

FORMAT = 2


@dataclass
class Origin:
    """What a knowledge base remembers about itself.

    revision: counts committed changes. background: query kind -> (mean, standard deviation) of the cosines of pairs
    that do not belong together, see `calibration`. pack: the version of the pack that began it.
    """

    encoder: str
    dimension: int
    distance: str = "cosine"
    format: int = FORMAT
    revision: int = 0
    background: dict[str, list[float]] = field(default_factory=dict)
    pack: str = ""


def same_weights(one: str, other: str) -> bool:
    """Tell whether two encoder identities, `name@weights`, name the same weights, under whatever name."""
    return one.rpartition("@")[2] == other.rpartition("@")[2]


def to_origin(meta: dict[str, Any]) -> Origin | None:
    """Return what the table `meta` says; None while the knowledge base is empty."""
    names = {entry.name for entry in fields(Origin)}
    return Origin(**{name: value for name, value in meta.items() if name in names}) if "encoder" in meta else None


def read_origin(folder: Path) -> Origin | None:
    """Read what made the knowledge base in a folder, without opening its index; None when there is none."""
    if not (folder / FILE).is_file():
        return None
    with closing(Database(folder / FILE)) as database:
        return to_origin(database.meta())


@cache
def pack_version() -> str:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    return "".join(re.findall(r'^version = "(.+)"', text, re.MULTILINE)[:1])
