"""The picture that RetrieveStyle shows: its matches side by side, each with rank, score and name."""

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..retrieval.records import StyleMatch, StyleMatches
from .host.fonts import Font, drawable

_CELL = 224
_CAPTION = 44
_COLUMNS = 4
_PAPER, _INK, _SOFT = "#1e1f26", "#f2f2f2", "#a9adba"


def draw(matches: StyleMatches, pictures: Sequence[Image.Image]) -> Image.Image:
    """Return the sheet, RGB; one cell that says so, and why, when nothing matched."""
    columns = max(1, min(_COLUMNS, len(matches)))
    rows = max(1, -(-len(matches) // columns))
    sheet = Image.new("RGB", (columns * _CELL, rows * (_CELL + _CAPTION)), _PAPER)
    brush = ImageDraw.Draw(sheet)
    if matches.nothing:
        brush.text((12, 64), "No style matched", _INK, ImageFont.load_default(18))
        why, font = drawable("\n".join(textwrap.wrap(matches.nothing.reason, 34)[:8]), 12)
        brush.multiline_text((12, 96), why, _SOFT, font)
    for n, (match, picture) in enumerate(zip(matches, pictures, strict=True)):
        left, top = n % columns * _CELL, n // columns * (_CELL + _CAPTION)
        thumbnail = ImageOps.contain(picture, (_CELL - 8, _CELL - 8))
        sheet.paste(thumbnail, (left + (_CELL - thumbnail.width) // 2, top + (_CELL - thumbnail.height) // 2))
        brush.text((left + 6, top + _CELL - 2), f"{n + 1}  score {match.score:.2f}", _INK, ImageFont.load_default(16))
        reason = _reason(match)
        caption, font = drawable(f"{match.record.name} ({reason})" if reason else match.record.name, 12)
        brush.text((left + 6, top + _CELL + 20), _shorten(brush, caption, font), _SOFT, font)
    return sheet


def _reason(match: StyleMatch) -> str:
    return ", ".join(match.matched) or " ".join(f"{name} #{place}" for name, place in match.ranks.items())


def _shorten(brush: ImageDraw.ImageDraw, text: str, font: Font) -> str:
    while len(text) > 4 and brush.textlength(text, font) > _CELL - 12:
        text = text[:-2].rstrip("…") + "…"
    return text
