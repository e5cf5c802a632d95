"""The filter language of RetrieveStyle: `tag:ukiyo-e (license:CC0 OR date:>=2024) -size:<512`. Pure text and records.

    filter = every ("OR" every)*
    every  = part (["AND"] part)*
    part   = ("NOT" | "-") part | "(" filter ")" | field ":" value

So a minus binds most, then standing side by side, then OR. Texts are compared folded, see `words.fold`. A value with
spaces or parentheses stands in quotes; in them a backslash goes before a quote and before a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np

from ..records import StyleRecord
from .words import fold

TEXT_FIELDS = ("tag", "license", "folder", "name")
NUMBER_FIELDS = ("date", "size", "width", "height")  # the rows of Postings' numbers, in this order
_ALIASES = {"licence": "license"}
_LONGEST = 2000  # characters
_DEEPEST = 50  # parentheses and minuses within one another
# Quotes as keyboards and word processors of several languages write them; each value ends with its own kind.
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "「": "」"}
_QUOTED = "|".join(rf"{opened}(?:\\.|[^\\{closed}])*{closed}" for opened, closed in _QUOTES.items())
_WORD = re.compile(rf"\s*([()-]|[a-z]+[:：](?:{_QUOTED})|[^\s()]+)", re.IGNORECASE)
_ESCAPED = re.compile(r"""\\(["'“”‘’„「」\\])""")
_NUMBERS = re.compile(r"(?P<sign>[<>]=?|=)?(?P<first>[\d-]+)|(?P<low>[\d-]*)\.\.(?P<high>[\d-]*)")
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_PIXELS = re.compile(r"\d{1,9}")
_YEARS = (1971, 2200)  # what every system's clock can turn into local time
_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Label:
    """What must hold of a text field.

    field: its name.
    value: that it must have, folded.
    """

    field: str
    value: str


@dataclass(frozen=True)
class Span:
    """What must hold of a number field: low <= number < high.

    field: its name.
    low, high: nanoseconds since 1970 for a date, else pixels.
    """

    field: str
    low: int
    high: int


@dataclass(frozen=True)
class Not:
    """What holds where a part does not.

    part: a filter.
    """

    part: Filter


@dataclass(frozen=True)
class Every:
    """What holds where all parts do.

    parts: filters.
    """

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Either:
    """What holds where one of the parts does.

    parts: filters.
    """

    parts: tuple[Filter, ...]


Filter: TypeAlias = Label | Span | Not | Every | Either


def parse_filter(text: str) -> Filter | None:
    """Return what a filter asks for; None when it is empty.

    Raises ValueError with the place of what is not understood.
    """
    return _Parser(text).parse() if text.strip() else None


def passing(filter: Filter, holding: Callable[[Label | Span], np.ndarray]) -> np.ndarray:
    """Return the mask, (N,) bool, of the rows that pass. holding: the same for one field."""
    if isinstance(filter, Label | Span):
        return holding(filter)
    if isinstance(filter, Not):
        return ~passing(filter.part, holding)
    masks = [passing(part, holding) for part in filter.parts]
    join = np.logical_and if isinstance(filter, Every) else np.logical_or
    return join.reduce(masks)


def labels(record: StyleRecord) -> dict[str, list[str]]:
    """Return text field -> the values by which a filter finds the record."""
    folders = {part for path in record.files for part in path.replace("\\", "/").split("/")[:-1] if part}
    values = {"tag": record.tags, "license": (record.licence,), "folder": sorted(folders)}
    values["name"] = (record.name, *record.other_names)
    return {field: list(map(fold, held)) for field, held in values.items()}


def numbers(record: StyleRecord) -> list[int]:
    """Return the record's NUMBER_FIELDS: its file's time of modification, its shorter side, its width and height."""
    modified = max(_LEAST, min(record.files[record.file][1], _MOST - 1))  # a file can be from before 1677 or after 2262
    return [modified, min(record.width, record.height), record.width, record.height]


class _Parser:
    """Words of the filter, each with its place, and how far they are read."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _LONGEST:
            raise ValueError(f"filter has {len(text):,} characters: {_LONGEST:,} are allowed, write a shorter one.")
        self._words = [(match.group(1), match.start(1)) for match in _WORD.finditer(text)]
        self._at = 0

    def parse(self) -> Filter:
        parsed = self._filter(0)
        if self._at < len(self._words):  # all but a parenthesis is taken above
            raise self._error("closes a parenthesis that was not opened: remove it")
        return parsed

    def _filter(self, depth: int) -> Filter:
        parts = [self._every(depth)]
        while self._takes("or"):
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _every(self, depth: int) -> Filter:
        parts = [self._part(depth)]
        while self._next not in ("", ")", "or"):
            self._takes("and")
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _part(self, depth: int) -> Filter:
        if depth > _DEEPEST:
            raise self._error(f"lies more than {_DEEPEST} parentheses and minuses deep: write it flatter")
        if self._takes("-") or self._takes("not"):
            return Not(self._part(depth + 1))
        if self._next in ("", ")", "or", "and"):
            raise self._error("stands where a term has to: write one, such as tag:ukiyo-e, or remove it")
        if not self._takes("("):
            term = self._term()
            self._at += 1
            return term
        opened = self._at - 1
        inner = self._filter(depth + 1)
        if not self._takes(")"):
            self._at = opened
            raise self._error("opens a parenthesis that is not closed: close it")
        return inner

    def _term(self) -> Label | Span:
        name, colon, value = self._words[self._at][0].replace("：", ":", 1).partition(":")
        field = _ALIASES.get(name.lower(), name.lower())
        if not colon or field not in TEXT_FIELDS + NUMBER_FIELDS:
            fields = ", ".join(TEXT_FIELDS + NUMBER_FIELDS)
            raise self._error(f"is not understood: write field:value with a field of {fields}")
        if value[:1] in _QUOTES:
            if not re.fullmatch(_QUOTED, value):
                raise self._error("has a quote that is not closed: close it")
            value = _ESCAPED.sub(r"\1", value[1:-1])
        if not value.strip():
            raise self._error(f"has no value: write one, such as {name}:{_EXAMPLES[field]}")
        if field in TEXT_FIELDS:
            return Label(field, fold(value.strip()))
        return self._span(field, value.strip())

    def _span(self, field: str, value: str) -> Span:
        bounds = _NUMBERS.fullmatch(value)
        period = _period if field == "date" else _pixels
        if bounds is None or value == "..":
            raise self._error(f"asks for no {field} that is understood: write it like {field}:{_EXAMPLES[field]}")
        try:
            if bounds["first"]:
                low, high = _compared(bounds["sign"], *period(bounds["first"]))
            else:
                low = period(bounds["low"])[0] if bounds["low"] else _LEAST
                high = period(bounds["high"])[1] if bounds["high"] else _MOST
        except ValueError as error:
            raise self._error(f"is not understood, {error}") from error
        if low >= high:
            raise self._error("ends before it begins: swap the two")
        return Span(field, low, high)

    @property
    def _next(self) -> str:
        return self._words[self._at][0].lower() if self._at < len(self._words) else ""

    def _takes(self, word: str) -> bool:
        taken = self._next == word
        self._at += taken
        return taken

    def _error(self, what: str) -> ValueError:
        word, place = self._words[self._at] if self._at < len(self._words) else ("its end", len(self._text.rstrip()))
        word = word if word == "its end" else repr(word)
        return ValueError(f"filter {self._text!r}, character {place + 1}: {word} {what}.")


_EXAMPLES = {
    "tag": "ukiyo-e",
    "license": "CC0",
    "folder": "prints",
    "name": "harbour",
    "date": "2024, date:>=2024-05-17 or date:2023-11..2024",
    **dict.fromkeys(("size", "width", "height"), ">=1024 or 512..1024"),
}


def _compared(sign: str | None, first: int, end: int) -> tuple[int, int]:
    """Return (low, high) of what compares so with a period, first <= it < end."""
    return {">": (end, _MOST), ">=": (first, _MOST), "<": (_LEAST, first), "<=": (_LEAST, end)}.get(
        sign or "=", (first, end)
    )


def _pixels(text: str) -> tuple[int, int]:
    if not _PIXELS.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number of pixels: write one of up to 9 digits")
    return int(text), int(text) + 1


def _period(text: str) -> tuple[int, int]:
    """Return the first nanosecond of a year, month or day in local time, and the first after it."""
    date = _DATE.fullmatch(text)
    if not date or not _YEARS[0] <= int(date[1]) <= _YEARS[1]:
        raise ValueError(
            f"{text!r} is no date: write a year from {_YEARS[0]} to {_YEARS[1]}, or 2024-05, or 2024-05-17"
        )
    year, month, day = int(date[1]), int(date[2] or 1), int(date[3] or 1)
    try:
        first = datetime(year, month, day)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date ({error}): correct it") from error
    if date[3]:
        end = datetime.fromordinal(first.toordinal() + 1)
    elif date[2]:
        end = datetime(year + month // 12, month % 12 + 1, 1)
    else:
        end = datetime(year + 1, 1, 1)
    return _nanoseconds(first), _nanoseconds(end)


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000_000
