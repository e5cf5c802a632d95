"""The pack's own socket types and the values that travel through them."""

from dataclasses import dataclass

from comfy_api.latest import io
from PIL import Image

from ..retrieval.encoder import StyleEncoder
from ..retrieval.records import StyleMatch
from ..retrieval.sentences import SentenceEncoder
from ..retrieval.store import StyleStore

StyleKB = io.Custom("STYLE_KB")
StyleReferencesSocket = io.Custom("STYLE_REFERENCES")
StylePipelineSocket = io.Custom("STYLE_PIPELINE")


@dataclass(frozen=True)
class KnowledgeBase:
    """The value of STYLE_KB: an open store, the encoder that made it, and the one of its captions, if it has one."""

    store: StyleStore
    encoder: StyleEncoder
    caption_encoder: SentenceEncoder | None = None


@dataclass(frozen=True)
class StyleReferences:
    """The value of STYLE_REFERENCES: the store they come from, matches, best first, and their pictures (RGB).

    Both are empty when nothing matched.
    """

    store: StyleStore
    matches: tuple[StyleMatch, ...]
    pictures: tuple[Image.Image, ...]
