"""Processor seconds a picture on the bundled models: our sampler against plain diffusers, in one process, turn about.

Both have their models in memory; ours has prompt and reference encoded, as in every run after the first. One JSON
object a speed. The largest difference of the two pictures (0..1) is printed beside, for a speed that changes the
picture is another matter. `turbo` needs a LoRA, and none is bundled.
"""

import json
import statistics
import time
from dataclasses import replace
from functools import partial

import torch
from pack import MODELS, import_pack, load_bundled
from PIL import Image

ROUNDS = 7
STEPS = 20
SPEEDS = ("exact", "balanced")


def main() -> None:
    import_pack()
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    from style_pack.generation.conditioning import Reference
    from style_pack.generation.pipeline import DTYPE_ARGUMENT
    from style_pack.generation.sampler import generate
    from style_pack.generation.schedulers import build_scheduler
    from style_pack.generation.settings import GenerationSettings

    adapter = MODELS / "ip-adapter-tiny"
    pipeline = load_bundled()
    float32 = {DTYPE_ARGUMENT: torch.float32}
    plain = StableDiffusionControlNetPipeline.from_pretrained(
        MODELS / "sd-tiny",
        controlnet=ControlNetModel.from_pretrained(MODELS / "controlnet-canny-tiny", **float32),
        **float32,
    )
    plain.scheduler = build_scheduler("ddim", plain.scheduler.config)
    plain.load_ip_adapter(str(adapter), subfolder="", weight_name="ip-adapter_tiny.safetensors", local_files_only=True)
    plain.set_progress_bar_config(disable=True)
    settings = GenerationSettings("a castle as a blueprint", "", 1, STEPS, 2.0, "ddim", 256, 256, ip_adapter_scale=1.0)
    edges = torch.zeros(1, 3, 256, 256)
    edges[:, :, 64:66] = edges[:, :, :, 128:130] = 1
    reference = Image.new("RGB", (256, 256), (20, 60, 140))

    def ours(speed: str) -> torch.Tensor:
        return generate(pipeline, replace(settings, speed=speed), edges, [Reference(reference)]).images

    def theirs() -> torch.Tensor:
        plain.set_ip_adapter_scale(settings.ip_adapter_scale)
        made = plain(
            settings.prompt,
            negative_prompt=settings.negative_prompt,
            image=edges,
            ip_adapter_image=reference,
            num_inference_steps=STEPS,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator().manual_seed(settings.seed),
            output_type="pt",
        )
        return made.images.permute(0, 2, 3, 1)

    expected = theirs()
    differences = {speed: float((ours(speed) - expected).abs().max()) for speed in SPEEDS}  # and all are warm
    times = [[seconds(theirs), *(seconds(partial(ours, speed)) for speed in SPEEDS)] for _ in range(ROUNDS)]
    plainly, *medians = (statistics.median(column) for column in zip(*times, strict=True))
    about = {"benchmark": "sampler", "unit": "seconds", "models": "bundled", "steps": STEPS, "rounds": ROUNDS}
    for speed, median in zip(SPEEDS, medians, strict=True):
        result = {"speed": speed, "ours": round(median, 3), "diffusers": round(plainly, 3)}
        result |= {"ratio": round(median / plainly, 3), "largest_difference": differences[speed]}
        print(json.dumps(about | result))


def seconds(paint) -> float:
    """Processor time, which other programs on the machine do not change much."""
    start = time.process_time()
    paint()
    return time.process_time() - start


if __name__ == "__main__":
    main()
