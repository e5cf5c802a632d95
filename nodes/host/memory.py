"""Hands our models to ComfyUI's memory manager, which loads, offloads and frees them beside everybody else's."""

from contextlib import ExitStack
from weakref import WeakKeyDictionary

import comfy.model_management as mm
import torch
from comfy.cli_args import args
from comfy.model_patcher import ModelPatcher

from ...generation.device import TorchDevice
from ...generation.layers.convolution_packing import forget_packed
from ...generation.loading.precision import Precision

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_WEIGHTS = 1_243_000_000  # of SD 1.5's UNet, ControlNet and IP-Adapter, which are on the device together
_MAIN_MEMORY = torch.device("cpu")


class WholeModelPatcher(ModelPatcher):
    """Moves a model all or nothing: plain torch layers, unlike ComfyUI's own, can't compute on parts left elsewhere."""

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False):
        before = self.model.model_loaded_weight_memory
        if before == 0:
            with ExitStack() as undo:
                undo.callback(self.give_up)
                self.patch_model(device_to, lowvram_model_memory=0)
                undo.pop_all()
        return self.model.model_loaded_weight_memory - before

    def partially_unload(self, device_to, memory_to_free=0, *args, **kwargs):
        return 0  # the caller then detaches the whole model

    def detach(self, unpatch_all=True):
        if unpatch_all:  # else it is only loaded again
            forget_packed(self.model)
        return super().detach(unpatch_all)

    def give_up(self) -> None:
        """Go back to main memory from wherever loading ended; with --gpu-only `detach` would load it once more."""
        forget_packed(self.model)
        self.unpatch_model(_MAIN_MEMORY)


class Holder(torch.nn.Module):
    """Takes the attributes that ComfyUI sets on a model: diffusers' and transformers' own classes refuse `device`.

    It has the module's layers and weights, the very dicts, and not the module, which can thus end while it lives.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        for held in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
            setattr(self, held, getattr(module, held))


# A module's patcher lives as long as the module does, and is no part of it: modules are copied.
_patchers: WeakKeyDictionary[torch.nn.Module, WholeModelPatcher] = WeakKeyDictionary()


class ComfyDevice(TorchDevice):
    """The device that ComfyUI computes on, where its memory manager moves models."""

    def __init__(self) -> None:
        self.check_interrupted = mm.throw_exception_if_processing_interrupted

    @property
    def fused_attention(self) -> bool:
        return bool(mm.pytorch_attention_flash_attention())

    def load(self, *modules: torch.nn.Module, needed: int = 0) -> torch.device:
        """Bring modules to the device, making room as ComfyUI sees fit, and return the device.

        Those that are needed together are named together: none of them is moved out again for another. When they can't
        be loaded, none of them stays there. needed: bytes beside the weights, that computing will take.
        """
        patchers = [_patcher(module) for module in modules]
        with ExitStack() as undo:
            undo.callback(_give_up, patchers)
            mm.load_models_gpu(patchers, memory_required=needed)
            undo.pop_all()
        return patchers[0].load_device

    def unload(self, module: torch.nn.Module) -> None:
        """Take a module off the device: ComfyUI's manager leaves it there until another model needs its place."""
        patcher = _patchers.get(module)
        if patcher is None or mm.is_device_cpu(patcher.load_device):
            return
        for number in reversed(range(len(mm.current_loaded_models))):
            if mm.current_loaded_models[number].model is patcher:
                mm.current_loaded_models.pop(number).model_unload()

    def release(self, module: torch.nn.Module) -> None:
        """Take a module off the device at once where ComfyUI was started with --lowvram or --novram."""
        if mm.vram_state in (mm.VRAMState.LOW_VRAM, mm.VRAMState.NO_VRAM):
            self.unload(module)

    def free_memory(self, *kept: torch.nn.Module) -> None:
        """Take every model off the device, other packs' too, but for those that are named."""
        patchers = [patcher for module in kept if (patcher := _patchers.get(module))]
        keep = [loaded for loaded in mm.current_loaded_models if loaded.model in patchers]
        mm.free_memory(1e30, mm.get_torch_device(), keep_loaded=keep)
        mm.soft_empty_cache()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether the device's memory ended: ComfyUI's answer, and torch's for devices that ComfyUI can't tell of.

        Its name for that is plain Exception where torch has none: an interrupt, and every mistake, would be one.
        """
        theirs = getattr(mm, "is_oom", lambda error: isinstance(error, mm.OOM_EXCEPTION))
        known = mm.OOM_EXCEPTION is not Exception and theirs(error)
        return known or super().is_out_of_memory(error)


DEVICE = ComfyDevice()


def _give_up(patchers: list[WholeModelPatcher]) -> None:
    """ComfyUI takes those that were there already off its list while it loads the others, and frees what it lists."""
    mm.current_loaded_models[:] = [loaded for loaded in mm.current_loaded_models if loaded.model not in patchers]
    for patcher in patchers:
        patcher.give_up()
    mm.soft_empty_cache()


def _patcher(module: torch.nn.Module) -> WholeModelPatcher:
    patcher = _patchers.get(module)
    if patcher is None:
        named = type(type(module).__name__, (Holder,), {})  # ComfyUI's log tells of a model by the name of its class
        patcher = WholeModelPatcher(named(module), mm.get_torch_device(), mm.unet_offload_device())
        _patchers[module] = patcher
    return patcher


def choose_precision(name: str) -> Precision:
    """Return the number formats of each part, by the node's `precision` and by ComfyUI's flags."""
    dtype = choose_dtype(name)
    return Precision(dtype, *kept_dtypes(name), flagged_dtype("vae", dtype), flagged_dtype("text_enc", dtype))


def choose_dtype(precision: str) -> torch.dtype:
    """Return the dtype to compute in; `auto` and `int8`: what ComfyUI would compute SD 1.5's UNet in on this device."""
    if precision not in ("auto", "int8"):
        return _DTYPES[precision]
    device, known = mm.get_torch_device(), list(_DTYPES.values())
    stored = _comfyui_stores(device)
    computed = mm.unet_manual_cast(stored, device, known) or stored
    return computed if computed in known else torch.float32  # there is a flag for fp64


def kept_dtypes(precision: str) -> tuple[torch.dtype | None, torch.dtype | None]:
    """Return the dtypes to keep the weights of the denoiser and of the image encoder in; None = that of computing.

    `auto` and `int8`: what ComfyUI stores them in, where that is less: a card that is bad at fp16 is still small.
    """
    computed, kept = choose_dtype(precision), None
    if precision in ("auto", "int8"):
        stored = _comfyui_stores(mm.get_torch_device())
        kept = stored if stored in _DTYPES.values() and stored.itemsize < computed.itemsize else None
    return (torch.int8 if precision == "int8" else kept), kept


def _comfyui_stores(device: torch.device) -> torch.dtype:
    return mm.unet_dtype(device, model_params=_WEIGHTS, supported_dtypes=list(_DTYPES.values()))


def flagged_dtype(part: str, otherwise: torch.dtype) -> torch.dtype:
    """Return the dtype that ComfyUI was started with for a part, `vae` or `text_enc`, such as by `--fp32-vae`."""
    wanted = (dtype for name, dtype in _DTYPES.items() if getattr(args, f"{name}_{part}", False))
    return next(wanted, otherwise)
