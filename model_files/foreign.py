"""Models that are not ours to load, named for what they are, by the names of their tensors."""

import re

from .lora_keys import is_lora
from .opening import Shapes

# What it is -> a pattern that one of its tensors' names has, from the files that their makers published. These are told
# before anything else, for parts of them look like models that we load.
_OTHERS = (
    ("an AnimateDiff motion LoRA", r"motion_modules\..*lora"),
    ("an AnimateDiff motion module", r"motion_modules\."),
    ("a Control-LoRA", r"^lora_controlnet$"),
    ("a ControlNet-LLLite", r"^lllite_"),
    ("a T2I-Adapter", r"^(adapter\.)?body\.\d+\.(block1|in_conv|resnets\.\d+\.block1)\."),
    ("a GLIGEN model", r"(^|\.)position_net\."),
    ("a PhotoMaker file", r"^id_encoder\."),
    ("an IP-Adapter for Flux", r"double_blocks\.\d+\.processor\.ip_adapter|^ip_adapter_proj_model\."),
    ("a Flux Redux style model", r"^redux_(up|down)\."),
    ("a Stable Video Diffusion model", r"\.time_stack\."),
)
# The same for whole models of other kinds; a LoRA names the layers of the model that it was made for.
_OTHER_MODELS = (
    ("a Chroma model", r"(^|\.)distilled_guidance_layer\."),
    ("a Flux model", r"(^|\.)double_blocks\.\d+\.img_attn\.|^single_transformer_blocks\.\d+\."),
    ("a Stable Diffusion 3 model", r"(^|\.)joint_blocks\.\d+\.x_block\.|^transformer_blocks\.\d+\.norm1_context\."),
    ("a Qwen-Image model", r"(^|\.)transformer_blocks\.\d+\.img_mod\."),
    ("a Lumina or Z-Image model", r"(^|\.)cap_embedder\."),
    ("a Wan video model", r"(^|\.)blocks\.\d+\.cross_attn\.norm_k\."),
    ("an AuraFlow model", r"(^|\.)double_layers\.\d+\."),
    ("a Stable Cascade model", r"(^|\.)clip_txt_(pooled_)?mapper\."),
)
# Parts of a model that lie in a file of their own, once it is none of the models that we load.
_PARTS = (
    ("the averaged copies (EMA) of a checkpoint, without the weights themselves", r"^model_ema\.diffusion_model"),
    ("a UNet without its text encoder and VAE", r"^input_blocks\.0\.0\.weight$|^down_blocks\.\d+\.attentions\."),
    ("a VAE", r"^(first_stage_model\.)?decoder\.(mid|mid_block)\."),
    ("a CLIP text encoder", r"^(text_model\.)?encoder\.layers\.\d+\.self_attn\.|^transformer\.resblocks\."),
    ("a T5 text encoder", r"^encoder\.block\.\d+\.layer\.0\.SelfAttention\."),
    ("a textual inversion embedding", r"^(string_to_param|string_to_token|emb_params$|clip_[lg]$|<[^>]+>$)"),
    ("a hypernetwork", r"^(320|640|768|1024|1280)\.\d+\.linear\."),
    ("an upscale model", r"^(model\.1\.sub|RRDB_trunk|body\.\d+\.rdb1)\."),
)


def foreign_model(shapes: Shapes) -> str:
    """Return what a file of another kind is, with its article; empty when it may be one of ours."""
    names = "\n".join(shapes)
    return _first(_OTHERS if is_lora(shapes) else (*_OTHERS, *_OTHER_MODELS), names)


def lone_part(shapes: Shapes) -> str:
    """Return which part of a model, or what beside one, a file of no known kind is; empty when that can't be told."""
    return _first(_PARTS, "\n".join(shapes))


def _first(kinds: tuple[tuple[str, str], ...], names: str) -> str:
    return next((kind for kind, pattern in kinds if re.search(pattern, names, re.MULTILINE)), "")
