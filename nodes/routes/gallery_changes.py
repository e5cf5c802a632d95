"""What the HTTP routes change in knowledge bases: add, describe, remove, restore. Knows no HTTP; all of it blocks.

A removed style waits in `deleted/<id>/` of its knowledge base, with its vector, so that it comes back as it was.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...retrieval.database.own_paths import found_at, kept_as, kept_path
from ...retrieval.disk.durable import make_folder, sync_folders, write_durably
from ...retrieval.pictures.reader import content_id, open_picture
from ...retrieval.records import Edit, Occurrence, StyleRecord
from ...retrieval.syncing.dismissed import dismiss, welcome
from ..host import paths
from ..host.requirements import RETRIEVAL, require
from .gallery import Conflict, NotHere, describe, find_record, is_lost, open_encoder, open_store, thumbnail_path

if TYPE_CHECKING:
    from ...retrieval.encoders.encoder import StyleEncoder
    from ...retrieval.store.store import StyleStore

KEPT = 100  # removed styles of a knowledge base that can be restored
_DELETED = "deleted"
_NOTE = "style.json"


def add_pictures(
    name: str, files: Sequence[tuple[Path, str]], captions: Sequence[str], tags: Sequence[str], encoder: str
) -> dict[str, Any]:
    """Add pictures, each (path, name it had), and return ids: added, unchanged, and failed with a reason each.

    encoder: for a knowledge base that does not exist yet, which is made then; "" otherwise. A picture that is there
    already keeps its caption and tags; where it had lost its file, it has one again.
    """
    require(RETRIEVAL)
    from ...retrieval.ingest import ingest

    model = _encoder_for(name, encoder)
    readable, failed = _sort_out(files)
    if not readable:
        return {"added": [], "unchanged": [], "failed": failed, "total": _count(name)}
    store = _store(name)
    with store.writing():
        known = store.records([id for id, _ in readable.values()])
        whole = {id for id, record in known.items() if not is_lost(store, record)}
        words = {number: (captions[number] if number < len(captions) else "", tags) for number in readable}
        words |= {n: (known[id].caption, known[id].tags) for n, (id, _) in readable.items() if id in known}
        _keep(store, {path: words[n] for n, (id, path) in readable.items() if id not in whole})
        ids = list(dict.fromkeys(id for id, _ in readable.values()))
        if len(whole) < len(ids):
            ingest(store, model, [], "add")
    added = [id for id in ids if id not in known]
    return {"added": added, "unchanged": list(known), "failed": failed, "total": len(store)}


def describe_style(name: str, id: str, caption: str | None, tags: Sequence[str] | None) -> dict[str, Any]:
    """Give a style another caption, other tags, or both, and return it. What files say of it is not touched.

    It stays so whatever the files say later, also after a `rebuild`.
    """
    open_store(name)
    store = _store(name)
    with store.writing():
        find_record(store, id)
        with store.saying() as said:
            said.edit(id, Edit(caption, None if tags is None else tuple(tags)))
        return describe(store, find_record(store, id))


def remove_style(name: str, id: str) -> dict[str, Any]:
    """Forget a style so that `restore_style` can bring it back; a picture in a source folder stays where it is."""
    open_store(name)
    store = _store(name)
    with store.writing():
        record = find_record(store, id)
        origin = store.origin
        assert origin is not None  # it has a record
        folder = store.folder / _DELETED / id
        note = {
            "record": asdict(record) | {"files": kept_as(store.folder, record.files)},
            "files": [asdict(file) | {"path": kept_path(store.folder, file.path)} for file in store.said.of([id])[id]],
            "edit": asdict(store.said.edits([id]).get(id, Edit())),
            "vector": store.vectors([id])[0].tolist(),
            "encoder": origin.encoder,
        }
        write_durably(folder / _NOTE, json.dumps(note, ensure_ascii=False).encode())
        dismiss(store, record.files)
        store.remove([id])
        own = _own_files(store, record)
        for number, path in enumerate(own):
            _move_pair(path, folder / f"{number}{path.suffix}")
        sync_folders([folder, *(path.parent for path in own)])
        thumbnail_path(store, id).unlink(missing_ok=True)
        _forget_oldest(store.folder / _DELETED)
    return {"id": id, "file_stays": len(own) < len(record.files), "total": len(store)}


def restore_style(name: str, id: str) -> dict[str, Any]:
    """Bring a removed style back, as it was, and return it. Raises NotHere and Conflict."""
    open_store(name)
    store = _store(name)
    with store.writing():
        folder = store.folder / _DELETED / id
        if not (folder / _NOTE).is_file():
            raise NotHere(f"style {id} was not removed from '{name}', or as one of more than {KEPT}: add it again.")
        removed = _read_note(folder / _NOTE, store.folder)
        origin, record = store.origin, removed.record
        if origin and origin.encoder != removed.encoder:
            raise Conflict(
                f"style {id} was removed when '{name}' was made with {removed.encoder}, and now it is made with "
                f"{origin.encoder}: add the picture again."
            )
        own = _own_files(store, record)
        for number, path in enumerate(own):
            make_folder(path.parent)
            _move_pair(folder / f"{number}{path.suffix}", path)
        sync_folders([*(path.parent for path in own), folder])
        welcome(store, record.files)
        if id not in store.records([id]):
            store.add([record], removed.vector[None], removed.encoder, removed.files)
        with store.saying() as said:
            said.edit(id, removed.edit)
        shutil.rmtree(folder)
        return describe(store, find_record(store, id))


@dataclass(frozen=True)
class _Removed:
    """What is noted of a style that was removed. files: what each said of it; none in an earlier version's note."""

    record: StyleRecord
    files: list[Occurrence]
    edit: Edit
    vector: np.ndarray
    encoder: str


