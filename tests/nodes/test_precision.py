"""What `precision: auto` is on cards of many generations, which torch and ComfyUI are made to believe in."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_execute import Nodes, module, painting

GB = 10**9
FP16, BF16, FP32 = torch.float16, torch.bfloat16, torch.float32

# What it is, its memory in GB, what to compute in, and what to keep the weights in where that is less.
CARDS: dict[str, tuple[str, float, torch.dtype, torch.dtype | None]] = {
    # 10 series: a fp16 sum takes 64 times as long as one in fp32; ComfyUI keeps fp16 and computes in fp32.
    "NVIDIA GeForce GTX 1050": ("cuda 6", 2, FP32, FP16),
    "NVIDIA GeForce GTX 1050 Ti": ("cuda 6", 4, FP32, FP16),
    "NVIDIA GeForce GTX 1060 6GB": ("cuda 6", 6, FP32, FP16),
    "NVIDIA GeForce GTX 1080": ("cuda 6", 8, FP32, FP16),
    # On Windows ComfyUI found fp16 to be the faster one.
    "NVIDIA GeForce GTX 1070": ("windows 6", 8, FP16, None),
    # As slow, and not on ComfyUI's list: fp16 only since fp32 is too large.
    "NVIDIA GeForce GT 1030": ("cuda 6", 2, FP32, FP16),
    # 16 series and its relatives: fp16 gives NaN. Kept in fp16 where fp32 is too large.
    "NVIDIA GeForce MX450": ("cuda 7", 2, FP32, FP16),
    "NVIDIA GeForce GTX 1650": ("cuda 7", 4, FP32, FP16),
    "NVIDIA GeForce GTX 1660 SUPER": ("cuda 7", 6, FP32, FP16),
    "NVIDIA T600 Laptop GPU": ("cuda 7", 4, FP32, FP16),
    "NVIDIA T1000": ("cuda 7", 4, FP32, FP16),
    "NVIDIA T1000 8GB": ("cuda 7", 8, FP32, None),
    "Quadro T2000": ("windows 7", 4, FP32, FP16),
    # Before the 10 series there is no fp16; bf16 torch can hold anywhere.
    "NVIDIA GeForce GTX 960": ("cuda 5", 4, FP32, BF16),
    # Tensor cores: fp16 is fast.
    "NVIDIA GeForce RTX 2060": ("cuda 7", 6, FP16, None),
    "NVIDIA GeForce RTX 2080": ("cuda 7", 8, FP16, None),
    "Tesla T4": ("cuda 7", 15, FP16, None),
    "NVIDIA GeForce RTX 3050 Laptop GPU": ("cuda 8", 4, FP16, None),
    "NVIDIA GeForce RTX 3060": ("cuda 8", 15, FP16, None),
    "NVIDIA GeForce RTX 4060": ("cuda 8", 8, FP16, None),
    "NVIDIA GeForce RTX 4080": ("windows 8", 15, FP16, None),
    # ComfyUI takes any AMD card to be good at fp16, and a Mac.
    "AMD Radeon RX 580": ("hip gfx803", 8, FP16, None),
    "AMD Radeon RX 6600": ("hip gfx1032", 8, FP16, None),
    "AMD Radeon RX 7600": ("hip gfx1102", 8, FP16, None),
    "Apple M1": ("mps", 8, FP16, None),
    # Intel's cards say.
    "Intel Arc A380": ("xpu fp16 bf16", 6, FP16, None),
    "an XPU without fp16": ("xpu bf16", 6, BF16, None),
    "an XPU without either": ("xpu", 6, FP32, None),
    "a processor": ("cpu", 8, FP32, None),
}


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, kind: str, size: float) -> None:
    """Let ComfyUI and torch believe in a card, `meta`, that holds so many GB."""
    mm: Any = importlib.import_module("comfy.model_management")
    family, *features = kind.split()
    state = {"cpu": mm.CPUState.CPU, "mps": mm.CPUState.MPS}.get(family, mm.CPUState.GPU)
    device = torch.device({"cpu": "cpu", "mps": "mps"}.get(family, "meta"))
    about: dict[str, Any] = {"name": name, "has_fp16": "fp16" in features, "gcnArchName": kind}
    about["major"] = int(features[0]) if family in ("cuda", "windows") else 0
    monkeypatch.setattr(mm, "cpu_state", state)
    monkeypatch.setattr(mm, "WINDOWS", family == "windows")
    monkeypatch.setattr(mm, "is_intel_xpu", lambda: family == "xpu")
    monkeypatch.setattr(mm, "mac_version", lambda: (15, 0))
    monkeypatch.setattr(mm, "get_torch_device", lambda: device)
    monkeypatch.setattr(mm, "get_total_memory", lambda device: size * GB)
    monkeypatch.setattr(torch.version, "hip", "6.4" if family == "hip" else None)
    for vendor in (torch.cuda, torch.xpu):
        monkeypatch.setattr(vendor, "get_device_properties", lambda device: SimpleNamespace(**about))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # where the card can't, torch emulates it
    monkeypatch.setattr(torch.xpu, "is_bf16_supported", lambda: "bf16" in features)


@pytest.mark.parametrize("name", CARDS)
def test_auto_is_what_comfyui_computes_in(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    memory = module(comfy_nodes, "host.memory")
    kind, size, computed, kept = CARDS[name]
    pretend(monkeypatch, name, kind, size)
    assert memory.choose_dtype("auto") == memory.choose_dtype("int8") == computed
    assert memory.kept_dtypes("auto") == (kept, kept)
    assert memory.kept_dtypes("int8") == (torch.int8, kept)
    for precision, dtype in {"fp16": FP16, "bf16": BF16, "fp32": FP32}.items():
        assert memory.choose_dtype(precision) == dtype
        assert memory.kept_dtypes(precision) == (None, None)


@pytest.mark.parametrize(
    ("name", "flag", "computed", "kept"),
    [
        ("a processor", "fp16_unet", FP32, FP16),
        ("a processor", "bf16_unet", FP32, BF16),
        ("a processor", "fp32_unet", FP32, None),
        ("Tesla T4", "fp32_unet", FP32, None),
        ("Tesla T4", "fp64_unet", FP32, None),
        ("Tesla T4", "bf16_unet", FP16, None),
        ("Tesla T4", "fp8_e4m3fn_unet", FP16, None),
        ("Tesla T4", "FORCE_FP32", FP32, None),
        ("NVIDIA GeForce RTX 4060", "bf16_unet", BF16, None),
        ("NVIDIA GeForce RTX 4060", "fp16_unet", FP16, None),
        ("NVIDIA GeForce RTX 4060", "fp8_e4m3fn_unet", FP16, None),
        ("NVIDIA GeForce GTX 1660 SUPER", "fp16_unet", FP32, FP16),
        ("NVIDIA GeForce GTX 1660 SUPER", "force_fp16", FP16, None),
        ("NVIDIA GeForce GTX 1080", "force_fp16", FP16, None),
    ],
)
def test_auto_follows_what_comfyui_was_started_with(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, name: str, flag: str, computed: Any, kept: Any
) -> None:
    """--force-fp32 is read into a constant when ComfyUI starts."""
    memory, mm = module(comfy_nodes, "host.memory"), importlib.import_module("comfy.model_management")
    pretend(monkeypatch, name, *CARDS[name][:2])
    monkeypatch.setattr(mm if flag.isupper() else mm.args, flag, True)
    assert memory.choose_dtype("auto") == memory.choose_dtype("int8") == computed
    assert memory.kept_dtypes("auto") == (kept, kept)
    assert memory.choose_dtype("fp32") == FP32


def test_a_pipeline_is_kept_in_what_comfyui_stores_and_computes_in_what_it_computes_in(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--fp16-unet on a processor, where ComfyUI widens every layer as it does on a GTX 1650."""
    mm: Any = importlib.import_module("comfy.model_management")
    kept_in = importlib.import_module(
        module(comfy_nodes, "pipeline").PipelineFiles.__module__.replace(".loading.files", ".layers.int8")
    ).kept_in
    monkeypatch.setattr(mm.args, "fp16_unet", True)
    bundled = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny")
    pipeline = comfy_nodes["LoadStylePipeline"].execute(*bundled, "auto").args[0]
    assert [kept_in(unit) for unit in pipeline.denoiser.units] == [FP16] * 3
    assert kept_in(pipeline.image_encoder) == FP16
    parts = (pipeline.denoiser, pipeline.vae, pipeline.text_encoder, pipeline.image_encoder)
    assert [next(part.parameters()).dtype for part in parts] == [FP32] * 4
    settings = module(comfy_nodes, "sampler").GenerationSettings("a castle", "", 1, 2, 2.0, "ddim", 64, 64)
    described = painting(comfy_nodes).describe_run(pipeline, settings, None)
    assert (described["dtype"], described["weights"]) == ("float32", "float16")
