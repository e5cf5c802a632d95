"""The only part of the pack that knows ComfyUI: converts in, makes one call, converts out."""

from comfy_api.latest import ComfyExtension, io

from . import mistakes, provenance
from .canny import CannyFromSketch
from .host import paths, sketches
from .knowledge_base import StyleKnowledgeBase
from .lora import LoadStyleLoRA
from .pipeline import LoadStylePipeline
from .retrieve import RetrieveStyle
from .routes import routes
from .sampler import ControlNetIPAdapterSampler
from .score import ScoreStyledImage

NODES: list[type[io.ComfyNode]] = [
    StyleKnowledgeBase,
    RetrieveStyle,
    CannyFromSketch,
    LoadStylePipeline,
    LoadStyleLoRA,
    ControlNetIPAdapterSampler,
    ScoreStyledImage,
]


class StyleRagExtension(ComfyExtension):
    """What ComfyUI asks the pack for."""

    async def on_load(self) -> None:
        """Nothing: everything waits until a node runs."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


def load() -> StyleRagExtension:
    """Make the pack's model folder, its sketches, its HTTP routes and what it adds to a prompt known to ComfyUI."""
    paths.register_ipadapter_folder()
    sketches.register()
    mistakes.register(NODES)
    routes.register()
    provenance.register()
    return StyleRagExtension()
