"""When the card's memory ends while models are loaded, and how that is known from other errors."""

import importlib
from typing import Any

import pytest
import torch
from test_execute import Nodes, module
from test_memory import GB, Card


class SmallCard:
    """Stands in for a GPU that layers are really moved to: their numbers stay, and their place is noted."""

    def __init__(self, size: int) -> None:
        self.size, self.layers = size, list[PlacedLayer]()

    def free(self, device: Any = None, torch_free_too: bool = False) -> Any:
        left = self.size - sum(layer.weight.nbytes for layer in self.layers if layer.place == "meta")
        return (left, 0) if torch_free_too else left

    def model(self, count: int) -> torch.nn.Module:
        made = [PlacedLayer(self) for _ in range(count)]
        self.layers += made
        return torch.nn.Sequential(*made)


class PlacedLayer(torch.nn.Linear):
    def __init__(self, card: SmallCard) -> None:
        super().__init__(100, 250, bias=False)  # 100,000 bytes
        self.card, self.place = card, "cpu"

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        place = fn(torch.empty(0)).device.type
        if place != self.place == "cpu" and self.card.free() < self.weight.nbytes:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.place = place
        return self


@pytest.mark.parametrize("state", ["NORMAL_VRAM", "LOW_VRAM", "NO_VRAM", "HIGH_VRAM"])
@pytest.mark.parametrize("fits", [0, 1, 2])
def test_a_load_that_runs_out_of_memory_leaves_nothing_behind(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, state: str, fits: int
) -> None:
    """Three models are needed together, `fits` of which are there already, and there is room for one layer more."""
    where_to = importlib.import_module("comfy.model_management").unet_offload_device
    fake = Card(comfy_nodes, monkeypatch, GB)
    card = SmallCard(fits * 300_000 + 100_000)
    monkeypatch.setattr(fake.mm, "unet_offload_device", where_to)
    monkeypatch.setattr(fake.mm, "get_free_memory", card.free)
    monkeypatch.setattr(fake.mm, "vram_state", fake.mm.VRAMState[state])
    models = [card.model(3) for _ in range(3)]
    if fits:
        fake.memory.DEVICE.load(*models[:fits])
    with pytest.raises(torch.cuda.OutOfMemoryError):
        fake.memory.DEVICE.load(*models)
    assert fake.mm.current_loaded_models == []
    assert {layer.place for layer in card.layers} == {"cpu"}
    assert card.free() == card.size
    assert not any(hasattr(layer, "comfy_patched_weights") for layer in card.layers)
    card.size = 1_000_000
    fake.memory.DEVICE.load(*models)
    assert {layer.place for layer in card.layers} == {"meta"}
    assert len(fake.mm.current_loaded_models) == 3
    assert card.free() == 100_000


def test_an_interrupt_is_never_taken_for_a_shortage_of_memory(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, mm = module(comfy_nodes, "host.memory"), importlib.import_module("comfy.model_management")
    for theirs in (torch.cuda.OutOfMemoryError, Exception):
        monkeypatch.setattr(mm, "OOM_EXCEPTION", theirs)
        assert memory.DEVICE.is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))
        assert memory.DEVICE.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8.91 GB)."))
        assert not memory.DEVICE.is_out_of_memory(mm.InterruptProcessingException())
        assert not memory.DEVICE.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_newer_comfyuis_answer_counts(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, mm = module(comfy_nodes, "host.memory"), importlib.import_module("comfy.model_management")
    assert not memory.DEVICE.is_out_of_memory(RuntimeError("a device that torch does not know"))
    monkeypatch.setattr(mm, "is_oom", lambda error: "does not know" in str(error), raising=False)
    assert memory.DEVICE.is_out_of_memory(RuntimeError("a device that torch does not know"))
    assert memory.DEVICE.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8.91 GB)."))
