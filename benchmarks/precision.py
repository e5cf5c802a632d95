"""What each precision takes, and how far it lies from fp32.

Error: of the bundled models; latents after the last step, and pixels, 0 to 1. The same prompts, seeds, edges and
reference in each; another seed's distance is printed beside, as a scale. Computed on the CPU, whose sums may be rounded
otherwise than a GPU's. Plain diffusers keeps latents in the dtype of the weights, and ours are in fp32 always: how far
its own lie from the same fp32 ones, and from ours with weights of the same dtype, is printed too. Memory: bytes of UNet
and ControlNet, of the bundled ones and, counted on shapes alone, of those of SD 1.5. Prints one JSON object a
precision.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from pack import ROOT, import_pack, load_bundled
from PIL import Image

PROMPTS = ("a castle as a blueprint", "a harbour at dusk, ukiyo-e woodblock print", "a house in watercolour")
CONFIGS = ROOT / "generation" / "loading" / "configs"
PLAIN = ("float16", "bfloat16")
CASES = {  # name -> dtype, rounded to int8, seed
    "fp16": ("float16", False, 1),
    "bf16": ("bfloat16", False, 1),
    "int8, computed in fp32": ("float32", True, 1),
    "int8, computed in fp16": ("float16", True, 1),
    "fp32, another seed": ("float32", False, 2),
}


def size(modules: Iterable[torch.nn.Module]) -> int:
    return sum(value.nbytes for module in modules for value in module.state_dict().values())


def published_size(dtype: str, rounded: bool) -> int:
    """Bytes of SD 1.5's UNet and ControlNet; the IP-Adapter's 45 MB in fp16 come on top."""
    from style_pack.generation.layers.int8 import to_int8

    models = []
    for model, name in ((UNet2DConditionModel, "unet"), (ControlNetModel, "controlnet")):
        with torch.device("meta"):
            made: Any = model.from_config(json.loads((CONFIGS / name / "config.json").read_text("utf-8")))
        models.append(made.to(dtype=getattr(torch, dtype)))
        if rounded:
            to_int8(models[-1])
    return size(models)


def distance(name: str, made: list[torch.Tensor], exact: list[torch.Tensor]) -> dict[str, float]:
    far = torch.stack([(one.float() - two.float()).abs() for one, two in zip(made, exact, strict=True)])
    return {f"{name}_mean": round(float(far.mean()), 5), f"{name}_max": round(float(far.max()), 4)}


def plain_latents(dtype: str, settings: Any, edges: torch.Tensor, reference: Image.Image) -> list[torch.Tensor]:
    """The same pictures by diffusers' own pipeline, around the same modules."""
    from full_size import plain_pipeline
    from style_pack.generation.schedulers import build_scheduler

    pipeline = load_bundled(dtype=dtype)
    plain = plain_pipeline(pipeline, build_scheduler(settings.scheduler, pipeline.scheduler_config))
    plain.set_ip_adapter_scale(settings.ip_adapter_scale)
    return [
        plain(
            prompt,
            negative_prompt=settings.negative_prompt,
            image=edges,
            ip_adapter_image=reference,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator().manual_seed(settings.seed),
            output_type="latent",
        ).images
        for prompt in PROMPTS
    ]


def main() -> None:
    import_pack()
    from style_pack.generation.conditioning.references import Reference
    from style_pack.generation.layers.int8 import to_int8
    from style_pack.generation.sampler import generate
    from style_pack.generation.settings import GenerationSettings

    settings = GenerationSettings(PROMPTS[0], "", 1, 20, 2.0, "ddim", 256, 256, ip_adapter_scale=1.0)
    edges = torch.zeros(1, 3, 256, 256)
    edges[:, :, 64:66] = edges[:, :, :, 128:130] = 1
    reference = Image.new("RGB", (256, 256), (20, 60, 140))

    def paint(dtype: str, rounded: bool, seed: int) -> tuple[list[Any], int]:
        pipeline = load_bundled(dtype=dtype)
        if rounded:
            to_int8(pipeline.denoiser)
        runs = [replace(settings, prompt=prompt, seed=seed) for prompt in PROMPTS]
        return [generate(pipeline, run, edges, [Reference(reference)]) for run in runs], size([pipeline.denoiser])

    exact, whole = paint("float32", False, 1)
    print(json.dumps({"benchmark": "precision", "precision": "fp32", "bytes": whole,
                      "sd15_bytes": published_size("float32", False)}))  # fmt: skip
    for name, case in CASES.items():
        results, taken = paint(*case)
        row: dict[str, Any] = {"benchmark": "precision", "precision": name, "pictures": len(PROMPTS)}
        row |= {"bytes": taken, "sd15_bytes": published_size(*case[:2])}
        for part in ("latents", "images"):
            row |= distance(part, *([getattr(one, part) for one in made] for made in (results, exact)))
        print(json.dumps(row | {"decoded_in": sorted({dtype for one in results for dtype in one.decoded_in})}))
    for dtype in PLAIN:
        ours = paint(dtype, False, 1)[0]
        theirs = plain_latents(dtype, settings, edges, reference)
        row = {"benchmark": "precision", "precision": f"plain diffusers in {dtype}"}
        row |= distance("latents", theirs, [one.latents for one in exact])
        print(json.dumps(row | distance("from_ours", theirs, [one.latents for one in ours])))


if __name__ == "__main__":
    main()
