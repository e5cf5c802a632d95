"""The filter language of RetrieveStyle: `tag:ukiyo-e license:CC0-1.0 -tag:photo`. Pure text and records."""

import shlex

from .records import StyleRecord

_FIELDS = ("tag", "license", "licence", "folder", "name")


def matches(record: StyleRecord, terms: list[tuple[bool, str, str]]) -> bool:
    """Tell whether a record passes every term."""
    return all(_holds(record, name, value) == wanted for wanted, name, value in terms)


def parse_filter(text: str) -> list[tuple[bool, str, str]]:
    """Return (wanted, field, value) a term. Terms are joined by and; a leading minus negates; values with spaces are
    quoted.

    Raises ValueError for a term that is not field:value with a known field.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"filter {text!r} has a quote that is not closed: close it.") from error
    terms = []
    for word in words:
        name, colon, value = word.removeprefix("-").partition(":")
        if not colon or name not in _FIELDS or not value:
            raise ValueError(
                f"filter term {word!r} is not understood: write field:value, or -field:value to exclude, "
                f"with a field of {', '.join(_FIELDS)}."
            )
        terms.append((not word.startswith("-"), name, value.lower()))
    return terms


def _holds(record: StyleRecord, name: str, value: str) -> bool:
    if name == "tag":
        return value in record.tags
    if name in ("license", "licence"):
        return record.licence.lower().startswith(value)
    if name == "folder":
        return any(value in path.lower().replace("\\", "/").split("/")[:-1] for path in record.files)
    return value in record.name.lower()
