"""Readings from Ray Data: workers, on any machine of a cluster, decode, hash and embed. Stores nothing.

Workers find the pictures, the encoder and this pack under the same paths as the process that asks.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import secrets
import socket
import sys
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..encoders.encoder import StyleEncoder
from ..pictures.read_ahead import Reading, read_ahead
from ..records import SourceFile

_PACK = Path(__file__).resolve().parents[2]
_ALIAS = "style_rag_of_a_worker"  # what workers import the pack as: its folder may have any name
_ROUNDS = 4  # of each worker at least, so that none waits long for the slowest
_FILES = 128  # of a round at most, so that an interrupt loses little
_PIXELS = 50_000_000  # decoded pictures that a worker embeds together: 150 MB
_GOES_ON = "What is stored stays, and the same command goes on from there."
# Ray reads this as it starts; it would report its use to its makers.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# A cluster of one machine, with nothing that listens to a network: what Ray does on Windows and macOS by itself.
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}
_OBJECTS = 200_000_000  # bytes that Ray sets aside here for what goes between processes: paths, and a vector a picture


@dataclass(frozen=True)
class RayReadings:
    """A source of readings for `ingest`, by workers of Ray.

    The cluster is the one that RAY_ADDRESS names, else one that is started here, listens only to this machine, and ends
    with the readings.
    encoder: the one of the ingest; workers open its file anew.
    workers: how many embed; each has a CPU, and a GPU if its device is one.
    device: torch's name of what they embed on.
    """

    encoder: StyleEncoder
    workers: int
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"{self.workers} workers is too few: give 1 or more.")
        if any(importlib.util.find_spec(package) is None for package in ("ray", "pyarrow")):
            raise ImportError(
                f"ingest with Ray needs its package, which is not installed: run `{sys.executable} -m pip install "
                f'"ray[data]"` (the extra `ray` of style-rag), or leave out --ray.'
            )

    def __call__(
        self, files: Sequence[SourceFile], known: Collection[str]
    ) -> Generator[Reading | ValueError, None, None]:
        """Yield what is in each file, in their order, with its vector; without one where `known` holds the id.

        Raises ValueError or OSError when a worker can't use the encoder, or ends before its work does.
        """
        if len(files) < self.encoder.batch_size:  # a cluster would take longer to start
            yield from read_ahead(files)
            return
        with _cluster(self.workers):
            from ray.exceptions import RayError

            try:
                with closing(self._rows(files, known)) as rows:
                    yield from map(_unpacked, rows)
            except RayError as error:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                raise ChildProcessError(f"Ray ended the ingest ({lines[-1].strip()}). {_GOES_ON}") from error

    def _rows(self, files: Sequence[SourceFile], known: Collection[str]) -> Generator[bytes, None, None]:
        from ray.data import ActorPoolStrategy, from_items

        size = min(_FILES, -(-len(files) // (self.workers * _ROUNDS)))
        items = [{"file": pickle.dumps(asdict(file))} for file in files]
        dataset = from_items(items, override_num_blocks=-(-len(files) // size))
        dataset.context.execution_options.preserve_order = True
        dataset.context.enable_progress_bars = False
        encoder = self.encoder
        choice = EncoderChoice(encoder.name, str(encoder.path), encoder.identity, encoder.batch_size, self.device)
        read = dataset.map_batches(
            _worker_class(),
            fn_constructor_args=(str(_PACK), _ALIAS, asdict(choice), frozenset(known)),
            batch_size=size,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=self.workers),
            num_cpus=1,
            num_gpus=0 if self.device == "cpu" else 1,
        )
        tables: Iterator[Any] = iter(read.iter_batches(batch_size=None, batch_format="pyarrow"))
        for table in tables:
            yield from table["row"].to_pylist()


def _unpacked(row: bytes) -> Reading | ValueError:
    kind, content = pickle.loads(row)
    if kind == "refused":
        raise ValueError(f"a Ray worker stopped: {content}. {_GOES_ON}")
    return ValueError(content) if kind == "failed" else Reading(**content)


@contextmanager
def _cluster(workers: int) -> Iterator[None]:
    """Be connected to a cluster: the one that this process is connected to, RAY_ADDRESS's, or a new one here."""
    address = os.environ.get("RAY_ADDRESS")
    with _environment(_QUIET | ({} if address else _ALONE | {"RAY_AUTH_TOKEN": secrets.token_hex(32)})):
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it narrates each run on stderr
        if ray.is_initialized():
            yield
            return
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if not address:
            options |= {"num_cpus": workers, "object_store_memory": _OBJECTS, "include_dashboard": False}
        if address:
            _require_answer(address)
        ray.init(address or "local", **options)
        try:
            yield
        finally:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise ConnectionError where nothing listens: Ray would try for many minutes, and the knowledge base be locked."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():  # `auto`, or what Ray alone understands
        return
    try:
        socket.create_connection((host.rpartition("/")[2], int(port)), timeout=10.0).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}): correct RAY_ADDRESS, or unset it to work on this machine."
        ) from error


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have environment variables that are not set by the user, for a while."""
    ours = values.keys() - os.environ.keys()
    os.environ.update({name: values[name] for name in ours})
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _worker_class() -> type[Any]:
    """Return what Ray starts in each worker. A class made in a function is sent as code, and needs no import there."""

    class Worker:
        def __init__(self, pack: str, alias: str, choice: dict[str, Any], known: Any) -> None:
            import importlib.util
            import sys

            import ray

            spec = importlib.util.spec_from_file_location(
                alias, f"{pack}/__init__.py", submodule_search_locations=[pack]
            )
            assert spec is not None
            sys.modules.setdefault(alias, importlib.util.module_from_spec(spec))  # whose code is for ComfyUI alone
            module = importlib.import_module(f"{alias}.retrieval.syncing.ray_readings")
            again = bool(ray.get_runtime_context().was_current_actor_reconstructed)
            self._worker = module.PictureWorker(module.EncoderChoice(**choice), known, again)

        def __call__(self, table: Any) -> Any:
            import pyarrow

            return pyarrow.table({"row": self._worker.rows(table["file"].to_pylist())})

    return Worker


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder for other processes.

    name, batch_size: as of its StyleEncoder.
    path: its file or folder.
    identity: what they must find in its file, or they would mix vectors.
    device: torch's name of what it computes on.
    """

    name: str
    path: str
    identity: str
    batch_size: int
    device: str

    def open(self) -> StyleEncoder:
        path = Path(self.path)
        if not path.exists():
            raise FileNotFoundError(f"encoder {path} is not on its machine: put it there, under the same path")
        # It has no words to encode here: no tokenizer is looked for.
        encoder = StyleEncoder(self.name, path, path, lambda model: model.to(self.device).device, self.batch_size)
        if encoder.identity != self.identity:
            raise ValueError(
                f"encoder {path} is {encoder.identity} on its machine, and {self.identity} where the knowledge base "
                "is: put the same file there"
            )
        return encoder


