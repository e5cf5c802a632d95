"""Writers that are there to be killed.

`python writer_process.py FOLDER` imports everything once; then each line on its input, a seed and a moment of MOMENTS,
forks a writer. A writer changes the knowledge base FOLDER/base for as long as it lives, beginning with what the moment
is part of, and says what holds: `+ id` once a picture was reported as stored, `- id` before a removal, `instead id ...`
before a rebuild that will leave those alone, `rebuilt` after it; and `now` whenever it gets to the moment. `dead`
and the signal follow the last word of a killed writer.
"""

import importlib
import importlib.util
import io
import json
import os
import random
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
DIMENSION, PICTURES, SIDE = 16, 12, 96

# The moment -> what a writer does first, and where it says `now`: module, class (or nothing), function.
MOMENTS = {
    "decoding": ("add", "pictures.read_ahead", "", "open_picture"),
    "embedding": ("add", "", "Encoder", "encode_images"),
    "adding": ("add", "database.database", "Database", "insert"),
    "deleting": ("remove", "database.database", "Database", "remove"),
    "describing": ("describe", "database.database", "Database", "set_meta"),
    "publishing": ("publish", "store.snapshot", "", "_filled"),
    "rebuilding": ("rebuild", "database.database", "Database", "replace_with_attached"),
    "exporting": ("export", "store.stylepack", "", "_write_picture"),
    "importing": ("bring", "store.stylepack", "", "_extract"),
    "keeping": ("keep", "store.own_pictures", "", "content_id"),
    "syncing": ("sync", "database.database", "Database", "remove"),
}


def register_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "style_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None
    sys.modules["style_pack"] = importlib.util.module_from_spec(spec)


def vector_of(number: int) -> np.ndarray:
    row = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


class Encoder:
    """A picture's vector is drawn from its first pixel."""

    identity, batch_size, reads_text = "made@1", 4, False

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([vector_of(int.from_bytes(image.tobytes()[:6], "big")) for image in images])


class Writer:
    def __init__(self, folder: Path, seed: int) -> None:
        from style_pack.retrieval.store.store import StyleStore

        class Saying(StyleStore):
            def add(self, records: Any, vectors: np.ndarray, encoder: str, shown: Any = ()) -> None:
                super().add(records, vectors, encoder, shown)
                say(*(f"+ {record.id}" for record in records))

        self._chance = random.Random(seed)
        self._pixels = np.random.default_rng(seed)
        self._folder = folder
        self._store = Saying(folder / "base")

    def run(self, first: str) -> None:
        what = first
        while True:
            getattr(self, what)()
            what = self._chance.choices(
                ("add", "remove", "describe", "publish", "rebuild", "export", "bring", "keep", "sync"),
                (5, 3, 2, 1, 1, 1, 2, 2, 2),
            )[0]

    def add(self) -> None:
        from style_pack.retrieval.ingest import ingest

        ingest(self._store, Encoder(), [self._paint()], "add")

    def remove(self) -> None:
        ids = self._store.ids()
        gone = self._chance.sample(ids, min(4, len(ids)))
        say(*(f"- {id}" for id in gone))
        self._store.remove(gone)

    def describe(self) -> None:
        from style_pack.retrieval.records import Edit

        for id in self._store.ids(2):
            with self._store.saying() as said:
                said.edit(id, Edit(caption=f"seen {self._chance.random()}"))

    def publish(self) -> None:
        self.add()
        self._store.publish()

    def rebuild(self) -> None:
        from style_pack.retrieval.ingest import ingest
        from style_pack.retrieval.pictures.reader import content_id, open_picture

        source = self._paint()
        say("instead " + " ".join(content_id(open_picture(path)) for path in source.iterdir()))
        ingest(self._store, Encoder(), [source], "rebuild")
        say("rebuilt")

    def export(self) -> None:
        from style_pack.retrieval.store.stylepack import export_pack

        if self._store.ids(1) and all(file.is_file() for file in self._files()):  # none awaits a sync
            export_pack(self._store, self._folder / "all.stylepack")

    def bring(self) -> None:
        """Take in a style pack."""
        from style_pack.retrieval.ingest import ingest
        from style_pack.retrieval.pictures.reader import content_id, open_picture

        files = sorted(self._paint().iterdir())
        pictures = [open_picture(file) for file in files]
        table = io.BytesIO()
        np.save(table, Encoder().encode_images(pictures))
        said = {
            "format": 1,
            "encoder": Encoder.identity,
            "dimension": DIMENSION,
            "ids": list(map(content_id, pictures)),
        }
        pack = files[0].parent.with_suffix(".stylepack")
        with zipfile.ZipFile(pack, "w") as archive:
            for file in files:
                archive.write(file, f"pictures/{file.name}")
            archive.writestr("vectors.npy", table.getvalue())
            archive.writestr("pack.json", json.dumps(said))
        ingest(self._store, Encoder(), [pack], "add")

    def keep(self) -> None:
        """Take in pictures without files, as those that are sent over HTTP."""
        from style_pack.retrieval import ingest
        from style_pack.retrieval.pictures import reader
        from style_pack.retrieval.store import own_pictures

        with self._store.writing():
            for file in self._paint().iterdir():
                own_pictures.keep_picture(self._store, reader.open_picture(file), "sent", ["sent"])
            ingest.ingest(self._store, Encoder(), [], "add")

    def sync(self) -> None:
        """Bring it up to date with its folders, in which half of the files are gone."""
        from style_pack.retrieval.ingest import ingest

        files = self._files()
        outside = [file for file in files if not file.is_relative_to(self._store.folder)]
        for file in self._chance.sample(outside, len(outside) // 2):
            file.unlink(missing_ok=True)
        records = self._store.records()
        gone = [id for id, record in records.items() if not any(Path(file).is_file() for file in record.files)]
        say(*(f"- {id}" for id in gone))
        folders = [folder for folder in {file.parent for file in outside} if any(folder.iterdir())]
        ingest(self._store, Encoder(), sorted(folders) or [self._paint()], "sync")

    def _files(self) -> list[Path]:
        return [Path(file) for record in self._store.records().values() for file in record.files]

    def _paint(self) -> Path:
        """A folder of new pictures."""
        folder = self._folder / f"pictures {self._chance.randrange(2**40)}"
        folder.mkdir()
        for n in range(PICTURES):
            pixels = self._pixels.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{n}.png")
        return folder


def say_now_at(moment: str) -> str:
    """Have the moment announced; return what leads to it."""
    first, module, owner, name = MOMENTS[moment]
    place: Any = importlib.import_module(f"style_pack.retrieval.{module}") if module else sys.modules[__name__]
    place = getattr(place, owner) if owner else place
    function: Callable[..., Any] = getattr(place, name)

    def announced(*arguments: Any, **named: Any) -> Any:
        say("now")
        return function(*arguments, **named)

    setattr(place, name, announced)
    return first


def say(*lines: str) -> None:
    os.write(1, "".join(f"{line}\n" for line in lines).encode())  # one call: a kill leaves all of it or none


def serve(folder: Path) -> None:
    import chromadb  # noqa: F401 - a fork of what has imported it starts at once
    import style_pack.retrieval.ingest  # noqa: F401

    for line in sys.stdin:
        seed, moment = line.split()
        child = os.fork()
        if not child:
            Writer(folder, int(seed)).run(say_now_at(moment))
        say(f"pid {child}")
        say(f"dead {os.WTERMSIG(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    register_pack()
    serve(Path(sys.argv[1]))
