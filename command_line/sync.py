"""What `style-rag` does with a knowledge base's sources: ingest adds, sync drops too, undo takes that back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .opening import open_captions, open_encoder, open_store, progress_on

if TYPE_CHECKING:
    from ..retrieval.encoders.encoder import StyleEncoder
    from ..retrieval.ingest import Source
    from ..retrieval.records import IngestReport, StyleRecord
    from ..retrieval.store.store import StyleStore
    from ..retrieval.syncing.sync import Readings

_SHOWN = 5  # names in a question


def add_commands(add: Callable[..., Any], show: Callable[[Any], str], encoding: argparse.ArgumentParser) -> None:
    """Declare the commands. add: as `build_parser` has it. show: an answer as lines. encoding: options of encoders."""
    ingest = add(
        "ingest", run_ingest, show, "Add what is in the sources, and remember them. Never drops anything.", encoding
    )
    sync = add(
        "sync", run_ingest, show, "Hold exactly what is in the sources. Asks before it drops anything.", encoding
    )
    named = (
        "folders, with all below them, picture files, style packs, URLs of pictures, and text files (.txt) of such URLs"
    )
    ingest.add_argument("sources", nargs="+", help=named)
    sync.add_argument("sources", nargs="*", help=f"{named}; none: those that it remembers")
    ingest.add_argument(
        "--update",
        choices=("add", "sync", "rebuild"),
        default="add",
        help="rebuild: embed everything again (%(default)s)",
    )
    sync.set_defaults(update="sync")
    for command in (ingest, sync):
        command.add_argument("--yes", action="store_true", help="do not ask before a sync drops pictures")
        command.add_argument(
            "--ray", action="store_true", help="read and embed in workers of Ray Data, see docs/ray.md"
        )
        command.add_argument("--workers", type=int, default=2, help="how many workers, with --ray (%(default)s)")
    add("undo", run_undo, show, "Bring back what the last run dropped, where its pictures are still there.")


def run_ingest(options: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from ..retrieval.ingest import find_sources
    from ..retrieval.syncing.other_encoders import encode_captions
    from ..retrieval.syncing.sync import read_here

    store = None if options.sources else open_store(options)
    sources = find_sources(options.sources if store is None else _remembered(store))
    encoder = open_encoder(options.encoder, options.models, options.device)
    readings = _ray_readings(encoder, options) if options.ray else read_here
    captions = open_captions(options)
    store = store or open_store(options, new=True)
    is_new = not store.revision
    try:
        report = _ingest(store, encoder, sources, options, readings)
    except BaseException:
        if is_new and not store.revision:  # nobody wants an empty knowledge base of a mistyped source
            store.discard()
        raise
    if captions:
        with tqdm(unit="caption", disable=None) as bar:
            encode_captions(store, captions, progress_on(bar))
    return asdict(report)


def run_undo(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.syncing.undo import undo

    return asdict(undo(open_store(options)))


def _ingest(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Source],
    options: argparse.Namespace,
    readings: Readings,
) -> IngestReport:
    """Ingest, and ask before pictures go: between two runs, so that nobody waits for an answer."""
    from tqdm import tqdm

    from ..retrieval.ingest import ingest
    from ..retrieval.syncing.sync import Dropping

    going: dict[str, StyleRecord] = {}

    def agreed(records: Sequence[StyleRecord]) -> bool:
        new = {record.id: record for record in records if record.id not in going}
        going.update(new)
        return options.yes or not new

    def run() -> IngestReport:
        with tqdm(unit="picture", disable=None) as bar:  # shown on terminals alone
            dropping = Dropping(consent=agreed)
            return ingest(store, encoder, sources, options.update, progress_on(bar), readings, dropping)

    report, asked = run(), 0
    while not options.yes and len(going) > asked:
        asked = len(going)
        _agree(store.name, list(going.values()))
        again = run()
        report.removed, report.total = again.removed, again.total
    return report


def _agree(name: str, going: Sequence[StyleRecord]) -> None:
    """Raise ValueError unless a person on a terminal says yes."""
    names = ", ".join(record.name or record.id[:12] for record in going[:_SHOWN])
    more = f" and {len(going) - _SHOWN} more" if len(going) > _SHOWN else ""
    counted = "1 picture" if len(going) == 1 else f"{len(going)} pictures"
    what = f"this sync drops {counted} from '{name}' ({names}{more})"
    if not sys.stdin.isatty():
        raise ValueError(
            f"{what}: add --yes to do that, or use ingest to only add. What is new was added, and nothing was dropped."
        )
    sys.stderr.write(f"{what}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ValueError("nothing was dropped; what is new was added.")


def _remembered(store: StyleStore) -> list[str]:
    """Return the sources that are read again; what a pack brought stays, wherever its file is."""
    from ..retrieval.pictures.reader import PACK_SUFFIX

    sources = store.said.sources()
    if not sources:
        raise ValueError(f"knowledge base '{store.name}' remembers no sources: name them.")
    return [source for source in sources if not source.lower().endswith(PACK_SUFFIX)]


def _ray_readings(encoder: StyleEncoder, options: argparse.Namespace) -> Readings:
    from ..retrieval.syncing.ray_readings import RayReadings

    return RayReadings(encoder, options.workers, options.device)
