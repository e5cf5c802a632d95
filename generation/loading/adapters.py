"""What the tensors of a LoRA file, of any kind, make of one weight. Knows no files and no names of layers.

LoRA: Hu et al. 2021, arXiv 2106.09685. LoHa, LoKr and their forms for convolutions: Yeh et al. 2023, arXiv 2309.14859.
DoRA: Liu et al. 2024, arXiv 2402.09353. GLoRA: Chavan et al. 2023, arXiv 2306.07967. OFT: Qiu et al. 2023, arXiv
2306.07280. BOFT: Liu et al. 2023, arXiv 2311.06243. Where ComfyUI reads a file in a way of its own, so is it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

Factors = Mapping[str, torch.Tensor]


class MatrixError(ValueError):
    """A factor has fewer axes than a product needs."""


@dataclass(frozen=True)
class Change:
    """What a LoRA makes of one weight or bias.

    kind: `lora`, `loha`, `lokr`, `glora`, `oft`, `boft`, `diff` or `set`.
    factors: role, as `split_key` names it -> tensor.
    scale: of the difference; alpha / rank for most.
    """

    kind: str
    factors: Factors
    scale: float = 1.0

    def added_to(self, weight: torch.Tensor, strength: float) -> torch.Tensor:
        """Return `weight`, float32, with that much of the change, in its shape and on its device.

        Raises ValueError or RuntimeError when the change is for a weight of another shape.
        """
        factors = {role: factor.to(weight.device, torch.float32) for role, factor in self.factors.items()}
        if self.kind == "set":
            return factors["set_weight"].reshape(weight.shape)
        if self.kind == "lora" and factors.keys() <= {"down", "up"}:  # in one pass, without a copy of the difference
            up, down = factors["up"].flatten(1), factors["down"].flatten(1)
            flat = weight.flatten(1)
            if (up.shape[0], down.shape[1]) != flat.shape:
                raise ValueError("The factors are for a weight of another shape.")
            return torch.addmm(flat, up, down, alpha=strength * self.scale).reshape(weight.shape)
        difference = _DIFFERENCES[self.kind](weight, factors, strength)
        if difference.shape[0] != weight.shape[0]:
            raise ValueError("The factors are for a weight of another shape.")
        difference = difference.reshape(weight.shape) * self.scale
        if "dora_scale" in factors or "magnitude" in factors:
            difference = _rescaled(weight, weight + difference, factors) - weight
        return weight + strength * difference

    def on(self, device: torch.device) -> Change:
        return replace(self, factors={role: factor.to(device) for role, factor in self.factors.items()})

    def fits(self, shape: torch.Size) -> bool:
        """Tell whether a weight of this shape can be changed so, without computing it."""
        nowhere = torch.device("meta")
        try:
            return self.on(nowhere).added_to(torch.empty(shape, device=nowhere), 1.0).shape == shape
        except (ValueError, RuntimeError, IndexError):
            return False


def make_change(roles: Factors, scale_of: Callable[[int], float]) -> Change | None:
    """Return what these tensors of one layer make of its weight; None when they change only its bias.

    roles: as `split_key` names them. scale_of: what alpha and the settings say, given a rank. Raises KeyError with a
    role that is missing, MatrixError when a factor is no matrix.
    """
    if "set_weight" in roles:
        return Change("set", {"set_weight": roles["set_weight"]})
    if difference := [role for role in ("diff", "w_norm") if role in roles]:
        return Change("diff", {"diff": roles[difference[0]]})
    found = [kind for kind, (telling, _) in _KINDS.items() if telling & roles.keys()]
    if not found:
        return None
    kind = found[-1]
    factors = {role: roles[role] for role in roles if role.startswith(_KINDS[kind][1])}
    if kind == "oft":
        return _orthogonal(roles)
    if any(factor.ndim < 2 for role, factor in factors.items() if role not in ("dora_scale", "magnitude")):
        raise MatrixError
    rank = _rank(kind, factors)
    return Change(kind, factors, 1.0 if rank is None else scale_of(rank))


# kind -> the roles that tell it, and how the names of its roles begin
_DORA = ("dora_scale", "magnitude")
_KINDS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "lora": ({"down", "up"}, ("down", "up", "mid", *_DORA)),
    "loha": ({"hada_w1_a", "hada_w1_b"}, ("hada_", *_DORA)),
    "lokr": ({"lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w2_a"}, ("lokr_", *_DORA)),
    "glora": ({"a1"}, ("a1", "a2", "b1", "b2", *_DORA)),
    "oft": ({"oft_blocks"}, ("oft_blocks", "rescale")),
}


def _rank(kind: str, factors: Factors) -> int | None:
    """Return what alpha is divided by; None where nothing is factored. Raises KeyError with a role that is missing."""
    if kind == "lora":
        return min(factors["down"].shape[0], factors["up"].shape[1])
    if kind == "loha":
        for role in ("hada_w1_a", "hada_w2_a", "hada_w2_b"):
            factors[role]
        return factors["hada_w1_b"].shape[0]
    if kind == "glora":
        return factors["a1"].shape[0 if _is_old_glora(factors) else 1]
    rank = None
    for name in ("lokr_w1", "lokr_w2"):
        if name not in factors:
            factors[f"{name}_a"]
            rank = factors[f"{name}_b"].shape[0]
    return rank


def _orthogonal(roles: Factors) -> Change:
    """OFT has one turn of each block of outputs, BOFT several one after the other; alpha bounds how far they turn."""
    blocks, alpha = roles["oft_blocks"], roles.get("alpha")
    if blocks.ndim not in (3, 4):
        raise MatrixError
    factors = {role: roles[role] for role in ("oft_blocks", "rescale") if role in roles}
    if alpha is not None and float(alpha) > 0:
        factors["constraint"] = alpha.reshape(())
    return Change("oft" if blocks.ndim == 3 else "boft", factors)


def _of_lora(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    up, down = factors["up"].flatten(1), factors["down"].flatten(1)
    return _core_product(factors["mid"], up.T, down) if "mid" in factors else up @ down


def _core_product(core: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the convolution (out, in, h, w) of a Tucker core (r, s, h, w) with factors (r, out) and (s, in)."""
    return torch.einsum("rshw,ro,si->oihw", core, a, b).contiguous()  # torch.kron wants it so


