"""Merges LoRA files as the ComfyUI of this checkout does: `python stock_lora.py WEIGHTS STRENGTH TO FILE...`.

WEIGHTS: the bundled UNet and text encoder by diffusers' names, after `unet.` and `text_encoder.`. Each file's result is
written under its own name into the folder TO. It runs in a process of its own, for ComfyUI keeps much in globals.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "dev"))
from places import comfyui_path  # noqa: E402

sys.path.insert(0, str(comfyui_path()))
from comfy.cli_args import args  # noqa: E402

args.cpu = True
import comfy.lora  # noqa: E402
import comfy.lora_convert  # noqa: E402
import comfy.utils  # noqa: E402

# The bundled UNet, as ComfyUI describes one: three levels of one block, the first without attention.
UNET = {
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 3],
    "transformer_depth": [0, 1, 1],
    "transformer_depth_output": [0, 0, 1, 1, 1, 1],
    "transformer_depth_middle": 1,
}


def stock_names(weights: dict[str, torch.Tensor]) -> dict[str, str]:
    """{ComfyUI's name of a parameter: ours}."""
    ldm = comfy.utils.unet_to_diffusers(UNET)
    names = {f"diffusion_model.{ldm[name.removeprefix('unet.')]}": name for name in weights if name[5:] in ldm}
    for name in weights:
        if name.startswith("text_encoder."):
            bare = name.removeprefix("text_encoder.").removeprefix("text_model.")
            names[f"clip_l.transformer.text_model.{bare}"] = name
    return names


def main() -> None:
    source, strength, to, *files = sys.argv[1:]
    weights = load_file(source)
    names = stock_names(weights)
    state = {stock: weights[name] for stock, name in names.items()}
    model: Any = SimpleNamespace(state_dict=lambda: state, model_config=SimpleNamespace(unet_config=UNET))
    for file in map(Path, files):
        keys = comfy.lora.model_lora_keys_clip(model, comfy.lora.model_lora_keys_unet(model, {}))
        lora = comfy.lora_convert.convert_lora(comfy.utils.load_torch_file(str(file), safe_load=True))
        changed = dict(weights)
        for key, patch in comfy.lora.load_lora(lora, keys, log_missing=False).items():
            if key in state:
                patches = [(float(strength), patch, 1.0, None, None)]
                changed[names[key]] = comfy.lora.calculate_weight(patches, state[key].clone(), key).contiguous()
        save_file(changed, Path(to) / f"{file.stem}.safetensors")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
