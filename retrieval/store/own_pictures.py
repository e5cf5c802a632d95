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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from PIL import Image

from ..disk.durable import Writes, make_folder
from ..pictures.fetch import check_url, fetch, named_source
from ..pictures.reader import TAGLESS_MARKER, content_id, open_picture, read_description
from ..records import IngestReport, Occurrence, SourceFile
from .store import StyleStore

PICTURES = "pictures"
_DROPPED = "dropped"  # where the files are that the last run has dropped


@dataclass(frozen=True)
class OwnPicture:
    """A picture without a file, for a knowledge base to keep itself.

    image: RGB.
    caption, tags: what is said of it.
    """

    image: Image.Image
    caption: str = ""
    tags: tuple[str, ...] = ()


def keep_pictures(store: StyleStore, pictures: Iterable[OwnPicture]) -> list[Path]:
    """Write pictures into the knowledge base's own folder, as `keep_picture` does; all are there when it ends."""
    with Writes() as writes:
        return [keep_picture(store, each.image, each.caption, each.tags, writes) for each in pictures]


def keep_picture(
    store: StyleStore, image: Image.Image, caption: str, tags: Sequence[str], writes: Writes | None = None
) -> Path:
    """Write a picture that has no file into the knowledge base's own folder, with its caption and tags beside it.

    writes: for several pictures together, which are all there when it ends. What lies under the picture's name and
    does not show it is replaced.
    """
    id = content_id(image)
    path = store.folder / PICTURES / f"{id[:16]}.png"
    sidecar = json.dumps({"caption": caption, "tags": list(tags)}, ensure_ascii=False).encode()
    beside = path.with_suffix(".json")
    with nullcontext(writes) if writes else Writes() as together:
        if not _shows(path, id):
            together.add(path, lambda stream: image.save(stream, "PNG"))
        if not beside.is_file() or beside.read_bytes() != sidecar:
            together.add(beside, sidecar)
        if not (path.parent / TAGLESS_MARKER).is_file():
            together.add(path.parent / TAGLESS_MARKER, b"")  # nobody has chosen the folder's name
    return path


def _shows(path: Path, id: str) -> bool:
    """Tell whether a file can be opened and shows the picture of that id."""
    try:
        return path.is_file() and content_id(open_picture(path)) == id
    except ValueError:
        return False


def fetch_all(
    store: StyleStore, urls: Sequence[str], again: bool, report: IngestReport, on_progress: Callable[[int, int], None]
) -> dict[Path, str]:
    """Fetch what is not here yet, or `again` everything; return file -> what named its URL, of all that are here.

    A URL that failed is named in the report; what was here of it stays.
    """
    kept: dict[Path, str] = {}
    stored = store.said.all()
    for done, url in enumerate(dict.fromkeys(urls), 1):
        draft = store.folder / PICTURES / _name(url)
        if again or not any(_is_whole(path, stored) for path in _files_of(draft)):
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


def set_aside(store: StyleStore, files: Collection[str]) -> None:
    """Move files of the knowledge base, with the words beside them, to where `bring_back` finds them.

    What was set aside before is removed: only the last run can be undone.
    """
    shutil.rmtree(store.folder / _DROPPED, ignore_errors=True)
    for file in files:
        _move(Path(file), store.folder / _DROPPED / Path(file).relative_to(store.folder))
    for folder in {Path(file).parent for file in files}:
        _remove_empty(folder, store.folder)


def bring_back(store: StyleStore, file: str) -> None:
    """Move a file that was set aside to where it was; nothing where it was not, or is there anew."""
    path = Path(file)
    if path.is_relative_to(store.folder) and not path.exists():
        aside = store.folder / _DROPPED
        _move(aside / path.relative_to(store.folder), path)
        for folder in path.relative_to(store.folder).parents:
            _move(aside / folder / TAGLESS_MARKER, store.folder / folder / TAGLESS_MARKER)


def _remove_empty(folder: Path, home: Path) -> None:
    """Remove a folder with nothing in it, and those that it lies in, up to the knowledge base's own."""
    while folder.parent != home and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


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


def _is_whole(path: Path, stored: Mapping[str, Occurrence]) -> bool:
    """Tell whether a fetched file can be opened. It is not tried where it is as long as when it was taken in."""
    known = stored.get(str(path))
    if known and known.stamp[0] == path.stat().st_size:
        return True
    try:
        open_picture(path)
    except ValueError:
        return False
    return True


def _keep_fetched(url: str, target: Path) -> None:
    """Write the picture and, before it, what is said about it: a file that is here is whole."""
    check_url(url)
    content, suffix = fetch(url)
    make_folder(target.parent)
    draft = target.with_name(f".{uuid.uuid4().hex}{suffix}")
    try:
        draft.write_bytes(content)
        open_picture(draft)
        caption, tags, licence = read_description(draft)
        said = {"caption": caption, "tags": list(tags), "license": licence, "source": url}
        before = _files_of(target)
        with Writes() as writes:
            writes.add(target.with_name(f"{target.name}.json"), json.dumps(said, ensure_ascii=False).encode())
            writes.add(target.with_name(f"{target.name}{suffix}"), content)
        for other in before:
            if other.suffix != suffix:
                other.unlink()
    finally:
        draft.unlink(missing_ok=True)
