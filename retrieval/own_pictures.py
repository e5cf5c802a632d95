"""The pictures that a knowledge base keeps itself, in `pictures/`: those that came as IMAGE, and `HOST/` fetched ones.

A URL that was fetched is not asked again, except by a rebuild: what lies behind a URL seldom changes, and a server that
is down must not cost the picture. One that sync finds named no longer is dropped, as a file is that vanished.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from PIL import Image

from .drafts import replacing
from .fetch import check_url, fetch
from .reader import content_id, open_picture, read_description
from .records import IngestReport, SourceFile
from .store import StyleStore

PICTURES = "pictures"


def keep_picture(store: StyleStore, image: Image.Image, caption: str, tags: Sequence[str]) -> Path:
    """Write a picture that has no file into the knowledge base's own folder, with its caption and tags beside it."""
    folder = store.folder / PICTURES
    folder.mkdir(exist_ok=True)
    path = folder / f"{content_id(image)[:16]}.png"
    sidecar = json.dumps({"caption": caption, "tags": list(tags)}, ensure_ascii=False)
    beside = path.with_suffix(".json")
    if not path.is_file():
        with replacing(path) as draft:
            image.save(draft)
    if not beside.is_file() or beside.read_text(encoding="utf-8") != sidecar:
        with replacing(beside) as draft:
            draft.write_text(sidecar, encoding="utf-8")
    return path


def fetch_all(
    store: StyleStore, urls: Sequence[str], again: bool, report: IngestReport, on_progress: Callable[[int, int], None]
) -> set[Path]:
    """Fetch what is not here yet, or `again` everything, and return the files of all URLs that are here.

    A URL that failed is named in the report; what was here of it stays.
    """
    kept: set[Path] = set()
    for done, url in enumerate(dict.fromkeys(urls), 1):
        draft = store.folder / PICTURES / _name(url)
        if again or not _files_of(draft):
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


def _keep_fetched(url: str, target: Path) -> None:
    """Write the picture and, before it, what is said about it: a file that is here is whole."""
    check_url(url)
    content, suffix = fetch(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    before = _files_of(target)
    picture = target.with_name(f"{target.name}{suffix}")
    with replacing(picture) as draft:
        draft.write_bytes(content)
        open_picture(draft)
        caption, tags, licence = read_description(draft)
        said = {"caption": caption, "tags": list(tags), "license": licence, "source": url}
        with replacing(target.with_name(f"{target.name}.json")) as beside:
            beside.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
    for other in before:
        if other != picture:
            other.unlink()
