"""How retrieval grows: `retrieval_scale.py --sizes 1000 10000 100000`; one JSON object.

The vectors are made: 200 clusters of uneven size around a common mean, as CLIP's are, 512 numbers each. Ingest is
measured on pictures, with a CLIP ViT-B/32 of random weights and with the bundled CLIP. `_ms` is wall-clock, in which
whatever else runs on the machine counts; `_cpu_ms`, of all threads, is what the search itself costs.
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

sys.path.append(str(ROOT / "dev"))
from places import comfyui_path  # noqa: E402

DIMENSION, QUERIES, PAGE = 512, 200, 1000
PICTURES, TURN = 512, 256  # for the ingest rate: all, and how many at a time
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
    from style_pack.retrieval.store.store import StyleStore

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
    from style_pack.retrieval.store.store import StyleStore

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
    from style_pack.retrieval.store.store import StyleStore

    paint(place / "small", count, 16)
    ingest(StyleStore(place / "synced"), Given(), [place / "small"], "sync")
    encoder, cpu = Given(), time.process_time()
    taken = seconds(lambda: ingest(StyleStore(place / "synced"), encoder, [place / "small"], "sync"))
    spent = {"seconds": round(taken, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}
    return {"pictures": count, **spent, "embedded": encoder.embedded}


def paint_photographs(folder: Path, count: int, side: int) -> None:
    """JPEGs of coloured clouds: noise of 32 pixels enlarged, with grain, so that they weigh what photographs do."""
    folder.mkdir()
    chance = np.random.default_rng(2)
    for n in range(count):
        clouds = Image.fromarray(chance.integers(0, 256, (32, 32, 3), dtype=np.uint8)).resize((side, side), 3)
        grain = chance.integers(-8, 9, (side, side, 3))
        Image.fromarray((np.asarray(clouds) + grain).clip(0, 255).astype(np.uint8)).save(folder / f"{n}.jpg")


def ingest_rate(place: Path, model: Path, side: int) -> dict[str, float]:
    """Pictures a second, of a whole ingest and of the encoder alone on the same pictures, decoded.

    They take turns, a few pictures each, so that whatever else runs on the machine falls on both alike.
    """
    from style_pack.retrieval.encoders.encoder import StyleEncoder
    from style_pack.retrieval.ingest import ingest
    from style_pack.retrieval.pictures.reader import open_picture
    from style_pack.retrieval.store.store import StyleStore

    encoder = StyleEncoder(model.name, model, ROOT / "models" / "clip-tiny")
    paint_photographs(place / "pictures", PICTURES, side)
    files = sorted((place / "pictures").iterdir())
    encoder.encode_images([open_picture(path) for path in files[:32]])
    spent: dict[str, float] = dict.fromkeys(("bare", "bare_cpu", "whole", "whole_cpu"), 0.0)

    def count(name: str, call: Callable[[], Any]) -> None:
        cpu = time.process_time()
        spent[name] += seconds(call)
        spent[f"{name}_cpu"] += time.process_time() - cpu

    for turn in range(0, PICTURES, TURN):
        here = files[turn : turn + TURN]
        opened = [open_picture(path) for path in here]
        count("bare", lambda o=opened: [encoder.encode_images(o[at : at + 32]) for at in range(0, TURN, 32)])
        count("whole", lambda h=here, t=turn: ingest(StyleStore(place / f"{model.name} {t}"), encoder, h, "sync"))
    shutil.rmtree(place / "pictures")
    rates = {f"{name}_per_second": round(PICTURES / spent[name], 1) for name in ("bare", "whole")}
    ratios = {"ratio": spent["bare"] / spent["whole"], "cpu_ratio": spent["bare_cpu"] / spent["whole_cpu"]}
    return {"pixels": side, **rates, **{name: round(value, 3) for name, value in ratios.items()}}


def published_clip(place: Path) -> Path:
    """CLIP ViT-B/32 at its published size, with random weights: as fast as the real one. Its tokenizer is ComfyUI's."""
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig()  # transformers' defaults are ViT-B/32's
    shutil.copytree(comfyui_path() / "comfy" / "sd1_tokenizer", place / "ViT-B-32")
    CLIPModel(config).save_pretrained(place / "ViT-B-32")
    return place / "ViT-B-32"


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
        result["ingest_vit_b_32"] = ingest_rate(place, published_clip(place), 512)
        result["ingest_bundled"] = ingest_rate(place, ROOT / "models" / "clip-tiny", 512)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
