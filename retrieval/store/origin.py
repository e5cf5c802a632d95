"""What a knowledge base remembers about itself, readable without opening it."""

import re
import unicodedata
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from ..database.database import FILE, Database
from ..engines.base import SETTINGS

# Names that Windows keeps for devices, whatever follows the first dot.
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
DEVICES |= {"conin$", "conout$"}
_NO_SIGNS = '<>:"/\\|?*'  # on Windows
_JOINERS = "\u200c\u200d"  # between letters in Persian and Hindi, and in emoji: they print nothing, and mean something
_LONGEST, _MOST_BYTES = 64, 255  # characters, and bytes of a folder's name


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


def plain_name(name: str) -> str:
    """Return a knowledge base's name in Unicode's form NFC. Raises ValueError for what can't be one.

    It has to be a plain folder name on every operating system. Macs may write it in the form NFD: it is the same name.
    """
    name = unicodedata.normalize("NFC", name)
    foreign = next((sign for sign in name if sign in _NO_SIGNS or not (sign.isprintable() or sign in _JOINERS)), "")
    if not 1 <= len(name) <= _LONGEST:
        wrong = f"it has {len(name)} characters"
    elif foreign:
        wrong = f"{foreign!r} is in it"
    elif len(name.encode()) > _MOST_BYTES:
        wrong = f"it has {len(name.encode())} bytes in UTF-8, and a folder's name {_MOST_BYTES}"
    elif name[0] in " .-" or name[-1] in " .":
        wrong = f"it begins with {name[0]!r} and ends with {name[-1]!r}"
    elif _reserved(name):
        wrong = "it is reserved"
    else:
        return name
    raise ValueError(
        f"name {name[: _LONGEST + 16]!r} can't name a knowledge base, {wrong}: use 1 to {_LONGEST} letters, digits, "
        f"spaces and signs of any script but {_NO_SIGNS}, no space, dot or dash at the beginning, no space or dot at "
        "the end, and no name of a device on Windows, such as CON."
    )


def folder_of(root: Path, name: str) -> Path:
    """Return where a knowledge base of that name is below a root, or would be. Raises ValueError as `plain_name`."""
    name = plain_name(name)
    if name.isascii() or (root / name).exists() or not root.is_dir():
        return root / name
    written = (folder for folder in root.iterdir() if unicodedata.normalize("NFC", folder.name) == name)
    return next(written, root / name)


def _reserved(name: str) -> bool:
    device = unicodedata.normalize("NFKC", name).casefold().partition(".")[0].rstrip()  # Windows: COM¹ is COM1, too
    return device in DEVICES or name.casefold() == SETTINGS


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
