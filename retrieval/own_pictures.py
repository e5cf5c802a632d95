"""The pictures that a knowledge base keeps itself, in `pictures/`: those that came as IMAGE, and `HOST/` fetched ones.

A URL that was fetched is not asked again, except by a rebuild: what lies behind a URL seldom changes, and a server that
is down must not cost the picture. One that sync finds named no longer is dropped, as a file is that vanished.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from PIL import Image

from .fetch import check_url, fetch, named_source
from .reader import content_id, open_picture, read_description
from .records import IngestReport, SourceFile
from .store import StyleStore

PICTURES = "pictures"
_DROPPED = "dropped"  # where the files are that the last run has dropped


def keep_picture(store: StyleStore, image: Image.Image, caption: str, tags: Sequence[str]) -> Path:
    """Write a picture that has no file into the knowledge base's own folder, with its caption and tags beside it."""
    folder = store.folder / PICTURES
    folder.mkdir(exist_ok=True)
    path = folder / f"{content_id(image)[:16]}.png"
    sidecar = json.dumps({"caption": caption, "tags": list(tags)}, ensure_ascii=False)
    beside = path.with_suffix(".json")
    draft = folder / f".{uuid.uuid4().hex}.png"  # a file under its own name is whole, also when this process is killed
    try:
        if not path.is_file():
            image.save(draft)
            os.replace(draft, path)
        if not beside.is_file() or beside.read_text(encoding="utf-8") != sidecar:
            draft.write_text(sidecar, encoding="utf-8")
            os.replace(draft, beside)
    finally:
        draft.unlink(missing_ok=True)
    return path


def fetch_all(
    store: StyleStore, urls: Sequence[str], again: bool, report: IngestReport, on_progress: Callable[[int, int], None]
) -> dict[Path, str]:
    """Fetch what is not here yet, or `again` everything; return file -> what named its URL, of all that are here.

    A URL that failed is named in the report; what was here of it stays.
    """
    kept: dict[Path, str] = {}
    for done, url in enumerate(dict.fromkeys(urls), 1):
        draft = store.folder / PICTURES / _name(url)
        if again or not _files_of(draft):
            try:
                _keep_fetched(url, draft)
            except ValueError as error:
                report.failed.append({"file": url, "reason": str(error)})
        kept |= {path: named_source(url) for path in _files_of(draft)}
        on_progress(done, len(urls))
    return kept


def no_longer_named(store: StyleStore, files: Iterable[SourceFile], fetched: Collection[Path]) -> set[str]:
    """Return those files that were fetched from URLs that are not among the sources any more."""
    own = store.folder / PICTURES
    here = [file.path for file in files if file.path.startswith(str(own))]
    return {file for file in here if (path := Path(file)).parent.parent == own and path not in fetched}


def set_aside(store: StyleStore, files: Iterable[str]) -> None:
    """Move files of the knowledge base, with the words beside them, to where `bring_back` finds them.

    What was set aside before is removed: only the last run can be undone.
    """
    shutil.rmtree(store.folder / _DROPPED, ignore_errors=True)
    for file in files:
        _move(Path(file), store.folder / _DROPPED / Path(file).relative_to(store.folder))


def bring_back(store: StyleStore, file: str) -> None:
    """Move a file that was set aside to where it was; nothing where it was not, or is there anew."""
    path = Path(file)
    if path.is_relative_to(store.folder) and not path.exists():
        _move(store.folder / _DROPPED / path.relative_to(store.folder), path)


def _move(path: Path, target: Path) -> None:
    for file, to in ((path.with_suffix(".json"), target.with_suffix(".json")), (path, target)):
        if file.is_file():
            to.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, to)


def _name(url: str) -> str:
    """HOST/NAME-HASH, without the suffix: which is known when the picture is there."""
    parts = urlsplit(url)
    host = re.sub(r"[^a-z0-9.-]", "_", parts.netloc.lower()).strip(".") or "_"
    name = re.sub(r"[^\w -]", "_", PurePosixPath(unquote(parts.path)).stem)[:48].strip(" .") or "picture"
    return f"{host}/{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _files_of(draft: Path) -> list[Path]:
    return [path for path in draft.parent.glob(f"{glob.escape(draft.name)}.*") if path.suffix != ".json"]


def _keep_fetched(url: str, target: Path) -> None:
    """Write the picture and, before it, what is said about it: a file that is here is whole."""
    check_url(url)
    content, suffix = fetch(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}{suffix}")
    try:
        draft.write_bytes(content)
        open_picture(draft)
        caption, tags, licence = read_description(draft)
        said = {"caption": caption, "tags": list(tags), "license": licence, "source": url}
        target.with_name(f"{target.name}.json").write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        before = _files_of(target)
        os.replace(draft, target.with_name(f"{target.name}{suffix}"))
        for other in before:
            if other.suffix != suffix:
                other.unlink()
    finally:
        draft.unlink(missing_ok=True)
