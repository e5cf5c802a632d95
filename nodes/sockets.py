"""The pack's own socket types and the values that travel through them."""

import inspect
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io
from PIL import Image

from ..retrieval.encoders.encoder import StyleEncoder
from ..retrieval.encoders.sentences import SentenceEncoder
from ..retrieval.records import StyleMatch
from ..retrieval.store.store import StyleStore

StyleKB = io.Custom("STYLE_KB")
StyleReferencesSocket = io.Custom("STYLE_REFERENCES")
StylePipelineSocket = io.Custom("STYLE_PIPELINE")

# For the schema of a node that shows something: since 0.18 ComfyUI shows that again when it has the node in its cache.
# web/js/shown.js does it for older versions.
_AGAIN = "has_intermediate_output"
SHOWS: dict[str, Any] = {_AGAIN: True} if _AGAIN in inspect.signature(io.Schema).parameters else {}


@dataclass(frozen=True)
class KnowledgeBase:
    """The value of STYLE_KB.

    store: open.
    encoder: the one that made its vectors.
    caption_encoder: the one that made the vectors of its captions, if it has any.
    """

    store: StyleStore
    encoder: StyleEncoder
    caption_encoder: SentenceEncoder | None = None


@dataclass(frozen=True)
class StyleReferences:
    """The value of STYLE_REFERENCES.

    store: where they come from.
    matches: best first; empty when nothing matched.
    pictures: RGB, one a match.
    """

    store: StyleStore
    matches: tuple[StyleMatch, ...]
    pictures: tuple[Image.Image, ...]

    def named(self) -> list[tuple[str, Image.Image]]:
        """Return each picture with its name."""
        return [(match.record.name, picture) for match, picture in zip(self.matches, self.pictures, strict=True)]
