"""`style-rag`: knowledge bases from the command line, the same that the nodes open. Knows nothing of ComfyUI.

`style-rag COMMAND --help` lists the choices of each command; `--json` makes its answer one JSON value on stdout.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..retrieval.disk.faults import sentence_of
from ..retrieval.records import STRATEGIES
from . import sync, upkeep
from .opening import (
    COMFYUI,
    DEFAULT,
    MODELS,
    PICTURES,
    find_model,
    open_captions,
    open_encoder,
    open_store,
    progress_on,
)

if TYPE_CHECKING:
    from PIL import Image

    from ..retrieval.store.store import StyleStore

DEFAULT_ROOT = COMFYUI / "user" / "__style_rag"
FILTER = "only matches such as 'tag:ukiyo-e date:>=2024'; one that begins with a dash: --filter=-tag:noir"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it was asked for, 1 after one sentence on stderr, 130 when interrupted."""
    # Before torch is loaded: its threads would spin while they wait, and keep each other from computing where other
    # programs are at work (OpenMP 5.2, section 21.7).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = build_parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():  # who is ended politely also clears up
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):  # a console of Windows, or a file, may not have every letter of a name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        answer = options.run(options)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"style-rag: {sentence_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("style-rag: stopped; what is stored stays, and the same command goes on from there.", file=sys.stderr)
        return 130
    print(_json(answer) if options.json else options.show(answer))
    return 0


