"""Which words a text is found by, in any script, however they are written. Knows no knowledge base.

Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese put no spaces between words, or hang particles on them. Their
texts are held by each character and each pair of neighbours, which needs no dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

# Words that say nothing about a style. The characters are particles and copulas, alone: in a pair they stay.
_STOP_WORDS = frozenset(
    "a an and as at by for from in into is it of on or the to with style picture image "
    "的 了 是 在 和 与 與 之 一 个 個 の は が を に へ と で も や か な ね よ".split()
)
_HAN, _HANGUL = (
    "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "\uac00-\ud7a3",
)
_HIRAGANA, _KATAKANA = "\u3041-\u309f\u30fc", "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_THAI_LAO_KHMER_BURMESE = "\u0e01-\u0e4e\u0e81-\u0ece\u1780-\u17dd\u1000-\u103f\u1050-\u109f"
# Scripts whose texts are cut into characters and pairs. A change of script ends a Japanese word as a rule.
_CUT = (_HAN, _HIRAGANA, _KATAKANA, _HANGUL, _THAI_LAO_KHMER_BURMESE)
_RUNS = re.compile("|".join([*(f"[{script}]+" for script in _CUT), f"[^ {''.join(_CUT)}]+"]))
_PLAIN = re.compile("[a-z0-9]+")
_IS_CUT, _IS_HAN, _IS_HANGUL = (re.compile(f"[{script}]") for script in ("".join(_CUT), _HAN, _HANGUL))
_PARTICLES = frozenset("은는이가을를에의도로와과만")  # that follow a Korean noun without a space
# What is written above, below and between letters without making another word: accents, vowel points, ties, joiners.
_MARKS = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u200c-\u200f\u202a-\u202e\u2060\u2066-\u2069\u20d0-\u20ff\ufe00-\ufe0f"
    "\ufe20-\ufe2f\ufeff\U000e0100-\U000e01ef]"
)
_WORD_BREAK = 0x200B  # without width: in Thai and Khmer
_LETTERS = str.maketrans(
    {"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "þ": "th", "æ": "ae", "œ": "oe"}
)


class _Spaced(dict[int, str]):
    """For `str.translate`: letters, digits, marks and joiners as they are, a space for each other character."""

    def __missing__(self, number: int) -> str:
        kind = unicodedata.category(chr(number))
        self[number] = chr(number) if kind[0] in "LNM" or (kind == "Cf" and number != _WORD_BREAK) else " "
        return self[number]


_SPACED = _Spaced()


def fold(text: str) -> str:
    """Return a text in the one form in which all its spellings are equal.

    Upper and lower case, composed and decomposed, full and half width, with accents and without, ß and ss, the four
    letters i of Turkish.
    """
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _MARKS.sub("", text).translate(_LETTERS))


def words_of(text: str) -> list[str]:
    """Return what a text is found by: its folded words, characters and pairs, without what says nothing."""
    return _saying(term for run in _runs(text) for term in _held(run))


def asked_words(prompt: str) -> list[str]:
    """Return what is looked for, each once: as `words_of`, but that a character which is no word is not asked alone.

    A Han character is one. A syllable or letter of the other scripts is one where it stands alone, and in Korean before
    a particle.
    """
    return sorted(set(_saying(term for run in _runs(prompt) for term in _asked(run))))


def written_words(text: str) -> list[str]:
    """Return a text's words between spaces and punctuation, in lower case, without those that say nothing."""
    return _saying(unicodedata.normalize("NFC", text).lower().translate(_SPACED).split())


def matching_words(prompt: str, text: str) -> list[str]:
    """Return the words of a prompt, each once and as it is written there, that a text holds."""
    held, found = set(words_of(text)), []
    for word in written_words(prompt):
        runs = _runs(word)
        for run in runs:
            here = held.intersection(_asked(run))
            if _IS_CUT.match(run):
                found += _covered(run, here)
            elif here:
                found.append(word if len(runs) == 1 else run)
    return list(dict.fromkeys(found))


def _saying(terms: Iterable[str]) -> list[str]:
    return [term for term in terms if term not in _STOP_WORDS]


def _runs(text: str) -> list[str]:
    """Cut a text into words, and where a script puts no spaces between words, into runs of that script."""
    if text.isascii():
        return _PLAIN.findall(text.lower())
    return _RUNS.findall(fold(text).translate(_SPACED))


def _held(run: str) -> Iterator[str]:
    if not _IS_CUT.match(run):
        yield run
        return
    units = _units(run)
    yield from units
    yield from map("".join, zip(units, units[1:], strict=False))


def _asked(run: str) -> Iterator[str]:
    units = _units(run) if _IS_CUT.match(run) else [run]
    if len(units) == 1 or _IS_HAN.match(run):
        yield from _held(run)
        return
    if len(units) == 2 and _IS_HANGUL.match(run) and units[1] in _PARTICLES:
        yield units[0]
    yield from map("".join, zip(units, units[1:], strict=False))


def _units(run: str) -> list[str]:
    """Cut a run into its characters, each with the marks on it."""
    units: list[str] = []
    for character in run:
        if units and unicodedata.category(character)[0] == "M":
            units[-1] += character
        else:
            units.append(character)
    return units


def _covered(run: str, found: set[str]) -> list[str]:
    """Return the longest stretches of a run that what was found of it makes up."""
    units = _units(run)
    stretches = [""]
    for before, unit, after in zip(["", *units], units, [*units[1:], ""], strict=False):
        if before + unit not in found:
            stretches.append("")
        if found & {before + unit, unit, unit + after}:
            stretches[-1] += unit
    return list(filter(None, stretches))
