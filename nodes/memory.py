"""Hands our models to ComfyUI's memory manager, which loads, offloads and frees them beside everybody else's."""

import comfy.model_management as mm
import torch
from comfy.cli_args import args
from comfy.model_patcher import ModelPatcher

from ..generation.saved_work import forget_packed

_PATCHER = "_style_rag_patcher"
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class WholeModelPatcher(ModelPatcher):
    """Moves a model all or nothing: plain torch layers, unlike ComfyUI's own, can't compute on parts left elsewhere."""

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False):
        before = self.model.model_loaded_weight_memory
        if before == 0:
            self.patch_model(device_to, lowvram_model_memory=0)
        return self.model.model_loaded_weight_memory - before

    def partially_unload(self, device_to, memory_to_free=0, *args, **kwargs):
        return 0  # the caller then detaches the whole model

    def detach(self, unpatch_all=True):
        if unpatch_all:  # else it is only loaded again
            forget_packed(self.model)
        return super().detach(unpatch_all)


class Holder(torch.nn.Module):
    """Takes the attributes that ComfyUI sets on a model: diffusers' and transformers' own classes refuse `device`."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module


def on_device(*modules: torch.nn.Module) -> torch.device:
    """Bring modules to the device that ComfyUI computes on, making room as it sees fit, and return that device.

    Those that are needed together are named together: none of them is moved out again for another.
    """
    patchers = [_patcher(module) for module in modules]
    mm.load_models_gpu(patchers)
    return patchers[0].load_device


def _patcher(module: torch.nn.Module) -> WholeModelPatcher:
    """Return a module's patcher, which hangs on it, so that it lives as long as the module does and no longer."""
    patcher = getattr(module, _PATCHER, None)
    if patcher is None:
        named = type(type(module).__name__, (Holder,), {})  # ComfyUI's log tells of a model by the name of its class
        patcher = WholeModelPatcher(named(module), mm.get_torch_device(), mm.unet_offload_device())
        setattr(module, _PATCHER, patcher)
    return patcher


def off_device(module: torch.nn.Module) -> None:
    """Take a module off the device: ComfyUI's manager leaves it there until another model needs its place."""
    patcher = getattr(module, _PATCHER, None)
    if patcher is None or mm.is_device_cpu(patcher.load_device):
        return
    for number in reversed(range(len(mm.current_loaded_models))):
        if mm.current_loaded_models[number].model is patcher:
            mm.current_loaded_models.pop(number).model_unload()


def release(module: torch.nn.Module) -> None:
    """Take a module off the device at once where ComfyUI was started with --lowvram or --novram."""
    if mm.vram_state in (mm.VRAMState.LOW_VRAM, mm.VRAMState.NO_VRAM):
        off_device(module)


def out_of_memory() -> tuple[type[Exception], ...]:
    """Return the exceptions that mean that the device's memory ended.

    ComfyUI's own name for them is plain Exception where torch has none: an interrupt, and every mistake, would be one.
    """
    ours, theirs = torch.cuda.OutOfMemoryError, mm.OOM_EXCEPTION
    return (ours,) if theirs is Exception else tuple({ours, theirs})


def make_room() -> None:
    """Take every model off the device, other packs' too; what is needed next is loaded again when it is needed."""
    mm.unload_all_models()
    mm.soft_empty_cache()


def choose_dtype(precision: str) -> torch.dtype:
    """Return the dtype to compute in; `auto` and `int8`: what ComfyUI would choose for SD 1.5's UNet on this device."""
    if precision not in ("auto", "int8"):
        return _DTYPES[precision]
    device = mm.get_torch_device()
    found = mm.unet_dtype(device, model_params=859_500_000, supported_dtypes=list(_DTYPES.values()))
    if found in _DTYPES.values():
        return found
    return torch.float32 if mm.is_device_cpu(device) else torch.float16  # ComfyUI's flags also know fp8 and fp64


def flagged_dtype(part: str, otherwise: torch.dtype) -> torch.dtype:
    """Return the dtype that ComfyUI was started with for a part, `vae` or `text_enc`, such as by `--fp32-vae`."""
    wanted = (dtype for name, dtype in _DTYPES.items() if getattr(args, f"{name}_{part}", False))
    return next(wanted, otherwise)
