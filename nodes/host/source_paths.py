"""What a workflow may name as a source of pictures, and which files this server may read at all."""

import ipaddress
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args

from ...retrieval.engines.base import SETTINGS
from ...retrieval.pictures.fetch import LIST_SUFFIX, check_url, is_url, read_url_list
from ...retrieval.pictures.finder import check_source, links_below, unquoted
from ...retrieval.pictures.reader import to_unicode, words_beside
from ...retrieval.store.origin import DEVICES
from . import paths

_SHORT_LIST = 50_000  # bytes of a list of URLs: some ten milliseconds


def check_sources(text: str) -> None:
    """Raise what `resolve_sources` would, as far as it takes no time.

    Long lists are not read, and no folder is looked through.
    """
    for source in _resolve_lines(text):
        if isinstance(source, str):
            continue
        if not _is_list(source):
            check_source(source)
        elif source.stat().st_size <= _SHORT_LIST:
            _require_leave_to_fetch(read_url_list(source))


def resolve_sources(text: str) -> list[Path | str]:
    """Return the paths and URLs (str) of a `sources` text, a line each, and the URLs of the lists that it names.

    Relative paths lie in ComfyUI's input folder or in the pack. Raises FileNotFoundError, ValueError or PermissionError
    in one sentence.
    """
    sources: list[Path | str] = []
    for source in _resolve_lines(text):
        if isinstance(source, Path):
            _refuse_links_out(source)
        if isinstance(source, Path) and _is_list(source):
            sources += read_url_list(source)
        else:
            sources.append(source)
    _require_leave_to_fetch(sources)
    return sources


def _resolve_lines(text: str) -> list[Path | str]:
    sources = [_resolve_source(unquoted(line)) for line in text.splitlines() if line.strip()]
    _require_leave_to_fetch(sources)
    return sources


def _is_list(source: Path) -> bool:
    return source.suffix.lower() == LIST_SUFFIX and source.is_file()


def _require_leave_to_fetch(sources: Sequence[Path | str]) -> None:
    if any(isinstance(source, str) for source in sources) and not _may_fetch():
        raise PermissionError(
            f"sources names URLs, and this server listens on {args.listen}: its owner can allow them by writing "
            f'"allow_urls": true into {SETTINGS} in {paths.system_user_directory()}.'
        )


def _resolve_source(line: str) -> Path | str:
    if (readable := to_unicode(line)) != line:
        raise ValueError(f"source '{readable}' holds half a character (a lone surrogate): write the path anew.")
    if is_url(line):
        return check_url(line).geturl()
    _refuse_hosts_and_devices(line)
    asked = Path(os.path.expanduser(line))
    roots = [Path(folder_paths.get_input_directory()), paths.PACK]
    places = [asked] if asked.is_absolute() else [root / asked for root in roots]
    resolved = [Path(os.path.realpath(place)) for place in places]
    allowed = [place for place in resolved if may_read(place)]
    if not allowed:  # nor is it told whether there is something
        raise PermissionError(
            f"source '{line}' lies outside ComfyUI's folders and the pack's styles, and this server listens on "
            f"{args.listen}: copy it into the input folder, or let the owner list it as allow_folders in {SETTINGS}."
        )
    path = next((place for place in allowed if place.exists()), None)
    if path is None:
        looked = " and ".join(str(place) for place in allowed)
        raise FileNotFoundError(f"source '{line}' does not exist (looked for {looked}): correct the path in sources.")
    return path


def _refuse_hosts_and_devices(line: str) -> None:
    """Raise PermissionError for what must not even be looked at on a server in a network."""
    if _listens_on_loopback():
        return
    if len(line) > 1 and set(line[:2]) <= {"/", "\\"}:  # a mere look would log in to that host
        raise PermissionError(f"source '{line}' names another host, and this server listens on {args.listen}.")
    if any(part.partition(".")[0].strip().lower() in DEVICES for part in re.split(r"[/\\:]", line)):
        raise PermissionError(f"source '{line}' names a device of Windows, and this server listens on {args.listen}.")


def _refuse_links_out(source: Path) -> None:
    """Raise PermissionError for a link in a folder, or for one with a picture's words beside it, that leads out."""
    if _listens_on_loopback():
        return
    for file in links_below(source) if source.is_dir() else words_beside(source):
        if file.is_symlink() and file.exists() and not may_read(file.resolve()):
            holds = "holds" if source.is_dir() else "has beside it"
            raise PermissionError(
                f"source '{source}' {holds} {file.name}, a link out of the folders that this server may read while it "
                f"listens on {args.listen}: put the file itself there."
            )


def _may_fetch() -> bool:
    """A server that only this machine reaches fetches URLs; one on a network when its owner allowed it."""
    return _listens_on_loopback() or _settings().get("allow_urls") is True


def _settings() -> dict[str, Any]:
    """Return what the owner wrote into settings.json; nothing where there is no such file."""
    file = Path(paths.system_user_directory()) / SETTINGS
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")).items())
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file} is not valid JSON with an object: {error}") from error


def may_read(path: Path) -> bool:
    """A server that only this machine reaches reads any folder; one on a network ComfyUI's, the pack's, the owner's."""
    if _listens_on_loopback():
        return True
    roots = [folder_paths.get_input_directory(), folder_paths.get_output_directory(), folder_paths.get_temp_directory()]
    roots += [folder_paths.get_user_directory(), str(paths.PACK / "styles"), *_owners_folders()]
    return any(path.is_relative_to(Path(root).resolve()) for root in roots)


def _owners_folders() -> list[str]:
    folders = _settings().get("allow_folders", [])
    if not isinstance(folders, list) or not all(
        isinstance(folder, str) and Path(folder).is_absolute() for folder in folders
    ):
        raise ValueError(f"allow_folders in {SETTINGS} is {folders!r}: write a list of absolute paths.")
    return folders


def _listens_on_loopback() -> bool:
    hosts = [host.strip() for host in args.listen.split(",")]
    return all(host == "localhost" or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
