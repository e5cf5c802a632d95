"""Reads texts of any encoding. UTF-8 and UTF-16 are told by rule; charset-normalizer weighs what else it may be."""

from __future__ import annotations

import codecs
import re
import unicodedata
from contextlib import suppress

# Those of Windows in the West, Japan, China, Korea, Taiwan and Russia.
_WEST, _CHINA, _TAIWAN = "cp1252", "gb18030", "big5"
_OTHERS = [_WEST, "cp932", _CHINA, "cp949", _TAIWAN, "cp1251"]
# Where the first bytes of common characters lie: GB 2312's first level, and Big5's.
_COMMON = {_CHINA: (0xB0, 0xD7), _TAIWAN: (0xA4, 0xC6)}
# What a text of these must be weighed again for: Korean has no Chinese characters, Japanese no letters of half width.
_EAST = {
    _CHINA: re.compile(""),
    _TAIWAN: re.compile(""),
    "cp949": re.compile(r"[\u4e00-\u9fff\uf900-\ufaff]"),
    "cp932": re.compile(r"[\uff61-\uff9f]"),
}
_FEW, _RUN = 0.25, 2  # of bytes beyond ASCII in a Western text: their share, and how many stand together
_LEAST = 4  # bytes beyond ASCII that are enough to weigh: two characters of the East
_KEPT = "\t\n\r\x0b\x0c\x00"


def decode_text(content: bytes, cut: bool = False) -> str:
    """Return a text. cut: whether its end may be missing. Raises ValueError when no encoding makes a text of it."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decoded(content, "utf-16", cut)
    if b"\0" in content:  # UTF-16 without a mark, whose Latin letters have a zero in front or behind
        encoding = "utf-16-be" if content[::2].count(0) > content[1::2].count(0) else "utf-16-le"
        with suppress(ValueError):
            text = _decoded(content, encoding, cut)
            if "\0" not in text and _is_written(text):
                return text
    try:
        text = _decoded(content, "utf-8-sig", cut)
    except ValueError:
        text = _decoded(content, _guess(content), cut)
        if not _is_written(text):
            raise ValueError("it is no text") from None
        return text
    if not _is_written(text):  # the same without Latin letters looks like UTF-8 with control characters
        with suppress(ValueError):
            wide = _decoded(content, "utf-16-le", cut)
            return wide if _is_written(wide) else text
    return text


def _decoded(content: bytes, encoding: str, cut: bool) -> str:
    return codecs.getincrementaldecoder(encoding)().decode(content, final=not cut)


def _is_written(text: str) -> bool:
    """Tell whether a text has only what people write: no control characters, and nothing that Unicode leaves empty."""
    return all(letter in _KEPT or unicodedata.category(letter) not in ("Cc", "Cn", "Co", "Cs") for letter in text)


def _guess(content: bytes) -> str:
    """Return the encoding of a text that is not Unicode. Raises ValueError when none is likely."""
    from charset_normalizer import from_bytes

    runs = re.findall(rb"[\x80-\xff]+", content)
    beyond = sum(map(len, runs))
    if beyond == 1 or (max(map(len, runs)) <= _RUN and beyond <= _FEW * len(content)):
        return _WEST  # a few accents are too little to weigh
    if beyond < _LEAST:
        raise ValueError("it is too short to tell its encoding")
    best = from_bytes(content, cp_isolation=_OTHERS).best()
    if best is None:
        raise ValueError("its encoding can't be told")
    if (sign := _EAST.get(best.encoding)) and sign.search(str(best)):
        likely = [encoding for encoding in _COMMON if _decodes(content, encoding)]
        return max(likely, key=lambda encoding: _common_share(content, encoding), default=best.encoding)
    return best.encoding


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _common_share(content: bytes, encoding: str) -> float:
    """Return how many of the first bytes of two-byte characters are those of common ones, 0..1."""
    first, last = _COMMON[encoding]
    leads = [pair[0] for pair in re.findall(rb"[\x81-\xfe][\x40-\xfe]", content)]
    return sum(first <= lead <= last for lead in leads) / max(1, len(leads))
