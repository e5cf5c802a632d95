"""Renders the training pictures and their edge maps to disk, and reads them back.

Pictures come in groups that share one style instance (a style with one set of colours); a reference and
its target are two layouts of one group. Knows nothing of models.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from .brush import Brush
from .geometry import Scene
from .palettes import Palette, random_palette
from .raster import draw_outlines, redraw_by_hand
from .scenes import LAYOUTS, lay_out
from .styles import RENDERERS, pick_palette, render
from .textures import mix

SIZE = 256
CONTROLS = ("canny_of_lines", "lines", "canny_of_colours")
LOW_THRESHOLD, HIGH_THRESHOLD = 50, 150
# Layout seeds of the two splits never meet.
HELD_OUT_SEED = 1_000_000
logger = logging.getLogger("style_pack.training")


@dataclass(frozen=True)
class Entry:
    """One picture of the set: what it shows and how it looks."""

    style: str
    kind: str
    group: int
    seed: int


@dataclass(frozen=True)
class Dataset:
    """Pictures (N, 256, 256, 3) uint8, packed edge maps (N, 3, 8192) uint8, one entry each."""

    pictures: np.ndarray
    packed: np.ndarray
    entries: list[Entry]

    def control(self, index: int, variant: int) -> np.ndarray:
        """An edge map, (256, 256) uint8 of 0 and 1."""
        return np.unpackbits(self.packed[index, variant]).reshape(SIZE, SIZE)

    def first(self, count: int) -> Dataset:
        """The first pictures alone."""
        return Dataset(self.pictures[:count], self.packed[:count], self.entries[:count])

    def groups(self) -> dict[int, list[int]]:
        """Indices of the pictures in every group."""
        members: dict[int, list[int]] = {}
        for index, entry in enumerate(self.entries):
            members.setdefault(entry.group, []).append(index)
        return members


def plan(groups: int, per_group: int, held_out: bool) -> list[Entry]:
    """Styles in turn, layouts by chance; one in six is the abstract kind."""
    rng = np.random.default_rng(int(held_out))
    kinds = [kind for kind in LAYOUTS if kind != "shapes"]
    entries = []
    for group in range(groups):
        chosen = rng.choice(kinds, size=per_group, replace=per_group > len(kinds))
        for number, kind in enumerate(chosen):
            kind = "shapes" if rng.random() < 1 / 6 and not held_out else str(kind)
            seed = (HELD_OUT_SEED if held_out else 0) + group * per_group + number
            entries.append(Entry(list(RENDERERS)[group % len(RENDERERS)], kind, group + 10_000 * held_out, seed))
    return entries


def line_art(scene: Scene, size: int, width: float) -> np.ndarray:
    """Black lines on white, (size, size) uint8."""
    return (255 - draw_outlines(scene, size, width) * 255).astype(np.uint8)


def edge_maps(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The three kinds of edge map of a scene, (3, 256, 256) bool, in the order of CONTROLS."""
    drawing = cv2.resize(line_art(scene, SIZE * 2, rng.uniform(3, 8)), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    lines = draw_outlines(scene, SIZE, rng.choice([1, 2, 3])) > 0.5
    brush = Brush(scene, random_palette(rng), SIZE, rng)
    colours = mix(brush.fills(), brush.line(), brush.outlines(1.5) * rng.choice([0, 1]))
    grey = cv2.cvtColor((np.clip(colours, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    maps = [
        cv2.Canny(drawing, LOW_THRESHOLD, HIGH_THRESHOLD) > 0,
        lines,
        cv2.Canny(grey, LOW_THRESHOLD, HIGH_THRESHOLD) > 0,
    ]
    return np.stack(maps)


def scene_of(entry: Entry) -> Scene:
    """The entry's layout; a third of them drawn by an unsteady hand."""
    scene = lay_out(entry.kind, entry.seed)
    rng = np.random.default_rng((entry.seed, 1))
    return redraw_by_hand(scene, rng, rng.uniform(0.001, 0.004)) if rng.random() < 0.33 else scene


def palette_of(entry: Entry) -> Palette:
    """The colours that all pictures of the entry's group share."""
    return pick_palette(entry.style, np.random.default_rng((entry.group, 2)), 0.8)


def draw_entry(entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Picture (256, 256, 3) and packed edge maps (3, 8192), both uint8."""
    cv2.setNumThreads(1)
    scene = scene_of(entry)
    rng = np.random.default_rng((entry.seed, 3))
    picture = render(scene, entry.style, palette_of(entry), SIZE, rng)
    return picture, np.packbits(edge_maps(scene, rng).reshape(len(CONTROLS), -1), axis=1)


def render_dataset(folder: Path, entries: list[Entry]) -> None:
    """Draw every entry; the table is written last and marks the set as complete."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, (len(entries), SIZE, SIZE, 3))
    packed = np.lib.format.open_memmap(
        folder / "controls.npy", "w+", np.uint8, (len(entries), len(CONTROLS), SIZE * SIZE // 8)
    )
    with ProcessPoolExecutor() as pool:
        for index, (picture, controls) in enumerate(pool.map(draw_entry, entries, chunksize=16)):
            pictures[index], packed[index] = picture, controls
            if index % 500 == 0:
                logger.info("drew %d of %d pictures", index, len(entries))
    pictures.flush()
    packed.flush()
    (folder / "entries.json").write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")


def open_dataset(folder: Path, entries: list[Entry]) -> Dataset:
    """The rendered set in `folder`, drawn first unless exactly these entries are there already."""
    table = folder / "entries.json"
    if not table.is_file() or json.loads(table.read_text(encoding="utf-8")) != [asdict(entry) for entry in entries]:
        render_dataset(folder, entries)
    return Dataset(
        np.load(folder / "pictures.npy", mmap_mode="r"), np.load(folder / "controls.npy", mmap_mode="r"), entries
    )