def _of_loha(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    halves = []
    for number in "12":
        a, b = factors[f"hada_w{number}_a"], factors[f"hada_w{number}_b"]
        core = factors.get(f"hada_t{number}")
        halves.append(a @ b if core is None else _core_product(core, a, b))
    return halves[0] * halves[1]


def _of_lokr(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    first = factors["lokr_w1"] if "lokr_w1" in factors else factors["lokr_w1_a"] @ factors["lokr_w1_b"]
    if "lokr_w2" in factors:
        second = factors["lokr_w2"]
    elif "lokr_t2" in factors:
        second = _core_product(factors["lokr_t2"], factors["lokr_w2_a"], factors["lokr_w2_b"])
    else:
        second = factors["lokr_w2_a"] @ factors["lokr_w2_b"]
    return torch.kron(first[..., None, None] if second.ndim == 4 else first, second)


def _is_old_glora(factors: Factors) -> bool:
    """LyCORIS first wrote GLoRA's factors the other way round: (rank, ...) for a1 and b1."""
    a1, a2, b1, b2 = (factors[name] for name in ("a1", "a2", "b1", "b2"))
    old = a1.shape[0] == b1.shape[0] == a2.shape[1] == b2.shape[1]
    new = a1.shape[1] == b1.shape[1] == a2.shape[0] == b2.shape[0]
    return old and not (new and a1.shape[1] < a1.shape[0])  # both fit a square weight, and a rank is the smaller side


def _of_glora(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    a1, a2, b1, b2 = (factors[name].flatten(1) for name in ("a1", "a2", "b1", "b2"))
    if _is_old_glora(factors):
        return b2 @ b1 + weight.flatten(1) @ a2 @ a1
    return torch.einsum("oi...,ij->oj...", weight, a1 @ a2).reshape(weight.shape) + (b1 @ b2).reshape(weight.shape)


def _turns(factors: Factors) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the orthogonal matrices (..., b, b) by Cayley's transform of what was learned, and the unit matrix."""
    blocks = factors["oft_blocks"]
    skew = blocks - blocks.transpose(-1, -2)
    if "constraint" in factors:
        skew = skew * (factors["constraint"] / (skew.norm() + 1e-8)).clamp(max=1)
    unit = torch.eye(blocks.shape[-1], device=blocks.device)
    return (unit + skew) @ torch.linalg.inv(unit - skew), unit


def _of_oft(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    """As ComfyUI has it, the strength bends the turn itself, and is multiplied with the difference once more."""
    turns, unit = _turns(factors)
    parts = weight.unflatten(0, turns.shape[:2])
    return torch.einsum("knm,kn...->km...", strength * (turns - unit), parts).flatten(0, 1)


def _of_boft(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    """Each turn mixes outputs that lie twice as far apart as those of the one before."""
    turns, unit = _turns(factors)
    size = turns.shape[-1]
    turned = weight
    for number, turn in enumerate(strength * turns + (1 - strength) * unit):
        apart = 2**number * (size // 2)
        mixed = turned.unflatten(0, (-1, 2, apart)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
        mixed = torch.einsum("bij,bj...->bi...", turn, mixed).flatten(0, 1)
        turned = mixed.unflatten(0, (-1, apart, 2)).transpose(1, 2).flatten(0, 2)
    if "rescale" in factors:
        turned = turned * factors["rescale"]
    return turned - weight


def _of_diff(weight: torch.Tensor, factors: Factors, strength: float) -> torch.Tensor:
    return factors["diff"]


_DIFFERENCES: dict[str, Callable[[torch.Tensor, Factors, float], torch.Tensor]] = {
    "lora": _of_lora,
    "loha": _of_loha,
    "lokr": _of_lokr,
    "glora": _of_glora,
    "oft": _of_oft,
    "boft": _of_boft,
    "diff": _of_diff,
}


def _rescaled(weight: torch.Tensor, changed: torch.Tensor, factors: Factors) -> torch.Tensor:
    """Return the changed weight with rows or columns as long as a DoRA learned.

    peft's magnitudes (`magnitude`) are of rows. LyCORIS' (`dora_scale`) are of columns, or of rows where there is one
    for each output; the rows' lengths are then taken before the change, as ComfyUI does.
    """
    rows, columns = (-1, *[1] * (weight.ndim - 1)), (1, -1, *[1] * (weight.ndim - 2))
    if "magnitude" in factors:
        return changed * (factors["magnitude"].reshape(rows) / changed.flatten(1).norm(dim=1).reshape(rows))
    lengths = factors["dora_scale"]
    tiny = torch.finfo(torch.float32).eps
    if lengths.shape[0] == weight.shape[0]:
        return changed * (lengths.reshape(rows) / (weight.flatten(1).norm(dim=1).reshape(rows) + tiny))
    across = changed.transpose(0, 1).flatten(1).norm(dim=1)
    return changed * (lengths.reshape(columns) / (across.reshape(columns) + tiny))
