"""Somebody who uses ComfyUI's Styles tab, until the power goes: `python power_cut_writer.py BASE UPLOADS`.

Calls what the routes call, and says on its output what they answered: `added id caption`, `described id caption`,
`removed id`, `restored id`, `encoded id`, `rebuilt`, `exported number`; and what it is about to do: `describe`,
`remove`, `restore`, `rebuild`.
"""

import os
import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

TESTS = Path(__file__).parents[1]
NAME, SIDE, AT_ONCE = "cut", 16, 4
STEPS = "add describe add encode remove add restore remove export add rebuild add describe encode remove add".split()


def import_pack(base: Path) -> None:
    """Import the pack with ComfyUI's folders, and without the nodes and what those need."""
    sys.path[:0] = [str(TESTS / "retrieval"), str(TESTS.parent / "dev")]
    from places import comfyui_path
    from writer_process import register_pack

    register_pack()
    nodes = sys.modules["style_pack.nodes"] = ModuleType("style_pack.nodes")
    nodes.__path__ = [str(TESTS.parent / "nodes")]
    sys.path.insert(0, str(comfyui_path()))
    from comfy.cli_args import args

    args.base_directory = str(base)


class Writer:
    def __init__(self, uploads: Path) -> None:
        from style_pack.nodes.routes import gallery, gallery_changes
        from writer_process import Encoder

        self._changes = gallery_changes
        self._open = gallery.open_store
        self._encoder = Encoder()
        self._uploads = uploads
        self._chance = random.Random(0)
        self._count = 0
        gallery_changes._encoder_for = lambda name, chosen: self._encoder  # of which the pack has none so small

    def add(self) -> None:
        files = []
        for _ in range(AT_ONCE):
            self._count += 1
            path = self._uploads / f"{self._count}.png"
            pixels = np.random.default_rng(self._count).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            files.append((path, path.name))
        captions = [f"picture {path.stem}" for path, _ in files]
        added = self._changes.add_pictures(NAME, files, captions, ["made"], "")["added"]
        say(*(f"added {id} {caption}" for id, caption in zip(added, captions, strict=True)))

    def describe(self) -> None:
        id = self._any()
        caption = f"described {self._chance.randrange(999)}"
        say(f"describe {id} {caption}")
        self._changes.describe_style(NAME, id, caption, None)
        say(f"described {id} {caption}")

    def remove(self) -> None:
        id = self._any()
        say(f"remove {id}")
        self._changes.remove_style(NAME, id)
        say(f"removed {id}")

    def restore(self) -> None:
        id = next((self._open(NAME).folder / "deleted").iterdir()).name
        say(f"restore {id}")
        self._changes.restore_style(NAME, id)
        say(f"restored {id}")

    def encode(self) -> None:
        from style_pack.retrieval.syncing.other_encoders import keep_encodings

        store = self._open(NAME)
        keep_encodings(store, "other", self._encoder.encode_images)
        say(*(f"encoded {id}" for id in store.ids()))

    def rebuild(self) -> None:
        from style_pack.retrieval.ingest import ingest

        say("rebuild")
        ingest(self._open(NAME), self._encoder, [], "rebuild")
        say("rebuilt")

    def export(self) -> None:
        from style_pack.retrieval.store.stylepack import export_pack

        store = self._open(NAME)
        say(f"exported {export_pack(store, store.folder.parent / 'all.stylepack')}")

    def _any(self) -> str:
        return self._chance.choice(self._open(NAME).ids())


def say(*lines: str) -> None:
    os.write(1, "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    import_pack(Path(sys.argv[1]))
    writer = Writer(Path(sys.argv[2]))
    for step in STEPS:
        getattr(writer, step)()
