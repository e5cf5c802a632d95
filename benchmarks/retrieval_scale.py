"""How retrieval grows: `retrieval_scale.py --sizes 1000 10000 100000`; one JSON object.

The vectors are made: 200 clusters of uneven size around a common mean, as CLIP's are, 512 numbers each. Ingest is
measured on pictures, with the bundled CLIP. `_ms` is wall-clock, in which whatever else runs on the machine counts;
`_cpu_ms`, of all threads, is what the search itself costs.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from pack import ROOT, import_pack
from PIL import Image

DIMENSION, QUERIES, PAGE = 512, 200, 1000
PICTURES = 512  # for the ingest rate
WORDS = [f"word{n}" for n in range(4000)]
TAGS = [f"tag{n}" for n in range(40)]


class Vectors:
    """Unit vectors with a cluster structure, always the same."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._centres = self._random.normal(size=(200, DIMENSION)).astype(np.float32)
        self._directions = self._random.normal(size=(48, DIMENSION)).astype(np.float32)

    def make(self, count: int) -> np.ndarray:
        which = (self._random.pareto(1.0, count) * 20).astype(int) % 200
        inner = self._random.normal(size=(count, 48)).astype(np.float32) @ self._directions * 0.12
        noise = self._random.normal(size=(count, DIMENSION)).astype(np.float32) * 0.25
        rows = self._centres[:1] + 0.7 * self._centres[which] + inner + noise
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Given:
    """Stands for an encoder whose text is encoded already."""

    identity = "made@1"
    batch_size = 64
    reads_text = True

    def __init__(self, vector: np.ndarray | None = None) -> None:
        self.vector = vector
        self.embedded = 0

    def check_strategy(self, strategy: str) -> None:
        """It can do them all."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self.vector for _ in texts]) if self.vector is not None else np.eye(len(texts), DIMENSION)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.embedded += len(images)
        rows = np.array([np.resize(np.asarray(image, dtype=np.float32), DIMENSION) + 1 for image in images])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def percentiles(call: Callable[[int], Any]) -> dict[str, float]:
    for query in range(5):
        call(query)
    times = []
    for query in range(QUERIES):
        wall, cpu = time.perf_counter(), time.process_time()
        call(query)
        times.append((1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)))
    columns = zip(("ms", "cpu_ms"), zip(*times, strict=True), strict=True)
    return {f"p{p}_{name}": round(float(np.percentile(column, p)), 2) for name, column in columns for p in (50, 99)}


def fill(folder: Path, vectors: np.ndarray) -> dict[str, float]:
    """Store made records, then publish the index."""
    from style_pack.retrieval.records import StyleRecord
    from style_pack.retrieval.store import StyleStore

    chance = random.Random(0)
    weights, tag_weights = (list(accumulate(1 / (n + 1) for n in range(len(names)))) for names in (WORDS, TAGS))
    store = StyleStore(folder)

    def record(n: int) -> StyleRecord:
        caption = " ".join(chance.choices(WORDS, cum_weights=weights, k=12))
        tags = tuple(dict.fromkeys(chance.choices(TAGS, cum_weights=tag_weights, k=2)))
        return StyleRecord(
            f"{n:064x}", f"set{n % 50}/{n}", caption, tags, "CC0-1.0", 64, 64, {f"/s/{n}.png": [1, 1, 1]}
        )

    def add() -> None:
        for at in range(0, len(vectors), PAGE):
            store.add([record(n) for n in range(at, min(at + PAGE, len(vectors)))], vectors[at : at + PAGE], "made@1")

    with store.writing():
        stored, cpu = seconds(add), time.process_time()
        indexed = seconds(store.publish)
    spent = time.process_time() - cpu
    return {"store_seconds": round(stored, 1), "index_seconds": round(indexed, 1), "index_cpu_seconds": round(spent, 1)}


def searches(folder: Path, vectors: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    from style_pack.retrieval.search import StyleQuery, search
    from style_pack.retrieval.store import StyleStore

    started = time.perf_counter()
    store = StyleStore(folder)
    with store.reading() as view:
        result: dict[str, Any] = {"open_seconds": round(time.perf_counter() - started, 3)}
    with store.reading() as view:
        everything = view.passing([])
        result["nearest_10"] = percentiles(lambda n: view.nearest(asked[n], 10, everything))
        found = [{int(id, 16) for id, _ in view.nearest(query, 10, everything)} for query in asked]
    exact = [set(np.argpartition(-(vectors @ query), 10)[:10].tolist()) for query in asked]
    result["recall_at_10"] = round(sum(len(a & b) for a, b in zip(found, exact, strict=True)) / (10 * len(asked)), 4)
    for name, strategy, filter in (
        ("semantic", "semantic", ""),
        ("hybrid", "hybrid", ""),
        ("hybrid_filter_common", "hybrid", "tag:tag0"),
        ("hybrid_filter_rare", "hybrid", "tag:tag30"),
    ):
        query = StyleQuery("word7 word900 word2500", strategy, top_k=4, filter=filter)
        result[name] = percentiles(lambda n, query=query: search(store, Given(asked[n]), query))
    result["memory_mb"] = round(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6)
    return result


def paint(folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    chance = np.random.default_rng(1)
    for n in range(count):
        Image.fromarray(chance.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{n}.png")


def resync(place: Path, count: int) -> dict[str, Any]:
    from style_pack.retrieval.ingest import ingest
    from style_pack.retrieval.store import StyleStore

    paint(place / "small", count, 16)
    ingest(StyleStore(place / "synced"), Given(), [place / "small"], "sync")
    encoder = Given()
    taken = seconds(lambda: ingest(StyleStore(place / "synced"), encoder, [place / "small"], "sync"))
    return {"pictures": count, "seconds": round(taken, 2), "embedded": encoder.embedded}


def ingest_rate(place: Path) -> dict[str, float]:
    """Pictures a second, of a whole ingest and of the encoder alone on decoded pictures."""
    from style_pack.retrieval.encoder import StyleEncoder
    from style_pack.retrieval.ingest import ingest
    from style_pack.retrieval.reader import open_picture
    from style_pack.retrieval.store import StyleStore

    model = ROOT / "models" / "clip-tiny"
    encoder = StyleEncoder("bundled/clip-tiny", model, model)
    paint(place / "pictures", PICTURES, 64)
    opened = [open_picture(path) for path in sorted((place / "pictures").iterdir())]
    encoder.encode_images(opened[:32])
    bare = PICTURES / seconds(lambda: [encoder.encode_images(opened[at : at + 32]) for at in range(0, PICTURES, 32)])
    whole = PICTURES / seconds(lambda: ingest(StyleStore(place / "rate"), encoder, [place / "pictures"], "sync"))
    return {"encoder_per_second": round(bare, 1), "ingest_per_second": round(whole, 1), "ratio": round(whole / bare, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--resync", type=int, default=10_000, metavar="PICTURES")
    options = parser.parse_args()
    import_pack()
    place = Path(tempfile.mkdtemp())
    result: dict[str, Any] = {"benchmark": "retrieval_scale", "dimension": DIMENSION}
    try:
        for size in options.sizes:
            made = Vectors()
            vectors, asked = made.make(size), made.make(QUERIES)
            filled = fill(place / str(size), vectors)
            disk = sum(file.stat().st_size for file in (place / str(size)).rglob("*") if file.is_file())
            result[str(size)] = filled | searches(place / str(size), vectors, asked) | {"disk_mb": round(disk / 1e6)}
            print(json.dumps({str(size): result[str(size)]}), file=sys.stderr, flush=True)
        result["resync"] = resync(place, options.resync)
        result["ingest"] = ingest_rate(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
