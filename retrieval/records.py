"""The things that retrieval hands around. Plain data."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SourceFile:
    """A picture file and what tells whether it changed: sizes in bytes, times in nanoseconds; 0 without a sidecar."""

    path: str
    name: str
    size: int
    modified: int
    sidecar_modified: int = 0

    @property
    def stamp(self) -> list[int]:
        return [self.size, self.modified, self.sidecar_modified]


@dataclass(frozen=True)
class StyleRecord:
    """One stored picture. id: SHA-256 (hex) of its decoded pixels. files: path -> stamp of each file that shows it."""

    id: str
    name: str
    caption: str
    tags: tuple[str, ...]
    licence: str
    width: int
    height: int
    files: dict[str, list[int]]

    @property
    def file(self) -> str:
        return next(iter(self.files))

    @property
    def text(self) -> str:
        """Everything about the picture that words can match: name, caption, tags."""
        return " ".join([self.name, self.caption, *self.tags])


@dataclass(frozen=True)
class StyleMatch:
    """A retrieved record.

    cosine: raw CLIP cosine, -1..1, of picture and query. score: 0..1, see `calibration`. ranks: strategy -> rank from
    1.
    matched: words of the prompt that stand in the record's text.
    """

    record: StyleRecord
    score: float
    cosine: float
    ranks: dict[str, int]
    matched: tuple[str, ...] = ()

    def explain(self) -> dict[str, Any]:
        """Return the match as the JSON object that RetrieveStyle's `explanation` lists."""
        record = self.record
        return {
            "id": record.id,
            "name": record.name,
            "file": record.file,
            "caption": record.caption,
            "tags": list(record.tags),
            "licence": record.licence,
            "score": round(self.score, 4),
            "cosine": round(self.cosine, 4),
            "ranks": self.ranks,
            "matched": list(self.matched),
        }


@dataclass
class IngestReport:
    """What an ingest did: counts of pictures, and the files that failed, each with its reason.

    near_duplicates: pairs of stored pictures that look almost the same, one of them new: {one, other, cosine}.
    """

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    total: int = 0
    seconds: float = 0.0
    near_duplicates: list[dict[str, str | float]] = field(default_factory=list)
