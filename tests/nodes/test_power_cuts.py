"""The power goes while somebody adds, describes, removes and restores pictures: what was answered still holds."""

import json
import random
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import power_cut_writer
from power_cuts import CUTS, Disk, record
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures.reader import content_id, open_picture
from style_pack.retrieval.store.store import StyleStore
from test_store import missing
from writer_process import Encoder

POWER_CUTS = 30
WEIGHTY = {"fsync", "fdatasync", "rename", "unlink", "unlinkat", "mkdir", "rmdir"}
"""After these the disk differs most: half of the cuts come right behind one, the others anywhere."""


@dataclass
class Said:
    """What was answered. captions: id -> what its caption may be. removed: what is gone. begun: what may be or not."""

    captions: dict[str, set[str]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    encoded: set[str] = field(default_factory=set)
    exported: int = 0

    def hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        id, _, caption = rest.partition(" ")
        if word in ("added", "described"):
            self.captions[id] = {caption}
        elif word == "describe":
            self.captions[id].add(caption)
        elif word in ("remove", "restore"):
            self.begun.add(id)
            self.encoded.discard(id)
        elif word in ("removed", "restored"):
            self.begun.discard(id)
            (self.removed.add if word == "removed" else self.removed.discard)(id)
        elif word == "encoded":
            self.encoded.add(id)
        elif word == "rebuild":
            self.encoded.clear()
        elif word == "exported":
            self.exported = int(id)

    @property
    def there(self) -> set[str]:
        return self.captions.keys() - self.removed - self.begun


def cuts(disk: Disk, names: Sequence[str], log: Path, chance: random.Random) -> Iterator[tuple[str, Said]]:
    """Stop after some calls, and yield each time what a cut leaves, and what was said before. names: of all calls."""
    weighty = [number for number, name in enumerate(names) if name in WEIGHTY]
    stops = {*chance.sample(weighty, POWER_CUTS // 2)}
    while len(stops) < POWER_CUTS:
        stops.add(chance.randrange(len(names)))
    kinds, said = iter(CUTS * POWER_CUTS), Said()
    for number, (_, lines) in enumerate(disk.replay(log)):
        for line in lines.splitlines():
            said.hear(line)
        if number in stops:
            yield next(kinds), said


def check(folder: Path, said: Said) -> None:
    """Look at a knowledge base as one does who switches the machine on again."""
    if not folder.exists():
        assert not said.captions
        return
    store = StyleStore(folder)
    check_styles(store, said)
    for id in said.removed - said.begun:
        note = json.loads((folder / "deleted" / id / "style.json").read_text(encoding="utf-8"))
        assert note["record"]["id"] == id == content_id(open_picture(folder / "deleted" / id / "0.png"))
    kept = {id for id in said.encoded & said.there if store.encodings.read("other", id) is None}
    assert not kept, "encodings are gone"
    report = ingest(store, Encoder(), [], "add") if (folder / "pictures").is_dir() else None
    assert not report or not report.failed
    check_styles(store, said)
    with store.reading() as view:
        assert set(view.ids(view.passing())) == set(store.ids())
        view.close()  # before other files lie at the same place


def check_styles(store: StyleStore, said: Said) -> None:
    records = store.records()
    assert said.there <= records.keys(), "reported as added, and not there"
    assert not records.keys() & said.removed - said.begun, "reported as removed, and there"
    assert missing(store) == []
    for id, style in records.items():
        assert content_id(open_picture(Path(style.file))) == id
        assert style.caption in said.captions.get(id, {style.caption})


def test_what_was_answered_outlives_a_power_cut(tmp_path: Path) -> None:
    base, log, chance = tmp_path / "base", tmp_path / "calls", random.Random(0)
    for folder in (base / "user", tmp_path / "uploads"):
        folder.mkdir(parents=True)
    disk, ahead = Disk(base), Disk(base)
    record([sys.executable, power_cut_writer.__file__, str(base), str(tmp_path / "uploads")], log)
    shutil.rmtree(base)
    names = [name for name, _ in ahead.replay(log)]
    place, tried = base / "user" / "__style_rag", 0
    for cut, said in cuts(disk, names, log, chance):
        disk.after_cut(cut, chance, base)
        check(place / power_cut_writer.NAME, said)
        if said.exported:
            with zipfile.ZipFile(place / "all.stylepack") as pack:
                assert (pack.testzip(), len(pack.namelist())) == (None, 2 * said.exported + 2)
        shutil.rmtree(base)
        tried += 1
    assert tried == POWER_CUTS
