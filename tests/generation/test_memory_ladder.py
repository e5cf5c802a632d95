"""Runs that run out of memory, by fakes that raise: which measures are taken, and that the picture stays the same."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from plain_diffusers import SETTINGS, edges, reference
from style_pack.generation import memory_ladder
from style_pack.generation.device import OUT_OF_MEMORY, TorchDevice
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.memory_ladder import MemoryLadder, SlicedAttention
from style_pack.generation.sampler import GenerationResult, generate


class Freed(TorchDevice):
    """Notes what it is asked to keep."""

    def __init__(self, note: Callable[..., None]) -> None:
        self.free_memory = note


def paint(pipeline: StylePipeline, **changes: Any) -> GenerationResult:
    return generate(pipeline, replace(SETTINGS, **changes), edges(), [reference()])


def fail_first(times: int, function: Callable[..., Any], error: Exception | None = None) -> Callable[..., Any]:
    left = [times]

    def failing(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error or OUT_OF_MEMORY("CUDA out of memory.")
        return function(*args, **kwargs)

    return failing


def test_without_a_shortage_no_measure_is_taken(pipeline: StylePipeline) -> None:
    assert paint(pipeline).memory_steps == []


def test_sampling_goes_on_with_sliced_attention_and_gives_the_same_picture(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = paint(pipeline)
    unet = pipeline.denoiser.unet
    monkeypatch.setattr(memory_ladder, "SLICE_BYTES", 64)
    attend = torch.nn.functional.scaled_dot_product_attention
    with monkeypatch.context() as patch:
        patch.setattr(unet, "forward", fail_first(2, unet.forward))
        sliced = paint(pipeline)
    assert sliced.memory_steps == ["device freed", "sliced attention"]
    assert (sliced.images - whole.images).abs().max() <= 1e-4
    query, key = torch.randn(2, 1, 4, 40, 8, generator=torch.Generator().manual_seed(1))
    with SlicedAttention():
        assert torch.allclose(
            torch.nn.functional.scaled_dot_product_attention(query, key, key), attend(query, key, key)
        )
    assert paint(pipeline).memory_steps == []
    assert torch.equal(paint(pipeline).latents, whole.latents)


def test_sliced_attention_keeps_no_more_scores_than_a_slice_has(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.scaled_dot_product_attention:
                seen.append(args[0].shape[-2])
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(memory_ladder, "SLICE_BYTES", 10 * 2 * 3 * 40 * 4)  # ten queries of 2 x 3 heads and 40 keys
    query = torch.randn(2, 3, 64, 8)
    key = torch.randn(2, 3, 40, 8)
    with Watch(), SlicedAttention():
        assert torch.nn.functional.scaled_dot_product_attention(query, key, key).shape == query.shape
    assert seen == [10] * 6 + [4]


def test_decoding_goes_on_in_tiles_and_gives_nearly_the_same_picture(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"width": 128, "height": 128}
    lines = torch.nn.functional.interpolate(edges(), 128)
    whole = generate(pipeline, replace(SETTINGS, **settings), lines, [reference()])
    before = {name: value for name, value in vars(pipeline.vae).items() if "til" in name}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.vae, "decode", fail_first(2, pipeline.vae.decode))
        tiled = generate(pipeline, replace(SETTINGS, **settings), lines, [reference()])
    assert tiled.memory_steps == ["device freed", "tiled decoding"]
    assert torch.equal(tiled.latents, whole.latents)
    assert tiled.images.shape == whole.images.shape
    difference = (tiled.images - whole.images).abs()
    assert 0 < difference.mean() <= 0.03
    assert {name: value for name, value in vars(pipeline.vae).items() if "til" in name} == before


@pytest.mark.parametrize(
    ("part", "measures"),
    [
        ("text_encoder", ["device freed"]),
        ("image_encoder", ["device freed"]),
        ("denoiser.unet", ["device freed"]),
        ("denoiser.unet", ["device freed", "sliced attention"]),
        ("vae.decoder", ["device freed"]),
        ("vae.decoder", ["device freed", "tiled decoding"]),
    ],
)
def test_the_device_is_freed_of_all_else_before_a_stage_does_with_less(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch, part: str, measures: list[str]
) -> None:
    fresh = replace(pipeline, encodings={})
    whole = paint(fresh)
    freed: list[tuple[Any, ...]] = []
    short = replace(pipeline, encodings={}, device=Freed(lambda *kept: freed.append(kept)))
    module = torch.nn.ModuleDict({"denoiser": pipeline.denoiser, "vae": pipeline.vae}) if "." in part else None
    target = module.get_submodule(part) if module else getattr(pipeline, part)
    monkeypatch.setattr(target, "forward", fail_first(len(measures), target.forward))
    result = paint(short)
    assert result.memory_steps == measures
    used = {"denoiser.unet": pipeline.denoiser.units, "vae.decoder": (pipeline.vae,)}
    assert freed == [used.get(part, (target,))]
    assert (result.latents - whole.latents).abs().max() <= 1e-4


def test_when_nothing_helps_the_error_says_what_was_tried_and_what_to_do(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = pipeline.denoiser.unet
    with monkeypatch.context() as patch:
        patch.setattr(unet, "forward", fail_first(100, unet.forward))
        with pytest.raises(
            OUT_OF_MEMORY, match=r"while sampling, even after .*device freed, sliced attention\. Choose a"
        ):
            paint(pipeline)
    assert paint(pipeline).memory_steps == []


def test_what_is_no_shortage_of_memory_passes_at_once(pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Exception):
        pass

    calls: list[int] = []

    def stop(step: int, steps: int, latents: torch.Tensor) -> None:
        calls.append(step)
        raise Interrupted

    with pytest.raises(Interrupted):
        generate(
            replace(pipeline, device=Freed(lambda *kept: calls.append(-1))), SETTINGS, edges(), [reference()], stop
        )
    assert calls == [1]


class CodedError(RuntimeError):
    """As torch.AcceleratorError, which only a driver makes."""

    error_code = 2


@pytest.mark.parametrize(
    "error",
    [
        OUT_OF_MEMORY("CUDA out of memory. Tried to allocate 2.00 GiB."),
        OUT_OF_MEMORY("XPU out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.91 GB, max allowed: 9.07 GB)."),
        RuntimeError("Invalid buffer size: 34.36 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
        CodedError("CUDA error"),
    ],
)
def test_a_shortage_is_known_by_what_each_device_says(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    unet = pipeline.denoiser.unet
    monkeypatch.setattr(unet, "forward", fail_first(1, unet.forward, error))
    assert paint(pipeline).memory_steps == ["device freed"]


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no memory")])
def test_another_error_is_not_taken_for_a_shortage(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    unet = pipeline.denoiser.unet
    monkeypatch.setattr(unet, "forward", fail_first(1, unet.forward, error))
    with pytest.raises(type(error), match=str(error)):
        paint(replace(pipeline, device=Freed(lambda *kept: pytest.fail("room was made"))))


def test_the_tensors_of_a_failed_try_are_gone_before_the_next_one() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def attempt() -> str:
        if held:
            return "gone" if held[0]() is None else "still there"
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        raise OUT_OF_MEMORY("CUDA out of memory.")

    gc.disable()
    try:
        with MemoryLadder(TorchDevice()) as ladder:
            assert ladder.run("testing", [], attempt) == "gone"
    finally:
        gc.enable()
