"""ICC profiles made from their published numbers (ICC.1:2022), since test machines have no files of them."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
from PIL import Image, ImageCms

# Primaries and white as CIE xy, and gamma: Adobe RGB (1998), SMPTE EG 432-1 with sRGB's curve, ROMM RGB (ISO 22028-2).
RGB = {
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290), 563 / 256),
    "Display P3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.3290), 0.0),
    "ProPhoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585), 1.8),
    "sRGB by another maker": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290), 0.0),
}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def rgb(name: str, more: dict[bytes, bytes] | None = None) -> bytes:
    """more: tags beside those that it needs."""
    *primaries, white, gamma = RGB[name]
    xyz = np.array([_xyz(*xy) for xy in primaries]).T
    white_point = _xyz(*white)
    scaled = xyz * np.linalg.solve(xyz, white_point)
    adapt = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white_point)) @ _BRADFORD
    columns = (adapt @ scaled).T
    tags = {f"{c}XYZ".encode(): _tag_xyz(column) for c, column in zip("rgb", columns, strict=True)}
    tags[b"wtpt"] = _tag_xyz(_D50)
    curves = {f"{c}TRC".encode(): _curve(gamma) for c in "rgb"}
    return _profile(b"RGB ", b"mntr", b"XYZ ", tags | curves | (more or {}))


def grey(gamma: float) -> bytes:
    return _profile(b"GRAY", b"mntr", b"XYZ ", {b"wtpt": _tag_xyz(_D50), b"kTRC": _curve(gamma)})


def cmyk(grid: int = 9) -> bytes:
    """A press whose yellow is orange: what a reader makes of (0, 0, 255, 0) tells whether it looked at the profile."""
    steps = np.linspace(0, 1, grid)
    inks = np.array(list(itertools.product(steps, repeat=4)))
    light = 1 - inks[:, :3]
    light[:, 1] *= 1 - 0.5 * inks[:, 2]
    colours = (light * (1 - inks[:, 3:]) * 255).round().astype(np.uint8)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB", 5000)
    table = ImageCms.profileToProfile(Image.fromarray(colours[None]), srgb, lab, outputMode="LAB")
    assert table is not None
    values = np.frombuffer(table.tobytes(), np.uint8).reshape(-1, 3) ^ np.array([0, 128, 128], np.uint8)  # signed there
    ramp = bytes(range(256))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + struct.pack(">4B", 4, 3, grid, 0) + unit + ramp * 4 + values.tobytes() + ramp * 3
    return _profile(b"CMYK", b"prtr", b"Lab ", {b"wtpt": _tag_xyz(_D50), b"A2B0": lut})


def lab() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB", 5000)).tobytes()


def seen_through(colours: Image.Image, profile: bytes, mode: str) -> Image.Image:
    """Return an sRGB picture as numbers of another profile, without the profile."""
    made = ImageCms.profileToProfile(
        colours, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)), outputMode=mode
    )
    assert made is not None
    made.info = {}
    return made


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _tag_xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(gamma: float) -> bytes:
    """A curve of one exponent; 0: sRGB's (IEC 61966-2-1), of two parts."""
    if gamma:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _profile(space: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made for a test"
    tags = tags | {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
    }
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += padded
    head = struct.pack(">I4sI4s4s4s", 0, b"test", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _fixed(*_D50) + b"\0" * 48
    whole = head + table + body
    return struct.pack(">I", len(whole)) + whole[4:]
