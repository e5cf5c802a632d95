"""A ComfyUI base directory: the folders that ComfyUI expects, packs in it, and settings with which no dialog opens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from front_end import chosen_version, pinned_version
from places import ROOT

FOLDERS = ("custom_nodes", "input", "output", "temp", "models", "user/default/workflows", "user/default/subgraphs")
PACK_NAME = "style-rag"
NOT_COPIED = (".git", ".venv", ".comfyui", ".clients", "output", "__pycache__")


def prepare_base(base: Path, packs: Mapping[str, Path] | None = None) -> None:
    """Makes what is missing in `base`. `packs`: folder name in custom_nodes to pack folder; this pack by default."""
    for folder in FOLDERS:
        (base / folder).mkdir(parents=True, exist_ok=True)
    for name, source in (packs or {PACK_NAME: ROOT}).items():
        place_pack(base / "custom_nodes", name, source)
    settings = base / "user" / "default" / "comfy.settings.json"
    if not settings.exists():
        settings.write_text(json.dumps(first_settings(), indent=4))


def place_pack(custom_nodes: Path, name: str, source: Path) -> None:
    """Links `source` into `custom_nodes`, or copies it where links are not permitted.

    A link to the same folder that is there already, under any name, is used as it is: a pack must not be loaded twice.
    """
    if any(entry.resolve() == source.resolve() for entry in custom_nodes.iterdir()):
        return
    target = custom_nodes / name
    if target.is_symlink():
        target.unlink()  # to a checkout elsewhere
    try:
        target.symlink_to(source, target_is_directory=True)
    except FileExistsError:
        raise FileExistsError(f"{target} is another copy of the pack; move it away to run {source} there.") from None
    except (OSError, NotImplementedError):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_COPIED))


def first_settings() -> dict[str, object]:
    """Settings of somebody who has seen the tours and the release notes of the front end that is served."""
    return {
        "Comfy.TutorialCompleted": True,
        "Comfy.OnboardingCoachmarks.Seen": ["appMode"],
        "Comfy.InstalledVersion": chosen_version() or pinned_version(),
    }
