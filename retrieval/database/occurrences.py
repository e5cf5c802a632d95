"""What each file says of its picture, and what a person says of it instead: the truth that records are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ..records import Edit, Occurrence, StyleRecord, merge
from ..view.filters import labels, numbers
from .database import Database


class Occurrences:
    """What files and people say of one database's pictures. Whoever changes it holds a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, Occurrence]:
        """Return path -> what that file shows, in the order in which they were first seen."""
        return {shown.path: shown for shown in self._database.occurrences()}

    def of(self, ids: Sequence[str]) -> dict[str, list[Occurrence]]:
        """Return id -> the files that show it, the first seen in front; none for what no file shows."""
        files_by_id: dict[str, list[Occurrence]] = {}
        for shown in self._database.occurrences(ids):
            files_by_id.setdefault(shown.id, []).append(shown)
        return files_by_id

    def edits(self, ids: Sequence[str] | None = None) -> dict[str, Edit]:
        """Return id -> what a person said, of some pictures or all of which anyone said something."""
        return self._database.edits(ids)

    def show(self, shown: Sequence[Occurrence], new: bool = False) -> None:
        """Store what files say of pictures that are here; what they showed before is theirs no longer.

        new: whether the pictures' records were made of these files alone.
        """
        before, ids = self._database.ids_at([file.path for file in shown]), [file.id for file in shown]
        self._database.put_occurrences(shown)
        self.refresh([*before, *(self.edits(ids) if new else ids)])

    def edit(self, id: str, edit: Edit) -> None:
        """Store what a person says of a picture in place of its files, beside what was said before."""
        before = self.edits([id]).get(id, Edit())
        caption = before.caption if edit.caption is None else edit.caption
        self._database.put_edits({id: Edit(caption, before.tags if edit.tags is None else edit.tags)})
        self.refresh([id])

    def add_edits(self, edits: Mapping[str, Edit]) -> None:
        """Have these said of pictures of which nobody said anything yet."""
        held = self.edits(list(edits))
        self._database.put_edits({id: edit for id, edit in edits.items() if id not in held})
        self.refresh(edits)

    def drop(self, paths: Sequence[str], successors: Mapping[str, str]) -> list[str]:
        """Forget files, and every picture that none shows any longer; return the ids of those.

        successors: id -> that of the picture that its file shows now: it takes over the edits of one that is forgotten.
        """
        before = self._database.ids_at(paths)
        if paths:
            self._database.note_dropped(paths)
        self._database.forget_files(paths)
        unshown = self._database.unshown()
        left = self.edits([id for id in unshown if id in successors])
        self._database.remove(unshown)
        self.add_edits({successors[id]: edit for id, edit in left.items()})
        self.refresh(before)
        return unshown

    def remember(self, sources: Collection[str], alone: bool) -> None:
        """Note what was named to be read. alone: whether the others are forgotten."""
        self._database.put_sources(sources)
        if alone:
            self._database.drop_sources([source for source in self.sources() if source not in sources])

    def sources(self) -> list[str]:
        return self._database.sources()

    def dropped(self) -> list[Occurrence]:
        """Return what the last run that dropped something took away, as far as it is not back."""
        return self._database.dropped()

    def note_replaced(self, others: Occurrences, alike: bool) -> None:
        """Keep what is not among the others, which take its place. alike: whether the same encoder made both."""
        left = list(self.all().keys() - others.all().keys()) if alike else []
        if left or not alike:
            self._database.note_dropped(left)

    def put_back(self, files: Sequence[Occurrence]) -> list[str]:
        """Have those of `dropped` again, with their pictures, and the sources; return the ids of pictures that came."""
        files = [file for file in files if not self._database.ids_at([file.path])]
        ids = list(dict.fromkeys(file.id for file in files))
        here = {record.id for record in self._database.records(ids)}
        came = self._database.dropped_pictures([id for id in ids if id not in here])
        self._database.put_back(files)
        shown, edits = self.of(ids), self.edits(ids)
        for id, (width, height, vector) in came.items():
            self._database.insert([merge(shown[id], width, height, edits.get(id))], [vector])
        self.refresh(here)
        return list(came)

    def refresh(self, ids: Iterable[str]) -> None:
        """Make records of what is said of pictures now; one that a search would see otherwise gets a new key."""
        ids = list(dict.fromkeys(ids))
        shown, edits = self.of(ids), self.edits(ids)
        for record in [record for record in self._database.records(ids) if record.id in shown]:
            fresh = merge(shown[record.id], record.width, record.height, edits.get(record.id))
            if _seen(fresh) != _seen(record):
                self._database.insert([fresh], [self._database.vectors([record.id])[record.id]])
            elif fresh != record:
                self._database.set_files(fresh)


def from_record(record: StyleRecord) -> list[Occurrence]:
    """Return what a record's files say, where nothing but the record is known."""
    said = (record.name, record.caption, record.tags, record.licence)
    return [Occurrence(path, record.id, "", stamp, *said) for path, stamp in record.files.items()]


def _seen(record: StyleRecord) -> tuple[object, ...]:
    """Return all of a record that a search finds it by, or shows."""
    return replace(record, files={}), labels(record), numbers(record)
