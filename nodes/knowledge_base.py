"""StyleKnowledgeBase: opens a knowledge base and brings it up to date with its sources."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from typing import TYPE_CHECKING

import comfy.utils
import torch
from comfy_api.latest import io

from ..retrieval.disk.faults import plainly
from ..retrieval.encoders.encoder import StyleEncoder
from ..retrieval.encoders.sentences import SentenceEncoder
from ..retrieval.ingest import UPDATES, refresh
from ..retrieval.store.own_pictures import OwnPicture
from ..retrieval.store.store import StyleStore
from ..retrieval.syncing.other_encoders import OtherEncoder
from ..retrieval.syncing.sync import Progress
from . import convert, freshness
from .host import hub, memory, paths
from .host.requirements import RETRIEVAL, choose, find_mistakes, require
from .host.source_paths import check_sources, resolve_sources
from .sockets import KnowledgeBase, StyleKB, StylePipelineSocket

if TYPE_CHECKING:
    from ..generation.loading.pipeline import StylePipeline

_NONE = "none"  # no caption encoder


class StyleKnowledgeBase(io.ComfyNode):
    """Opens a knowledge base of style pictures and syncs it with folders, files and IMAGE batches."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StyleKnowledgeBase",
            display_name="Style Knowledge Base",
            category="Style RAG",
            description="Opens a collection of style pictures and keeps it up to date with its sources. Each new "
            "picture is embedded once. Adding a style is adding a picture.",
            inputs=[
                io.String.Input(
                    "name",
                    default="starter",
                    tooltip="Which knowledge base. It is made at its first use, in ComfyUI's user folder.",
                ),
                io.String.Input(
                    "sources",
                    default="styles",
                    multiline=True,
                    tooltip="One a line: a folder (with all below it), a picture file, a .stylepack, the http(s) URL "
                    "of a picture, or a .txt of such URLs. A relative path is looked for in ComfyUI's input folder, "
                    "then in the pack. Empty: only open.",
                ),
                io.Combo.Input(
                    "encoder",
                    options=paths.model_options("encoder"),
                    default="openai/clip-vit-base-patch32",
                    tooltip="The model that compares pictures and prompts: CLIP or SigLIP. DINOv2 is only for the "
                    "strategy image. A knowledge base stays with the one that made it, until rebuild.",
                ),
                io.Combo.Input(
                    "update",
                    options=list(UPDATES),
                    default="sync",
                    tooltip="sync: add what is new, update what changed, drop what is gone from these sources. add: "
                    "never drop. rebuild: embed everything again; the old state stays until that is done. open: read "
                    "no source.",
                ),
                io.Image.Input("images", optional=True, tooltip="Pictures to add, such as results you liked."),
                io.String.Input(
                    "captions",
                    optional=True,
                    default="",
                    multiline=True,
                    tooltip="One line for each picture of images.",
                ),
                io.String.Input(
                    "tags", optional=True, default="", tooltip="Tags for all pictures of images, separated by commas."
                ),
                StylePipelineSocket.Input(
                    "pipeline",
                    optional=True,
                    tooltip="Link it to store what its IP-Adapter reads of each picture. The sampler then need not "
                    "encode a retrieved style again.",
                ),
                io.Combo.Input(
                    "caption_encoder",
                    options=[_NONE, *paths.model_options("caption_encoder")],
                    optional=True,
                    default=_NONE,
                    tooltip="A sentence encoder for captions and tags. hybrid then also finds pictures by the "
                    "meaning of their captions. It helps with words that the other encoder hardly knows.",
                ),
            ],
            outputs=[
                StyleKB.Output(display_name="knowledge_base", tooltip="To Retrieve Style."),
                io.String.Output(
                    display_name="report",
                    tooltip="JSON: added, updated, removed, unchanged, failed (each with its reason), total, seconds, "
                    "near_duplicates, embedded_again, passed_over.",
                ),
            ],
        )

    @classmethod
    def mistakes(
        cls,
        name: str | None = None,
        sources: str | None = None,
        encoder: str | None = None,
        update: str | None = None,
        caption_encoder: str | None = None,
    ) -> dict[str, str]:
        """Return input -> sentence of each widget that is wrong, in no time. None: linked."""
        return find_mistakes(
            {
                "update": (update, lambda value: choose("update", value, UPDATES)),
                "name": (name, paths.knowledge_base_folder),
                "sources": (None if update == "open" else sources, check_sources),
                "encoder": (encoder, partial(paths.find_model, "encoder")),
                "caption_encoder": (
                    None if caption_encoder == _NONE else caption_encoder,
                    partial(paths.find_model, "caption_encoder"),
                ),
            }
        )

    @classmethod
    def validate_inputs(
        cls,
        name: str | None = None,
        sources: str | None = None,
        encoder: str | None = None,
        update: str | None = None,
        caption_encoder: str | None = None,
    ) -> bool | str:
        """Check name, sources and encoders before anything runs: what came past `mistakes`, without HTTP."""
        return next(iter(cls.mistakes(name, sources, encoder, update, caption_encoder).values()), True)

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        """Change when a source's files do, and when anybody else has changed the knowledge base."""
        return freshness.token(_widgets(inputs))

    @classmethod
    @plainly()
    def execute(
        cls,
        name: str,
        sources: str,
        encoder: str,
        update: str,
        images: torch.Tensor | None = None,
        captions: str = "",
        tags: str = "",
        pipeline: "StylePipeline | None" = None,
        caption_encoder: str = _NONE,
    ) -> io.NodeOutput:
        require(RETRIEVAL)
        choose("update", update, UPDATES)
        own = _own_pictures(images, captions, tags)
        read = [] if update == "open" else resolve_sources(sources)
        clip, sentences = _open_encoder(encoder), _open_caption_encoder(caption_encoder)
        store = StyleStore(paths.knowledge_base_folder(name), own_process=True)
        report = refresh(store, clip, read, update, own, _image_encoder(pipeline), sentences, _new_bar)
        freshness.settle(sources)
        opened = KnowledgeBase(store, clip, sentences)
        return io.NodeOutput(opened, json.dumps(asdict(report), ensure_ascii=False, indent=1))


