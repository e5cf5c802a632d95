"""Ingest with Ray Data: the same knowledge base as without it, by two workers of a real local cluster."""

import json
import pickle
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import paint
from PIL import Image
from places import ROOT
from style_pack.command_line.__main__ import main
from style_pack.retrieval.encoders.encoder import StyleEncoder
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures.read_ahead import Reading
from style_pack.retrieval.records import SourceFile
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.syncing import ray_readings
from style_pack.retrieval.syncing.ray_readings import EncoderChoice, PictureWorker, RayReadings

BUNDLED = ROOT / "models" / "clip-tiny"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """43 files: 42 pictures in two folders, two of which are the same and two almost, and one that is none."""
    root = tmp_path_factory.mktemp("pictures for workers")
    noise = np.random.default_rng(0)
    for n in range(39):
        path = root / ("ink", "größer")[n % 2] / f"{n:02}.png"
        path.parent.mkdir(exist_ok=True)
        shade = noise.integers(0, 200, 3)
        Image.fromarray((noise.integers(0, 56, (40 + n, 48, 3)) + shade).astype(np.uint8)).save(path)
    first = Image.open(root / "ink" / "00.png")
    first.save(root / "ink" / "again.bmp")
    first.putpixel((0, 0), (255, 255, 255))
    first.save(root / "größer" / "almost.png")
    paint(root / "größer" / "flat.webp", "red")
    (root / "ink" / "02.txt").write_text("two reeds in the wind")
    described = {"caption": "a wall", "tags": ["Brick"], "license": "CC0-1.0"}
    (root / "größer" / "01.json").write_text(json.dumps(described))
    (root / "ink" / "damaged.png").write_bytes((root / "ink" / "04.png").read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    return StyleEncoder("bundled/clip-tiny", BUNDLED, BUNDLED)


def test_two_workers_make_the_same_knowledge_base_as_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    plain = run(capsys, "ingest", "plain", str(pictures), "--root", str(tmp_path))
    spread = run(capsys, "ingest", "spread", str(pictures), "--root", str(tmp_path), "--ray", "--workers", "2")
    assert (plain["added"], plain["unchanged"], plain["total"]) == (41, 1, 41)
    assert plain["failed"][0]["file"] == str(pictures / "ink" / "damaged.png")
    assert {"größer/almost", "ink/00"} in [{pair["one"], pair["other"]} for pair in plain["near_duplicates"]]
    assert {**spread, "seconds": 0} == {**plain, "seconds": 0}
    assert_same(StyleStore(tmp_path / "plain"), StyleStore(tmp_path / "spread"))
    monkeypatch.setattr(ray_readings, "_cluster", refuse)
    again = run(capsys, "ingest", "spread", str(pictures), "--root", str(tmp_path), "--ray")
    assert (again["added"], again["updated"], again["unchanged"], again["failed"]) == (0, 0, 42, plain["failed"])


def test_pictures_that_workers_leave_out_as_known_are_kept_or_embedded_here(
    pictures: Path, encoder: StyleEncoder, tmp_path: Path
) -> None:
    """Renamed ones are known; of two that changed places, the one is forgotten before the other shows it again."""
    folder = tmp_path / "pictures"
    stores = [StyleStore(tmp_path / name) for name in ("plain", "spread")]
    shutil.copytree(pictures, folder)
    for store in stores:
        ingest(store, encoder, [folder], "sync")
    swap(folder / "ink" / "06.png", folder / "ink" / "08.png")
    (folder / "ink" / "10.png").rename(folder / "größer" / "renamed.png")
    paint(folder / "ink" / "new.png", "blue")
    embedded: list[str] = []
    reports = [
        ingest(stores[0], encoder, [folder], "sync"),
        ingest(stores[1], encoder, [folder], "sync", readings=by_a_worker(encoder, embedded)),
    ]
    assert embedded == [id for id, record in stores[1].records().items() if record.name == "ink/new"]
    assert (reports[1].added, reports[1].updated) == (1, 2)
    assert {**asdict(reports[0]), "seconds": 0} == {**asdict(reports[1]), "seconds": 0}
    assert_same(*stores)


def test_a_worker_refuses_an_encoder_that_is_not_the_one_of_the_knowledge_base(pictures: Path) -> None:
    file = pictures / "ink" / "00.png"
    choice = EncoderChoice("tiny", str(BUNDLED), "tiny@0", 8, "cpu")
    assert refusal(PictureWorker(choice, (), False), file) == (
        f"encoder {BUNDLED} is {StyleEncoder('tiny', BUNDLED, BUNDLED).identity} on its machine, and tiny@0 where the "
        "knowledge base is: put the same file there"
    )
    choice = EncoderChoice("tiny", "/no/model", "tiny@0", 8, "cpu")
    assert refusal(PictureWorker(choice, (), False), file).startswith("encoder /no/model is not on its machine: ")


def test_a_worker_in_place_of_one_that_died_embeds_nothing(pictures: Path, encoder: StyleEncoder) -> None:
    choice = EncoderChoice(encoder.name, str(encoder.path), encoder.identity, 8, "cpu")
    assert refusal(PictureWorker(choice, (), True), pictures / "ink" / "00.png").startswith("it died: ")


def test_workers_must_be_at_least_one(encoder: StyleEncoder) -> None:
    with pytest.raises(ValueError, match="^0 workers is too few: give 1 or more.$"):
        RayReadings(encoder, 0)


def test_an_address_where_no_cluster_answers_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert main(["ingest", "none", str(pictures), "--root", str(tmp_path), "--ray"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("style-rag: no Ray cluster answers at 127.0.0.1:1 (")
    assert error.endswith("): correct RAY_ADDRESS, or unset it to work on this machine.\n")


def test_without_ray_one_sentence_names_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    assert main(["ingest", "none", str(pictures), "--root", str(tmp_path), "--ray"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("style-rag: ingest with Ray needs its package, which is not installed: run `")
    assert error.endswith('-m pip install "ray[data]"` (the extra `ray` of style-rag), or leave out --ray.\n')
    assert not (tmp_path / "none").exists()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refuse(workers: int) -> None:
    raise AssertionError("nothing was to be read by workers")


def assert_same(one: StyleStore, other: StyleStore) -> None:
    assert one.ids() == other.ids()
    assert one.records() == other.records()
    assert one.origin
    assert other.origin
    assert one.origin.encoder == other.origin.encoder
    np.testing.assert_allclose(one.vectors(one.ids()), other.vectors(other.ids()), atol=1e-5, rtol=0)


def swap(one: Path, other: Path) -> None:
    between = one.with_suffix(".between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def by_a_worker(encoder: StyleEncoder, embedded: list[str]) -> Callable[..., Iterator[Reading | ValueError]]:
    """A worker's readings without Ray around it; notes what it embedded."""
    choice = EncoderChoice(encoder.name, str(encoder.path), encoder.identity, 8, "cpu")

    def readings(files: Sequence[SourceFile], known: Collection[str]) -> Iterator[Reading | ValueError]:
        rows = PictureWorker(choice, known, False).rows([pickle.dumps(asdict(file)) for file in files])
        for row in rows:
            kind, found = pickle.loads(row)
            if kind == "read" and found["vector"] is not None:
                embedded.append(found["id"])
            yield ValueError(found) if kind == "failed" else Reading(**found)

    return readings


def refusal(worker: PictureWorker, file: Path) -> str:
    [row] = worker.rows([pickle.dumps(asdict(SourceFile(str(file), file.stem, 0, 0)))])
    kind, reason = pickle.loads(row)
    assert kind == "refused"
    return reason
