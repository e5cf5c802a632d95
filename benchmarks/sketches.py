"""How well CannyFromSketch finds the lines that a page was drawn from: mode `auto` beside plain Canny at 50/150.

    .venv/bin/python benchmarks/sketches.py [--layouts 1] [--only word]

On the bundled sketches, drawn anew with their centre lines, and on pages of every kind on layouts that nothing else
uses. Prints one JSON object. A kind's figures are means over its pages: F1 within 2 pixels; `lines`, the found pixels
for each of the centre lines', thinned alike (1 is a single line, 2 a doubled one); `recognised`, the share that was
called by its kind. Writes the contact sheet output/sketches.png: each page as shown on the node, beside plain Canny.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pack import ROOT, import_pack
from PIL import Image

if TYPE_CHECKING:
    from sketch_pages import Page

TOLERANCE = 2
CELL, ACROSS = 320, 3


@dataclass(frozen=True)
class Score:
    """One page: F1 and line pixels of ours and of plain Canny, whether it was recognised, CPU seconds."""

    f1: float
    canny_f1: float
    lines: float
    canny_lines: float
    recognised: bool
    seconds: float


def on_ground(picture: np.ndarray) -> tuple[np.ndarray, bool]:
    """The page as the node sees it, (H, W, 3), and whether it was transparent."""
    import torch

    # By its file: nodes/ as a package needs ComfyUI.
    spec = importlib.util.spec_from_file_location("convert", ROOT / "nodes" / "convert.py")
    assert spec is not None and spec.loader is not None
    convert = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(convert)
    image = torch.from_numpy(picture.astype(np.float32) / 255)[None]
    return convert.image_to_arrays(image, "page")[0], convert.has_transparency(image, None)


def f1_of(found: np.ndarray, wanted: np.ndarray) -> float:
    """F1 of two masks, (H, W) bool, within TOLERANCE pixels."""
    if not found.any():
        return 0.0
    near = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= TOLERANCE for mask in (found, wanted)]
    recall, precision = float(near[0][wanted].mean()), float(near[1][found].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def measure(page: Page) -> tuple[Score, np.ndarray]:
    """The page's score, and its row of the contact sheet."""
    from style_pack.generation.edges.canny import edges_from_sketch
    from style_pack.generation.edges.thinning import thin

    picture, transparent = on_ground(page.picture)
    rows, columns = (side // 8 * 8 for side in picture.shape[:2])
    picture, wanted = np.ascontiguousarray(picture[:rows, :columns]), page.lines[:rows, :columns]
    started = time.process_time()
    ours = edges_from_sketch(picture, "auto", (50, 150), (0, 0), "pad", transparent)
    seconds = time.process_time() - started
    found, canny = ours.lines > 127, cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 50, 150) > 0
    length = np.count_nonzero(thin(wanted))
    score = Score(
        f1_of(found, wanted),
        f1_of(canny, wanted),
        np.count_nonzero(found) / length,
        np.count_nonzero(canny) / length,
        ours.kind == page.found,
        seconds,
    )
    name = f"{page.name}: F1 {score.f1:.2f}, Canny {score.canny_f1:.2f}"
    return score, sheet_row(name, picture, ours.shown, ours.lines, canny * np.uint8(255))


def sheet_row(name: str, *pictures: np.ndarray) -> np.ndarray:
    """Pictures side by side in cells of equal size, with a name below."""
    row = np.full((CELL + 24, CELL * len(pictures), 3), 64, np.uint8)
    for place, picture in enumerate(pictures):
        scale = CELL / max(picture.shape[:2])
        # Lines are widened before they are made smaller, or the sheet would show them broken.
        wide = cv2.dilate(picture, np.ones((2, 2), np.uint8)) if picture.ndim == 2 else picture
        small = cv2.resize(wide, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small
        row[: small.shape[0], place * CELL : place * CELL + small.shape[1]] = small
    return cv2.putText(row, name, (6, CELL + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def summary(scores: list[Score]) -> dict[str, float | int]:
    return {
        "pages": len(scores),
        "f1": round(fmean(s.f1 for s in scores), 3),
        "canny_f1": round(fmean(s.canny_f1 for s in scores), 3),
        "lines": round(fmean(s.lines for s in scores), 2),
        "canny_lines": round(fmean(s.canny_lines for s in scores), 2),
        "recognised": round(fmean(s.recognised for s in scores), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the Sketch Doctor.")
    parser.add_argument("--layouts", type=int, default=1, help="pages for each setting of each kind")
    parser.add_argument("--only", default="", help="pages whose name or kind holds this word")
    arguments = parser.parse_args()
    import_pack()
    from sketch_pages import bundled, generated

    cv2.setNumThreads(1)
    pages = [p for p in (*bundled(), *generated(arguments.layouts)) if arguments.only in f"{p.kind} {p.name}"]
    measured = [(page, *measure(page)) for page in pages]
    scores = {
        kind: [s for page, s, _ in measured if page.kind == kind] for kind in dict.fromkeys(p.kind for p in pages)
    }
    everything = [score for _, score, _ in measured]
    result = {
        "benchmark": "sketches",
        "all": summary(everything),
        "worst_page_f1": round(min(s.f1 for s in everything), 3),
        "cpu_seconds_a_page": round(fmean(s.seconds for s in everything), 2),
        "kinds": {kind: summary(some) for kind, some in scores.items()},
    }
    print(json.dumps(result))
    rows = [row for _, _, row in measured]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % ACROSS)
    sheet = np.vstack([np.hstack(rows[i : i + ACROSS]) for i in range(0, len(rows), ACROSS)])
    (ROOT / "output").mkdir(exist_ok=True)
    Image.fromarray(sheet).save(ROOT / "output" / "sketches.png")


if __name__ == "__main__":
    main()
