"""A font of the system's that has a text's letters. Pillow's own has those of ASCII and hardly another."""

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

# What Windows, macOS and Linux bring, by file name: Latin, Greek and Cyrillic first, then those of one script or more.
_FILES = (
    *("segoeui.ttf", "arial.ttf", "msyh.ttc", "YuGothM.ttc", "meiryo.ttc", "malgun.ttf", "msjh.ttc", "simsun.ttc"),
    *("LeelawUI.ttf", "tahoma.ttf", "Nirmala.ttc", "Nirmala.ttf", "ebrima.ttf", "seguisym.ttf"),
    *("Arial Unicode.ttf", "Arial.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Thonburi.ttc"),
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "NotoSansCJK-Regular.ttc"),
    *("DroidSansFallbackFull.ttf", "wqy-microhei.ttc", "wqy-zenhei.ttc", "NotoSansThai-Regular.ttf"),
    *("NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "unifont.otf"),
)
_OWN = ""  # Pillow's
_NOBODYS = "\U0010ffff"  # a code that no font has a letter for

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def drawable(text: str, size: int) -> tuple[str, Font]:
    """Return a text and the font, of so many pixels, that has the most of its letters.

    A letter that it lacks loses its accents, if that helps.
    """
    letters = {letter for letter in text if not letter.isascii()}
    file = _OWN
    if letters:
        known = [name for name in (_OWN, *_FILES) if _opened(name, size)]
        file = max(known, key=lambda name: sum(_has(name, letter) for letter in letters))
    font = _opened(file, size)
    assert font is not None
    plain = {ord(letter): _without_accents(file, letter) for letter in letters if not _has(file, letter)}
    return text.translate(plain), font


@lru_cache
def _opened(file: str, size: int) -> Font | None:
    """Return a font, None where the system has none of that name."""
    try:
        return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    except OSError:
        return None


@lru_cache(maxsize=10_000)
def _has(file: str, letter: str) -> bool:
    """Tell whether a font draws a letter otherwise than one that nobody has."""
    return _drawn(file, letter) != _drawn(file, _NOBODYS)


def _drawn(file: str, letter: str) -> bytes:
    paper = Image.new("L", (32, 32))
    ImageDraw.Draw(paper).text((4, 4), letter, 255, _opened(file, 16))
    return paper.tobytes()


def _without_accents(file: str, letter: str) -> str:
    first = unicodedata.normalize("NFKD", letter)[0]
    return first if first.isascii() or _has(file, first) else letter
