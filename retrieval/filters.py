"""The filter language of RetrieveStyle: `tag:ukiyo-e license:CC0-1.0 -tag:photo`. Pure text and records."""

import shlex

from .records import StyleRecord

_FIELDS = ("tag", "license", "licence", "folder", "name")


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
        terms.append((not word.startswith("-"), "licence" if name == "license" else name, value.lower()))
    return terms


def labels(record: StyleRecord) -> dict[str, list[str]]:
    """Return field -> the values by which a filter finds the record."""
    folders = {part for path in record.files for part in path.lower().replace("\\", "/").split("/")[:-1] if part}
    return {
        "tag": list(record.tags),
        "licence": [record.licence.lower()],
        "folder": sorted(folders),
        "name": [record.name.lower()],
    }


def holds(field: str, label: str, value: str) -> bool:
    """Tell whether one label of a record is what a term asks for."""
    if field == "licence":
        return label.startswith(value)
    return value in label if field == "name" else label == value
