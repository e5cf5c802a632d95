"""One update of a knowledge base from its sources: which files are taken in, and what may go."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..encoders.encoder import StyleEncoder
from ..pictures.fetch import named_source
from ..pictures.finder import find_pictures, look_at
from ..pictures.reader import (
    DECODING,
    PACK_SUFFIX,
    SUFFIXES,
    content_id,
    is_decoded_anew,
    open_picture,
    to_unicode,
    why_not_read,
)
from ..records import Edit, IngestReport, Occurrence, SourceFile, StyleRecord
from ..store import stylepack
from ..store.origin import same_weights
from ..store.own_pictures import PICTURES, fetch_all, no_longer_named, set_aside
from ..store.store import StyleStore
from .dismissed import without_dismissed
from .duplicates import near_duplicates
from .other_encoders import open_shown
from .sync import Dropping, Progress, Readings, SyncPlan, SyncRun

_SAMPLE, _SAME = 4, 0.98  # pictures of a pack that are embedded to see whether its vectors are theirs; least cosine
PACKS = "packs"  # where it keeps the pictures of packs that were imported

Source = Path | str  # a folder, a picture file or a style pack; a str is a URL


@dataclass
class Update:
    """One `sync`, `add` or `rebuild` of a knowledge base.

    encoder: makes the vectors of what is new.
    update: which of the three.
    report: is filled in as it goes.
    on_progress: see `Progress`.
    dropping: what a sync may drop.
    """

    store: StyleStore
    encoder: StyleEncoder
    update: str
    report: IngestReport
    on_progress: Progress
    dropping: Dropping

    def run(self, sources: Sequence[Source], readings: Readings) -> None:
        store, encoder, report = self.store, self.encoder, self.report
        if self.update != "rebuild":
            store.require_encoder(encoder.identity)
        named = [named_source(source) if isinstance(source, str) else str(source) for source in sources]
        self._named = {source for source in named if to_unicode(source) == source}  # what can be noted
        self._shown, self._unseen = store.said.all(), list[Path]()
        known, edits, let_go = self._unpack([source for source in sources if _is_pack(source)])
        urls = [source for source in sources if isinstance(source, str)]
        fetched = fetch_all(store, urls, self.update == "rebuild", report, self.on_progress)
        folders = [source for source in sources if isinstance(source, Path) and not _is_pack(source)]
        files = self._find(folders, fetched)
        let_go |= self._no_longer_named(files, fetched)
        files = [file for file in files if file.path not in let_go]
        if self.update != "rebuild":
            files = without_dismissed(store, files)
        if not files:
            _require_pictures(report, 0)
        plan = SyncPlan(known, self._shown, readings, self._consent, self.on_progress)
        run = SyncRun(self._target(), encoder, report, plan)
        if self.update == "rebuild":
            run.run([*files, *self._others(files, let_go)], lambda shown: True)
            self._keep_unread(run.store)
            self._replace({file.path for file in files}, run.store)
        else:
            self._run_here(run, files, let_go)
            _require_pictures(report, len(store))
        self._end(run, let_go, edits)

    def _run_here(self, run: SyncRun, files: list[SourceFile], let_go: set[str]) -> None:
        """Take in the files; a sync reads those again of which an earlier version made other pixels."""
        origin = self.store.origin
        outdated = self.update == "sync" and origin is not None and origin.decoding != DECODING
        anew: set[str] = set()
        if outdated:
            anew = {file.path for file in files if is_decoded_anew(Path(file.path))}
            others = self._others(files, let_go, name_gone=False)
            others = [file for file in others if is_decoded_anew(Path(file.path))]
            run.run(others, lambda shown: False, {file.path for file in others})
        run.run(files, lambda shown: shown.path in let_go or self._may_go(shown), anew)
        if outdated and not self._unseen:
            self.store.set_decoding()

    def _keep_unread(self, draft: StyleStore) -> None:
        """Put into a rebuilt knowledge base what was known of pictures that can't be read, or whose folder can't.

        Where another encoder made their vectors, only what can be opened is kept, as is a picture with a damaged
        sidecar.
        """
        failed, origin, held = {Path(failure["file"]) for failure in self.report.failed}, self.store.origin, draft.ids()
        if not failed or origin is None:
            return
        records = self.store.records([id for id in self.store.ids() if id not in set(held)]).values()
        left = [record for record in records if any({path, *path.parents} & failed for path in map(Path, record.files))]
        shown, encoder = self.store.said.of([record.id for record in left]), self.encoder
        same = same_weights(origin.encoder, encoder.identity)
        for record in left:
            image = None if same else open_shown(record)
            if same or image:
                vector = encoder.encode_images([image]) if image else self.store.vectors([record.id])
                draft.add([record], vector, encoder.identity, shown[record.id])

    def _consent(self, records: Sequence[StyleRecord]) -> bool:
        """Ask before pictures go; a rebuild drops nothing that anyone has seen."""
        return self.update == "rebuild" or self.dropping.consent(records)

    def _target(self) -> StyleStore:
        return self.store.draft(self.encoder.identity) if self.update == "rebuild" else self.store

    def _unpack(self, packs: Sequence[Source]) -> tuple[dict[str, np.ndarray], dict[str, Edit], set[str]]:
        """Return what packs bring, id -> vector and id -> edit, and the files of earlier states that are to go."""
        known: dict[str, np.ndarray] = {}
        edits: dict[str, Edit] = {}
        let_go: set[str] = set()
        for pack in map(Path, packs):
            unpacked, vectors = stylepack.unpack(pack, self.store.folder / PACKS)
            if reason := self._distrusted(unpacked, vectors):
                self.report.embedded_again.append({"file": to_unicode(str(pack)), "reason": reason})
            else:
                known |= vectors.by_id
            edits |= vectors.edits
            for state in stylepack.earlier_states(unpacked):
                files = [file for file in state.rglob("*") if file.is_file()]
                anew = self.update != "add"
                let_go |= {str(file) for file in files if anew or (unpacked / file.relative_to(state)).is_file()}
        return known, edits, let_go

    def _distrusted(self, unpacked: Path, vectors: stylepack.Vectors) -> str:
        """Return why a pack's vectors are not used; empty when a sample says that they are those of its pictures."""
        if not same_weights(vectors.encoder, self.encoder.identity):
            return f"it was made with encoder {vectors.encoder}, and {self.encoder.identity} is chosen"
        new = vectors.by_id.keys() - set(self.store.ids())
        files = sorted(path for path in unpacked.rglob("*") if path.suffix.lower() in SUFFIXES) if new else []
        for path in random.Random(len(new)).sample(files, min(_SAMPLE, len(files))):
            try:
                picture = open_picture(path)
            except ValueError:  # the reading of its files will say so
                continue
            vector = vectors.by_id.get(content_id(picture))
            if vector is not None and float(self.encoder.encode_images([picture])[0] @ vector) < _SAME:
                return f"the vector of its picture {path.name} is another picture's"
        return ""

    def _find(self, folders: Sequence[Path], fetched: Mapping[Path, str]) -> list[SourceFile]:
        """Return the pictures in folders, files among them, and in the knowledge base; name what can't be looked at."""
        kept = [*(self.store.folder / PACKS).glob("[!.]*"), self.store.folder / PICTURES]
        skipped: dict[Path, OSError] = {}
        passed = Counter[str]()
        files = list(find_pictures([*folders, *filter(_holds_files, kept)], skipped.__setitem__, passed))
        self.report.passed_over = dict(passed)
        for path, error in skipped.items():
            self.report.failed.append({"file": to_unicode(str(path)), "reason": why_not_read(error)})
            if not isinstance(error, FileNotFoundError):
                self._unseen.append(path)
        return [
            replace(file, source=fetched.get(Path(file.path), "")) if self._is_own(file.path) else file
            for file in files
        ]

    def _is_own(self, path: str) -> bool:
        return path.startswith(f"{self.store.folder}{os.sep}")

    def _no_longer_named(self, files: Sequence[SourceFile], fetched: Mapping[Path, str]) -> set[str]:
        """Return the files of URLs that a sync finds named no longer."""
        if self.update != "sync":
            return set()
        left = no_longer_named(self.store, files, fetched)
        return {path for path in left if self.dropping.others or self._source_of(path) in self._named}

    def _source_of(self, path: str) -> str:
        return self._shown[path].source if path in self._shown else ""

    def _may_go(self, shown: Occurrence) -> bool:
        """Tell whether a file that is not there any longer is to be dropped."""
        path = Path(shown.path)
        if self.update == "add" or any(path.is_relative_to(place) for place in self._unseen):
            return False
        if self.dropping.others or shown.source in self._named or self._is_own(shown.path):
            return True
        return any(path.is_relative_to(source) for source in self._named)

    def _others(self, files: Sequence[SourceFile], let_go: set[str], name_gone: bool = True) -> list[SourceFile]:
        """Return what is stored of sources that are not named, as far as it is there; the report names what is gone."""
        here = {file.path for file in files} | let_go
        others: list[SourceFile] = []
        for path, shown in self._shown.items():
            if path not in here and not self._is_own(path):
                try:
                    others.append(look_at(Path(path), shown.name, shown.source))
                except OSError as error:
                    if name_gone:
                        self.report.failed.append({"file": path, "reason": why_not_read(error)})
        return others

    def _replace(self, named: set[str], draft: StyleStore) -> None:
        _require_pictures(self.report, len(draft.said.all().keys() & named))
        before = set(self.store.ids())
        self.store.replace_with(draft)
        self.report.removed = len(before.difference(self.store.ids()))

    def _end(self, run: SyncRun, let_go: set[str], edits: Mapping[str, Edit]) -> None:
        agreed = run.agreed
        with self.store.saying() as said:
            said.add_edits({id: edits[id] for id in run.embedded if id in edits})
            said.remember(self._named, alone=agreed and self.update == "sync" and self.dropping.others)
        if agreed and (run.dropped or let_go):
            set_aside(self.store, let_go)
        self.store.publish(self.on_progress)
        self.report.near_duplicates = near_duplicates(self.store, run.embedded, self.on_progress)


def _is_pack(source: Source) -> bool:
    return isinstance(source, Path) and source.suffix.lower() == PACK_SUFFIX


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.rglob("[!.]*"))


def _require_pictures(report: IngestReport, total: int) -> None:
    if report.failed and not total:
        first = report.failed[0]
        raise ValueError(
            f"none of the sources' {len(report.failed)} pictures could be read (the first, {first['file']}: "
            f"{first['reason']}): replace them or name other sources."
        )
