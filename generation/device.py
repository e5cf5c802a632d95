"""The device that a pipeline computes on, and who moves models there: plain torch, or whoever implements `Device`."""

from __future__ import annotations

from typing import Protocol

import torch

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError  # the class of most devices, under the name that older torch has too
# What else torch raises says: Metal, whose tensors have a largest size too, cuBLAS and cuDNN, main memory.
_ENDED = ("out of memory", "invalid buffer size", "status_alloc_failed", "can't allocate memory", "not enough memory")
_CUDA_MEMORY_ALLOCATION = 2  # the code of torch.AcceleratorError, which is CUDA's own


class Device(Protocol):
    """What a pipeline asks of the machine that it runs on."""

    @property
    def fused_attention(self) -> bool:
        """Whether attention keeps no scores in the device's memory."""
        ...

    def load(self, *modules: torch.nn.Module, needed: int = 0) -> torch.device:
        """Bring modules to the device that they should compute on, all together, and return that device.

        needed: bytes that computing takes there beside the modules' weights.
        """
        ...

    def unload(self, module: torch.nn.Module) -> None:
        """Take a module off the device, where that makes room for another."""
        ...

    def release(self, module: torch.nn.Module) -> None:
        """Take a module off the device as soon as its stage is over, where memory is short from the start."""
        ...

    def free_memory(self, *kept: torch.nn.Module) -> None:
        """Take everything off the device but for the modules that are named."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error means that the device's memory ended."""
        ...

    def check_interrupted(self) -> None:
        """Raise when the user has ended the run."""
        ...


class TorchDevice(Device):
    """Plain torch: every module computes where it lies and stays there, and nobody ends a run."""

    @property
    def fused_attention(self) -> bool:
        return True

    def load(self, *modules: torch.nn.Module, needed: int = 0) -> torch.device:
        return next(modules[0].parameters()).device

    def unload(self, module: torch.nn.Module) -> None:
        pass

    def release(self, module: torch.nn.Module) -> None:
        pass

    def free_memory(self, *kept: torch.nn.Module) -> None:
        """Free nothing: who runs the pipeline alone has nothing else on the device."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error of torch's means that the device's memory ended, or main memory on a processor."""
        if isinstance(error, OUT_OF_MEMORY):
            return True
        coded = getattr(error, "error_code", None) == _CUDA_MEMORY_ALLOCATION
        return isinstance(error, RuntimeError) and (coded or any(words in str(error).lower() for words in _ENDED))

    def check_interrupted(self) -> None:
        pass
