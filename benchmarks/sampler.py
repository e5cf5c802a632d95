"""Seconds a picture on the bundled models: our sampler against plain diffusers, in one process, turn about.

Both have their models in memory, encode prompt and reference, sample and decode. The largest difference of the two
pictures (0..1) is printed beside, for a speed that changes the picture is another matter.
"""

import json
import statistics
import time

import torch
from pack import MODELS, import_pack, load_bundled
from PIL import Image

ROUNDS = 7
STEPS = 20


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

    def ours() -> torch.Tensor:
        return generate(pipeline, settings, edges, [Reference(reference)]).images

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

    difference = float((ours() - theirs()).abs().max())  # and both are warm
    times = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    result = {
        "ours": round(medians[0], 3),
        "diffusers": round(medians[1], 3),
        "ratio": round(medians[0] / medians[1], 3),
    }
    about = {"benchmark": "sampler", "unit": "seconds", "models": "bundled", "steps": STEPS, "rounds": ROUNDS}
    print(json.dumps(about | result | {"largest_difference": difference}))


def seconds(paint) -> float:
    start = time.perf_counter()
    paint()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