def _read_note(file: Path, home: Path) -> _Removed:
    """Return what was noted of a removed style, its own files where they belong by now. Raises Conflict."""
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
        record: dict[str, Any] = _with_tuples(note["record"]) | {"files": found_at(home, note["record"]["files"])}
        files = [
            Occurrence(
                **_with_tuples(said) | {"stamp": said["stamp"], "path": next(iter(found_at(home, {said["path"]: 0})))}
            )
            for said in note.get("files", ())
        ]
        edit, vector = Edit(**_with_tuples(note.get("edit", {}))), np.array(note["vector"], dtype=np.float32)
        return _Removed(StyleRecord(**record), files, edit, vector, str(note["encoder"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Conflict(f"what was kept of style {file.parent.name} is damaged: add its picture again.") from error


def _store(name: str) -> "StyleStore":
    """A writer's own: to publish an index keeps whoever searches through the same object waiting."""
    from ...retrieval.store.store import StyleStore

    return StyleStore(paths.knowledge_base_folder(name), own_process=True)


def _count(name: str) -> int:
    try:
        return len(open_store(name))
    except NotHere:
        return 0


def _encoder_for(name: str, chosen: str) -> "StyleEncoder":
    """Return the encoder that made a knowledge base, or the chosen one for a new one."""
    try:
        origin = open_store(name).origin
    except NotHere:
        if not chosen:
            raise
        origin = None
    if origin is None and not chosen:
        raise Conflict(f"knowledge base '{name}' is empty and has no encoder yet: name one in the field encoder.")
    model = open_encoder(chosen or (origin.encoder.rpartition("@")[0] if origin else ""))
    if origin:
        open_store(name).require_encoder(model.identity)
    return model


def _sort_out(files: Sequence[tuple[Path, str]]) -> tuple[dict[int, tuple[str, Path]], list[dict[str, str]]]:
    """Return number -> (id, path) of the pictures that can be read, and the others, each with its reason."""
    readable: dict[int, tuple[str, Path]] = {}
    failed = []
    for number, (path, called) in enumerate(files):
        try:
            readable[number] = content_id(open_picture(path)), path
        except ValueError as error:
            failed.append({"file": called, "reason": str(error)})
    return readable, failed


def _keep(store: "StyleStore", pictures: Mapping[Path, tuple[str, Sequence[str]]]) -> None:
    """Write pictures, each with caption and tags, into the knowledge base's own folder."""
    from ...retrieval.store.own_pictures import OwnPicture, keep_pictures

    given = (OwnPicture(open_picture(path), caption, tuple(tags)) for path, (caption, tags) in pictures.items())
    welcome(store, map(str, keep_pictures(store, given)))


def _own_files(store: "StyleStore", record: StyleRecord) -> list[Path]:
    """Return those of a style's files that the knowledge base keeps itself, in order."""
    from ...retrieval.store.own_pictures import PICTURES
    from ...retrieval.syncing.update import PACKS

    kept = (store.folder / PICTURES, store.folder / PACKS)
    return [path for path in map(Path, record.files) if any(path.is_relative_to(folder) for folder in kept)]


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """The same as a dataclass has it, of which JSON makes lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _move_pair(picture: Path, target: Path) -> None:
    """Move a picture and the words beside it, as far as they are there."""
    for suffix in (picture.suffix, ".json", ".txt"):
        if picture.with_suffix(suffix).is_file():
            os.replace(picture.with_suffix(suffix), target.with_suffix(suffix))


def _forget_oldest(deleted: Path) -> None:
    folders = sorted(deleted.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    for folder in folders[:-KEPT]:
        shutil.rmtree(folder)
