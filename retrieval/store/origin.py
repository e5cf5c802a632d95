"""What a knowledge base remembers about itself, readable without opening it."""

import re
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from ..database.database import FILE, Database
from ..engines.base import SETTINGS

# Names that Windows keeps for devices, whatever follows the first dot.
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


@dataclass
class Origin:
    """What a knowledge base remembers about itself.

    encoder: `name@weights` of what made its vectors.
    dimension: numbers a vector.
    revision: counts committed changes.
    background: query kind -> [mean, standard deviation] of the cosines of pairs that do not belong together, see
    `calibration`.
    pack: the version of the pack that began it.
    decoding: how its pictures were decoded, see `reader.DECODING`; 1 before that was noted.
    """

    encoder: str
    dimension: int
    revision: int = 0
    background: dict[str, list[float]] = field(default_factory=dict)
    pack: str = ""
    decoding: int = 1


def check_name(name: str) -> None:
    """Raise ValueError for a name of a knowledge base that is no plain folder name on every operating system."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}[A-Za-z0-9]|[A-Za-z0-9]", name):
        raise ValueError(
            f"name {name!r} can't name a knowledge base: use 1 to 64 letters, digits, spaces, dots, dashes and "
            "underscores, beginning and ending with a letter or digit."
        )
    if name.lower().partition(".")[0] in DEVICES or name.lower() == SETTINGS:
        raise ValueError(f"name {name!r} can't name a knowledge base: it is reserved, choose another.")


def same_weights(one: str, other: str) -> bool:
    """Tell whether two encoder identities, `name@weights`, name the same weights, under whatever name."""
    return one.rpartition("@")[2] == other.rpartition("@")[2]


def to_origin(meta: dict[str, Any]) -> Origin | None:
    """Return what the table `meta` says; None while the knowledge base is empty."""
    names = {entry.name for entry in fields(Origin)}
    return Origin(**{name: value for name, value in meta.items() if name in names}) if "encoder" in meta else None


def read_state(folder: Path) -> str:
    """Return what differs after each change that is committed to a knowledge base, without opening its index.

    It also differs between a knowledge base and one that was put in its place; "" stands for none.
    """
    if not (folder / FILE).is_file():
        return ""
    return Database(folder / FILE).state()


@cache
def pack_version() -> str:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    return "".join(re.findall(r'^version = "(.+)"', text, re.MULTILINE)[:1])
