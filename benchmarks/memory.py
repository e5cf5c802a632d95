"""Memory that a picture takes on the card, counted on shapes alone: SD 1.5's sizes in fp16 on torch's device `meta`.

Counts the bytes of all tensors that live at once in one pass of ControlNet and UNet with guidance, and in decoding.
Attention is counted as fused (its output alone) and as kept whole (with all scores). The IP-Adapter's tokens, and what
a GPU's libraries take beside (context, workspaces, fragments), are not counted. Prints one JSON object a case, with
what ComfyUI is told beforehand, from `generation/memory_need.py`, as `told`.
"""

import json
import weakref
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from pack import ROOT, import_pack
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import_pack()
from style_pack.generation.memory_need import decoding_bytes, sampling_bytes  # noqa: E402

CONFIGS = ROOT / "generation" / "loading" / "configs"
CASES = ((512, 1), (768, 1), (512, 4), (768, 4))  # side in pixels, pictures


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside took at one moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {id(tensor.untyped_storage()) for tensor in tensors((args, kwargs))}
        for tensor in tensors(made):
            storage = tensor.untyped_storage()
            key = id(storage)
            if key not in self._known and key not in given:
                self._known.add(key)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._release, key, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class Attention(TorchFunctionMode):
    """Attention as a fused kernel takes memory, or with its scores and their softmax."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self._fused = fused

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = (*args, *(kwargs or {}).values())[:3]
        return torch.empty_like(query) if self._fused else torch.softmax(query @ key.mT, dim=-1) @ value


def tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def peak(fused: bool, compute: Callable[[], Any]) -> int:
    with torch.inference_mode(False), torch.no_grad(), Attention(fused), LiveBytes() as live:
        compute()
    return live.peak


def load(model: Any, name: str) -> Any:
    with torch.device("meta"):
        return model.from_config(json.loads((CONFIGS / name / "config.json").read_text())).half().eval()


def main() -> None:
    models = (UNet2DConditionModel, "unet"), (ControlNetModel, "controlnet"), (AutoencoderKL, "vae")
    unet, controlnet, vae = (load(*model) for model in models)

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.float16, device="meta")

    for side, count in CASES:
        noisy, text, edges = (
            zeros(2 * count, 4, side // 8, side // 8),
            zeros(2 * count, 77, 768),
            zeros(1, 3, side, side),
        )
        edges = edges.expand(2 * count, 3, side, side)
        moment = torch.zeros((), device="meta")

        def step(noisy: Any = noisy, text: Any = text, edges: Any = edges, moment: Any = moment) -> None:
            down, middle = controlnet(noisy, moment, text, edges, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            unet(noisy, moment, text, **residuals, return_dict=False)

        def decode(side: int = side) -> None:
            vae.decode(zeros(1, 4, side // 8, side // 8))

        row: dict[str, Any] = {"benchmark": "memory", "side": side, "pictures": count}
        for fused in (True, False):
            name = "fused" if fused else "whole"
            row |= {f"sampling_{name}": peak(fused, step), f"decoding_{name}": peak(fused, decode)}
            row |= {f"sampling_{name}_told": sampling_bytes(unet, 2 * count, side, side, fused)}
        row |= {"decoding_told": decoding_bytes(vae, side, side)}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
