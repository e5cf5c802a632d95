"""What a knowledge base remembers about itself, readable without opening it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

FORMAT = 1
ORIGIN_FILE = "knowledge_base.json"


@dataclass
class Origin:
    """What a knowledge base remembers about itself, in `knowledge_base.json`.

    revision: counts committed changes. background: query kind -> (mean, standard deviation) of the cosines of pairs
    that
    do not belong together, see `calibration`.
    """

    encoder: str
    dimension: int
    distance: str = "cosine"
    format: int = FORMAT
    revision: int = 0
    background: dict[str, list[float]] = field(default_factory=dict)


def read_origin(folder: Path) -> Origin | None:
    """Read what made the knowledge base in a folder, without opening Chroma; None when there is none."""
    path = folder / ORIGIN_FILE
    return Origin(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