class PictureWorker:
    """Reads and embeds files in a process of its own, pickled as Ray hands them on. known: ids that need no vector.

    again: whether it stands in for one that died; it does nothing then, for Ray would start others without end.
    """

    def __init__(self, choice: EncoderChoice, known: Collection[str], again: bool) -> None:
        self._choice = choice
        self._known = known
        self._again = again
        self._encoder: StyleEncoder | None = None

    def rows(self, files: Sequence[bytes]) -> list[bytes]:
        """Return a row a file, for `_unpacked`. Errors are told in rows: Ray would try again, and fill its logs."""
        try:
            if self._again:
                raise ChildProcessError("it died: with less memory than all need, give fewer --workers")
            self._encoder = self._encoder or self._choice.open()
            readings = self._read(self._encoder, [SourceFile(**pickle.loads(file)) for file in files])
        except (ValueError, OSError) as error:
            return [pickle.dumps(("refused", str(error)))] * len(files)
        return [
            pickle.dumps(("failed", str(reading)) if isinstance(reading, ValueError) else ("read", vars(reading)))
            for reading in readings
        ]

    def _read(self, encoder: StyleEncoder, files: Sequence[SourceFile]) -> list[Reading | ValueError]:
        readings: list[Reading | ValueError] = []
        waiting: dict[int, Reading] = {}  # place in `readings` -> what is to be embedded
        for at, reading in enumerate(read_ahead(files), 1):
            readings.append(reading)
            if isinstance(reading, Reading):
                waiting |= {} if reading.id in self._known else {len(readings) - 1: reading}
                readings[-1] = replace(reading, image=None)
            pixels = sum(reading.width * reading.height for reading in waiting.values())
            if waiting and (at == len(files) or len(waiting) >= encoder.batch_size or pixels > _PIXELS):
                vectors = encoder.encode_images([reading.image for reading in waiting.values() if reading.image])
                for (place, reading), vector in zip(waiting.items(), vectors, strict=True):
                    readings[place] = replace(reading, image=None, vector=vector)
                waiting.clear()
        return readings
