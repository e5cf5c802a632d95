"""The pictures that a knowledge base keeps itself, in `pictures/`: those that came as IMAGE, and `HOST/` fetched ones.

A URL that was fetched is not asked again, except by a rebuild: what lies behind a URL seldom changes, and a server that
is down must not cost the picture. One that sync finds named no longer is dropped, as a file is that vanished.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from PIL import Image

from .durable import Writes, make_folder
from .fetch import check_url, fetch
from .reader import content_id, open_picture, read_description
from .records import IngestReport, SourceFile
from .store import StyleStore

PICTURES = "pictures"


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
    return path


def _shows(path: Path, id: str) -> bool:
    """Tell whether a file can be opened and shows the picture of that id."""
    try:
        return path.is_file() and content_id(open_picture(path)) == id
    except ValueError:
        return False


def fetch_all(
    store: StyleStore, urls: Sequence[str], again: bool, report: IngestReport, on_progress: Callable[[int, int], None]
) -> set[Path]:
    """Fetch what is not here yet, or `again` everything, and return the files of all URLs that are here.

    A URL that failed is named in the report; what was here of it stays.
    """
    kept, stored = set[Path](), store.files()
    for done, url in enumerate(dict.fromkeys(urls), 1):
        draft = store.folder / PICTURES / _name(url)
        if again or not any(_is_whole(path, stored) for path in _files_of(draft)):
            try:
                _keep_fetched(url, draft)
            except ValueError as error:
                report.failed.append({"file": url, "reason": str(error)})
        kept.update(_files_of(draft))
        on_progress(done, len(urls))
    return kept


def no_longer_named(store: StyleStore, files: Iterable[SourceFile], fetched: Collection[Path]) -> set[SourceFile]:
    """Return those files that were fetched from URLs that are not among the sources any more."""
    own = store.folder / PICTURES
    here = [file for file in files if file.path.startswith(str(own))]
    return {file for file in here if (path := Path(file.path)).parent.parent == own and path not in fetched}


def forget_files(files: Iterable[SourceFile]) -> None:
    for file in files:
        Path(file.path).unlink(missing_ok=True)
        Path(file.path).with_suffix(".json").unlink(missing_ok=True)


def _name(url: str) -> str:
    """HOST/NAME-HASH, without the suffix: which is known when the picture is there."""
    parts = urlsplit(url)
    host = re.sub(r"[^a-z0-9.-]", "_", parts.netloc.lower()).strip(".") or "_"
    name = re.sub(r"[^\w -]", "_", PurePosixPath(unquote(parts.path)).stem)[:48].strip(" .") or "picture"
    return f"{host}/{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _files_of(draft: Path) -> list[Path]:
    return [path for path in draft.parent.glob(f"{glob.escape(draft.name)}.*") if path.suffix != ".json"]


def _is_whole(path: Path, stored: Mapping[str, tuple[str, list[int]]]) -> bool:
    """Tell whether a fetched file can be opened. It is not tried where it is as long as when it was taken in."""
    known = stored.get(str(path))
    if known and known[1][0] == path.stat().st_size:
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