def _json(answer: Any) -> str:
    """Return one JSON value, with names as they are where the output has every letter."""
    text = json.dumps(answer, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(answer)
    return text


def build_parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("name", help="the knowledge base")
    shared.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="folder of all knowledge bases (%(default)s)")
    shared.add_argument("--json", action="store_true", help="answer with one JSON value, for programs")
    shared.add_argument(
        "--wait", type=float, default=60, help="how many seconds to wait for another program that writes (%(default)s)"
    )
    parser = argparse.ArgumentParser(prog="style-rag", description="Knowledge bases of style pictures.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Any], Any], show: Callable[[Any], str], help: str, *parents: Any) -> Any:
        command = commands.add_parser(name, help=help, description=help, parents=[shared, *parents])
        command.set_defaults(run=run, show=show)
        return command

    encoding = _encoding(DEFAULT, DEFAULT)
    sync.add_commands(add, _lines_of, encoding)
    search = add("search", run_search, _show_matches, "Find the pictures that fit a prompt best.", encoding)
    search.add_argument("prompt", help="what the picture should be")
    search.add_argument("--strategy", choices=STRATEGIES, default="hybrid", help="how to search (%(default)s)")
    search.add_argument("--top-k", type=int, default=4, help="how many matches (%(default)s)")
    search.add_argument(
        "--min-score", type=float, default=0.0, help="0 to 1: drop matches with a lower score (%(default)s)"
    )
    search.add_argument(
        "--diversity", type=float, default=0.0, help="0 to 1: with more, the matches look less alike (%(default)s)"
    )
    search.add_argument("--avoid", default="", help="words for what the style must not be")
    search.add_argument("--filter", default="", help=FILTER)
    search.add_argument("--image", type=Path, help="a picture with the look that you want")
    add("list", run_list, _show_records, "List what is stored.").add_argument("--filter", default="", help=FILTER)
    remove = add("remove", run_remove, _lines_of, "Forget pictures. Their files stay, and sync leaves them out.")
    remove.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows them; the first letters are enough")
    export = add("export", run_export, _lines_of, "Write one file with pictures and vectors, to give away.")
    export.add_argument("file", type=Path, help="such as references.stylepack")
    imported = add(
        "import",
        run_import,
        _lines_of,
        "Add what is in a style pack, without embedding it again.",
        _encoding(None, "the one that made the pack"),
    )
    imported.add_argument("sources", nargs=1, metavar="FILE", help="a .stylepack that `export` wrote")
    imported.set_defaults(update="add", ray=False, yes=False)
    add("stats", run_stats, _lines_of, "Say what made a knowledge base and what is in it.")
    upkeep.add_commands(add, _lines_of)
    return parser


def _encoding(default: str | None, otherwise: str) -> argparse.ArgumentParser:
    """Return the options that choose encoders. Each command needs its own, for argparse shares what parents hold."""
    encoding = argparse.ArgumentParser(add_help=False)
    encoding.add_argument(
        "--encoder",
        default=default,
        help="the model that compares pictures and prompts: as the node lists it, or the path of a folder or file "
        f"of CLIP, SigLIP or DINOv2 ({otherwise})",
    )
    encoding.add_argument(
        "--caption-encoder", help="a Sentence-BERT folder, by name or path: then captions find pictures too"
    )
    encoding.add_argument("--models", type=Path, default=MODELS, help="ComfyUI's models folder (%(default)s)")
    encoding.add_argument("--device", default="cpu", help="the torch device that it computes on (%(default)s)")
    return encoding


def run_search(options: argparse.Namespace) -> list[dict[str, Any]]:
    from ..retrieval.search import StyleQuery, search

    image = _open_image(options.image) if options.image else None
    if options.strategy == "image" and image is None:
        raise ValueError("strategy image compares pictures: give one with --image, or choose another strategy.")
    ranked = (options.strategy, options.top_k, options.min_score, options.diversity)
    query = StyleQuery(options.prompt, *ranked, filter=options.filter, image=image, avoid=options.avoid)
    captions = open_captions(options)
    encoder = open_encoder(options.encoder, options.models, options.device)
    return search(open_store(options), encoder, query, captions).explain()


def run_list(options: argparse.Namespace) -> list[dict[str, Any]]:
    from ..retrieval.view.filters import parse_filter

    wanted = parse_filter(options.filter)
    store = open_store(options)
    with store.reading() as view:
        ids = view.ids(view.passing(wanted))
    return [asdict(record) | {"files": list(record.files)} for record in store.records(sorted(ids)).values()]


def run_remove(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.syncing.dismissed import remove_by_hand

    store = open_store(options)
    remove_by_hand(store, chosen := [_find_id(store, start) for start in options.ids])
    return {"removed": len(chosen), "total": len(store)}


def run_export(options: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from ..retrieval.pictures.reader import PACK_SUFFIX
    from ..retrieval.store.stylepack import export_pack

    if options.file.suffix.lower() != PACK_SUFFIX:
        raise ValueError(f"{options.file.name} does not end in {PACK_SUFFIX}: name the file so, for it to be imported.")
    if not options.file.parent.is_dir():
        raise FileNotFoundError(f"folder {options.file.parent} does not exist: make it, or name another file.")
    with tqdm(unit="picture", disable=None) as bar:
        count = export_pack(open_store(options), options.file, progress_on(bar))
    return {"exported": count, "file": str(options.file)}


def run_import(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.pictures.reader import PACK_SUFFIX

    if Path(options.sources[0]).suffix.lower() != PACK_SUFFIX:
        raise ValueError(f"{options.sources[0]} is no {PACK_SUFFIX}: read pictures and folders with ingest.")
    options.encoder = options.encoder or _encoder_of(Path(options.sources[0]), options.models)
    return sync.run_ingest(options)


def _encoder_of(pack: Path, models: Path) -> str:
    """Return the name of the encoder that made a pack. Raises FileNotFoundError unless it is here."""
    from ..retrieval.store.stylepack import encoder_of

    identity = encoder_of(pack)
    name = identity.rpartition("@")[0]
    try:
        find_model(name, models, PICTURES, ())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{pack.name} was made with encoder {name}, which is not in {models}: put it there, or choose another with "
            f"--encoder (such as {DEFAULT}), which embeds the pictures again."
        ) from error
    return name


def run_stats(options: argparse.Namespace) -> dict[str, Any]:
    store = open_store(options)
    size = sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
    origin = store.origin
    about = {"encoder": origin.encoder, "dimension": origin.dimension, "revision": origin.revision} if origin else {}
    return {"name": store.name, "total": len(store), **about, "bytes": size, "folder": str(store.folder)}


def _open_image(path: Path) -> Image.Image:
    from ..retrieval.pictures.reader import open_picture

    if not path.is_file():
        raise FileNotFoundError(f"picture {path} does not exist: correct the path of --image.")
    try:
        return open_picture(path)
    except ValueError as error:
        raise ValueError(f"picture {path} can't be used: {error}; give another with --image.") from error


def _find_id(store: StyleStore, start: str) -> str:
    ids = [id for id in store.ids() if id.startswith(start)]
    if len(ids) != 1:
        raise ValueError(f"{len(ids)} pictures have an id that begins with {start!r}: `list` shows the ids.")
    return ids[0]


def _lines_of(answer: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in answer.items())


def _show_matches(matches: list[dict[str, Any]]) -> str:
    if not matches[0]["match"]:
        return f"No match: {matches[0]['reason']}."
    return "\n".join(f"{n}  {m['score']:.3f}  {m['name']}  {m['file']}" for n, m in enumerate(matches, 1))


def _show_records(records: list[dict[str, Any]]) -> str:
    return "\n".join(f"{r['id'][:12]}  {r['name']}  {', '.join(r['tags'])}" for r in records)


if __name__ == "__main__":
    sys.exit(main())
