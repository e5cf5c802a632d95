"""How far fp16 and bf16 lie from fp32 on the bundled models: latents after the last step, and pixels, 0 to 1.

The same prompts, seeds, edges and reference in each. Another seed's distance is printed beside, as a scale. Computed on
the CPU, whose sums may be rounded otherwise than a GPU's. Prints one JSON object a precision.
"""

import json
from dataclasses import replace
from typing import Any

import torch
from pack import import_pack, load_bundled
from PIL import Image

PROMPTS = ("a castle as a blueprint", "a harbour at dusk, ukiyo-e woodblock print", "a house in watercolour")


def main() -> None:
    import_pack()
    from style_pack.generation.conditioning import Reference
    from style_pack.generation.sampler import generate
    from style_pack.generation.settings import GenerationSettings

    settings = GenerationSettings(PROMPTS[0], "", 1, 20, 2.0, "ddim", 256, 256, ip_adapter_scale=1.0)
    edges = torch.zeros(1, 3, 256, 256)
    edges[:, :, 64:66] = edges[:, :, :, 128:130] = 1
    reference = Image.new("RGB", (256, 256), (20, 60, 140))

    def paint(dtype: str, seed: int = 1) -> list[Any]:
        pipeline = load_bundled(dtype=dtype)
        runs = [replace(settings, prompt=prompt, seed=seed) for prompt in PROMPTS]
        return [generate(pipeline, run, edges, [Reference(reference)]) for run in runs]

    exact = paint("float32")
    others = {"float16": paint("float16"), "bfloat16": paint("bfloat16"), "float32, another seed": paint("float32", 2)}
    for name, results in others.items():
        row: dict[str, Any] = {"benchmark": "precision", "precision": name, "pictures": len(PROMPTS)}
        for part in ("latents", "images"):
            pairs = zip(results, exact, strict=True)
            far = torch.stack([(getattr(one, part).float() - getattr(two, part)).abs() for one, two in pairs])
            row |= {f"{part}_mean": round(float(far.mean()), 5), f"{part}_max": round(float(far.max()), 4)}
        print(json.dumps(row | {"decoded_in": sorted({dtype for one in results for dtype in one.decoded_in})}))


if __name__ == "__main__":
    main()