def _own_pictures(images: torch.Tensor | None, captions: str, tags: str) -> list[OwnPicture]:
    """Return `images` with their words; fewer captions than images leave the rest without one."""
    pictures = [] if images is None else convert.image_to_pil(images, "images")
    lines = [line.strip() for line in captions.splitlines()] if captions.strip() else []
    if len(lines) > len(pictures):
        raise ValueError(
            f"captions has {len(lines)} lines for {len(pictures)} images: write at most one line for each image."
        )
    shared = tuple(tag.strip() for tag in tags.split(",") if tag.strip())
    lines += [""] * (len(pictures) - len(lines))
    return [OwnPicture(picture, caption, shared) for picture, caption in zip(pictures, lines, strict=True)]


def _image_encoder(pipeline: "StylePipeline | None") -> OtherEncoder | None:
    """Return what a pipeline's IP-Adapter sees of pictures."""
    if pipeline is None:
        return None
    from ..generation.conditioning.references import encode_to_array

    return OtherEncoder(pipeline.encoding_id, partial(encode_to_array, pipeline))


def _new_bar() -> Progress:
    bar = comfy.utils.ProgressBar(1)
    return lambda done, total: bar.update_absolute(done, total)


def _widgets(inputs: Mapping[str, object]) -> freshness.Widgets:
    """Return those that are texts of their own. ComfyUI gives None for a linked one."""
    known = {entry.name: inputs.get(entry.name) for entry in fields(freshness.Widgets)}
    return freshness.Widgets(**{name: value for name, value in known.items() if isinstance(value, str)})


def _open_encoder(name: str) -> StyleEncoder:
    path = paths.find_model("encoder", name) or hub.download(hub.HUB["encoder"][name])
    return StyleEncoder(name, path, paths.tokenizer(), memory.DEVICE.load)


def _open_caption_encoder(name: str) -> SentenceEncoder | None:
    if name == _NONE:
        return None
    path = paths.find_model("caption_encoder", name) or hub.download(hub.HUB["caption_encoder"][name])
    return SentenceEncoder(name, path, memory.DEVICE.load)
