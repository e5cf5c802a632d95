"""One guided pass of SD 1.5's UNet in the forms that might be faster: which of them are worth it on this machine.

    .venv/bin/python benchmarks/unet_forms.py [--side 256 --rounds 5]

The same random weights in fp32 on the processor, turn about: plain; wide convolutions packed, as we compute; in
memory channels-last; through torch.compile (inductor, which needs a C++ compiler). 9 GB of memory. One JSON object a
form: median seconds, share of plain's, largest difference of its answer, and seconds of the first pass, which compiles.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from pack import import_pack

import_pack()
from style_pack.generation.layers.convolution_packing import packed_convolutions  # noqa: E402
from style_pack.generation.loading.weights import CONFIGS  # noqa: E402


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds of a UNet pass in several forms.")
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.manual_seed(0)
    shape: Any = UNet2DConditionModel.load_config(CONFIGS / "unet")
    unet: Any = UNet2DConditionModel.from_config(shape).requires_grad_(False).eval()
    forms: dict[str, tuple[Any, Callable[[], Any]]] = {
        "plain": (unet, nullcontext),
        "packed": (unet, lambda: packed_convolutions(unet)),
        "channels-last": (copy.deepcopy(unet).to(memory_format=torch.channels_last), nullcontext),
        "compiled": (torch.compile(unet), nullcontext),
    }
    latents, text = torch.randn(2, 4, asked.side // 8, asked.side // 8), torch.randn(2, 77, 768)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    answers = {}
    for _ in range(asked.rounds + 1):
        for name, (model, context) in forms.items():
            given = latents.to(memory_format=torch.channels_last) if name == "channels-last" else latents
            with context():
                start = time.perf_counter()
                answers[name] = model(given, 500, encoder_hidden_states=text, return_dict=False)[0]
                seconds[name].append(time.perf_counter() - start)
    plain = median(seconds["plain"][1:])
    for name, (first, *later) in seconds.items():
        line: dict[str, Any] = {"benchmark": "unet_forms", "form": name, "side": asked.side}
        line |= {"seconds": round(median(later), 3), "of_plain": round(median(later) / plain, 3)}
        line |= {"first": round(first, 1), "difference": float((answers[name] - answers["plain"]).abs().max())}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
