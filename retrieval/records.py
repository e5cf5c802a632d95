"""The things that retrieval hands around. Plain data."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

STRATEGIES = ("hybrid", "semantic", "keyword", "image")  # how a search ranks


@dataclass(frozen=True)
class SourceFile:
    """A picture file, and what tells whether it changed.

    path: absolute.
    name: what the picture is called, from its path.
    size: bytes.
    modified: nanoseconds since 1970.
    sidecar_modified: the same of the file beside it that describes it; 0 without one.
    source: what was named for it to be found; empty for what a knowledge base keeps itself.
    """

    path: str
    name: str
    size: int
    modified: int
    sidecar_modified: int = 0
    source: str = ""

    @property
    def stamp(self) -> list[int]:
        return [self.size, self.modified, self.sidecar_modified]


@dataclass(frozen=True)
class StyleRecord:
    """One stored picture.

    id: SHA-256 of its decoded pixels, 64 hex digits.
    width, height: pixels.
    files: path -> stamp of each file that shows it.
    other_names, other_captions: what its further files say beside the first, by which it is found, too.
    """

    id: str
    name: str
    caption: str
    tags: tuple[str, ...]
    licence: str
    width: int
    height: int
    files: dict[str, list[int]]
    other_names: tuple[str, ...] = ()
    other_captions: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return next(iter(self.files))

    @property
    def text(self) -> str:
        """Everything about the picture that words can match: names, captions, tags."""
        return " ".join([self.name, self.caption, *self.tags, *self.other_names, *self.other_captions])


@dataclass(frozen=True)
class Occurrence:
    """A picture as one file shows it, with what that file says of it.

    path, source, stamp: as of its SourceFile.
    id: as of its StyleRecord.
    """

    path: str
    id: str
    source: str
    stamp: list[int]
    name: str
    caption: str
    tags: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Edit:
    """What a person says of a style in place of its files.

    caption, tags: None where the files are right.
    """

    caption: str | None = None
    tags: tuple[str, ...] | None = None


def merge(shown: Sequence[Occurrence], width: int, height: int, edit: Edit | None = None) -> StyleRecord:
    """Return the one record of a picture that some files show, the first of which gives its name.

    All names and tags, the first caption and licence that are not empty, the other captions beside it.
    """
    edit = edit or Edit()
    name, *names = dict.fromkeys(file.name for file in shown if file.name) or ("",)
    caption, *captions = dict.fromkeys(file.caption for file in shown if file.caption) or ("",)
    if edit.caption is not None:
        caption, captions = edit.caption, []
    tags = tuple(dict.fromkeys(tag for file in shown for tag in file.tags)) if edit.tags is None else edit.tags
    licence = next((file.licence for file in shown if file.licence), "")
    files = {file.path: file.stamp for file in shown}
    return StyleRecord(shown[0].id, name, caption, tags, licence, width, height, files, tuple(names), tuple(captions))


@dataclass(frozen=True)
class RunnerUp:
    """The picture that came next in a search, returned or not.

    score: 0..1.
    margin: the match's score less this one's.
    """

    id: str
    name: str
    score: float
    margin: float


@dataclass(frozen=True)
class StyleMatch:
    """A retrieved record.

    score: 0..1, see `calibration`.
    cosine: raw cosine of picture and query, -1..1.
    ranks: strategy -> rank from 1.
    matched: words of the prompt that stand in the record's text.
    matched_tags: tags all of whose words stand in the prompt.
    runner_up: None for the last there is, and for what was pinned.
    """

    record: StyleRecord
    score: float
    cosine: float
    ranks: dict[str, int]
    matched: tuple[str, ...] = ()
    matched_tags: tuple[str, ...] = ()
    runner_up: RunnerUp | None = None

    def explain(self) -> dict[str, Any]:
        """Return the match as the JSON object that RetrieveStyle's `explanation` lists."""
        record = self.record
        return {
            "match": True,
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
            "matched_tags": list(self.matched_tags),
            "runner_up": _rounded(asdict(self.runner_up)) if self.runner_up else None,
        }


def with_runner_up(match: StyleMatch, after: StyleMatch | None) -> StyleMatch:
    """Return a match that says which came after it."""
    if after is None:
        return match
    runner_up = RunnerUp(after.record.id, after.record.name, after.score, match.score - after.score)
    return replace(match, runner_up=runner_up)


@dataclass(frozen=True)
class NoMatch:
    """Why a search returned nothing.

    pictures: how many there are.
    passed: how many the filter let through.
    best: the ranked picture with the best score, where any was ranked.
    """

    reason: str
    pictures: int
    passed: int
    best: StyleMatch | None = None

    def explain(self) -> dict[str, Any]:
        """Return what stands in `explanation` in place of a match."""
        best = self.best
        nearest = {"id": best.record.id, "name": best.record.name, "score": best.score} if best else None
        return {
            "match": False,
            "reason": self.reason,
            "pictures": self.pictures,
            "passed_filter": self.passed,
            "best": _rounded(nearest) if nearest else None,
        }


class StyleMatches(list[StyleMatch]):
    """What a search returns, best first.

    nothing: why it is empty, if it is.
    left_out: what of the prompt was not searched by, as it is written there.
    """

    def __init__(self, matches: Iterable[StyleMatch] = (), nothing: NoMatch | None = None) -> None:
        super().__init__(matches)
        self.nothing = nothing
        self.left_out: Sequence[str] = ()

    def explain(self) -> list[dict[str, Any]]:
        """Return `explanation`: an object a match, or a single one, with `match` false, that says why there is none.

        Each has `left_out` where something was.
        """
        explained = [self.nothing.explain()] if self.nothing else [match.explain() for match in self]
        return [each | {"left_out": list(self.left_out)} for each in explained] if self.left_out else explained


@dataclass
class IngestReport:
    """What an ingest did.

    added, updated, removed, unchanged, total: numbers of pictures.
    failed: {file, reason} of each file that could not be read.
    near_duplicates: pairs of stored pictures that look almost the same, one of them new: {one, other, cosine}.
    embedded_again: {file, reason} of each style pack whose own vectors were not used.
    passed_over: reason -> how many files or folders of the sources were left out for it.
    """

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    total: int = 0
    seconds: float = 0.0
    near_duplicates: list[dict[str, str | float]] = field(default_factory=list)
    embedded_again: list[dict[str, str]] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """The same with four decimals, which is what a score is good for."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
