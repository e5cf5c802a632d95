"""Convolutions from packed weights: the same numbers, and the models are whole afterwards."""

import pytest
import torch
from style_pack.generation.layers import convolution_packing
from style_pack.generation.layers.convolution_packing import forget_packed, packed_convolutions


@pytest.mark.parametrize("stride", [1, 2])
def test_packed_weights_give_the_plain_convolution(monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    monkeypatch.setattr(convolution_packing, "PACKED_CHANNELS", 16)
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(16, 24, 3, stride=stride, padding=1)
    given = torch.randn(2, 16, 9, 8)
    with torch.inference_mode():
        plain = conv(given)
        with packed_convolutions(torch.nn.Sequential(conv)):
            assert "forward" in conv.__dict__
            assert torch.allclose(conv(given), plain, atol=1e-5)
    assert "forward" not in conv.__dict__


def test_half_precision_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_packing, "PACKED_CHANNELS", 16)
    conv = torch.nn.Conv2d(16, 16, 3).half()
    with packed_convolutions(conv):
        assert "forward" not in conv.__dict__


def test_a_torch_without_the_packed_kernels_computes_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_packing, "PACKED_CHANNELS", 16)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    conv = torch.nn.Conv2d(16, 16, 3)
    with packed_convolutions(conv):
        assert "forward" not in conv.__dict__


def test_packed_weights_are_kept_while_the_weights_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_packing, "PACKED_CHANNELS", 16)
    torch.manual_seed(0)
    conv, given = torch.nn.Conv2d(16, 24, 3), torch.randn(1, 16, 9, 8)
    own = conv.weight.data
    copies = []

    def run() -> None:
        with packed_convolutions(conv):
            assert torch.allclose(conv(given), torch.nn.functional.conv2d(given, conv.weight, conv.bias), atol=1e-5)
        copies.append(convolution_packing._kept[conv][1])

    with torch.no_grad():
        run()
        run()
        conv.weight.mul_(2)
        run()
        conv.weight.data = own + 1
        run()
    assert copies[0] is copies[1]
    assert len({id(copy) for copy in copies}) == 3
    forget_packed(torch.nn.Sequential(conv))
    assert conv not in convolution_packing._kept


def test_copies_of_one_model_are_kept_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_packing, "PACKED_CHANNELS", 16)
    shared, first, second = (torch.nn.Conv2d(16, 16, 3) for _ in range(3))
    with packed_convolutions(torch.nn.Sequential(shared, first)):
        pass
    copy = convolution_packing._kept[shared][1]
    with packed_convolutions(torch.nn.Sequential(shared, second)):
        assert set(convolution_packing._kept) == {shared, second}
        assert convolution_packing._kept[shared][1] is copy
