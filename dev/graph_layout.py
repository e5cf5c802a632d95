"""Where the nodes of a workflow lie in the editor, from groups of columns. Only arithmetic; knows nothing of a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

NODE_TITLE = 30
"""Height of a node's title bar, which lies above its position."""

GROUP_TITLE = 40
PADDING = 20
COLUMN_GAP = 60
ROW_GAP = 24

TO_CHANGE = {"color": "#232", "bgcolor": "#353"}
"""The green of nodes that a newcomer is invited to change."""

Bounding = tuple[int, int, int, int]
"""Left, top, width, height in the editor's units."""


@dataclass(frozen=True)
class Model:
    """A file that a workflow needs, in the form in which the editor offers to fetch it."""

    name: str
    url: str
    directory: str

    @property
    def link(self) -> str:
        """In Markdown."""
        return f"[{self.name}]({self.url})"


@dataclass(frozen=True)
class Spot:
    """A node and its size. Without a title it keeps the one of its class."""

    id: int
    width: int
    height: int
    title: str = ""
    to_change: bool = False
    models: tuple[Model, ...] = ()

    def for_page(self, pos: tuple[int, int]) -> dict[str, object]:
        return {
            "id": self.id,
            "title": self.title,
            "pos": pos,
            "size": (self.width, self.height),
            "colours": TO_CHANGE if self.to_change else {},
            "models": [asdict(model) for model in self.models],
        }


@dataclass(frozen=True)
class Group:
    """Nodes in columns from left to right, each from top to bottom. `at`: the group's left top corner."""

    title: str
    colour: str
    at: tuple[int, int]
    columns: tuple[tuple[Spot, ...], ...]

    def places(self) -> Iterator[tuple[Spot, tuple[int, int]]]:
        """Each node with its position."""
        left = self.at[0] + PADDING
        for column in self.columns:
            top = self.at[1] + GROUP_TITLE + NODE_TITLE
            for spot in column:
                yield spot, (left, top)
                top += spot.height + ROW_GAP + NODE_TITLE
            left += max(spot.width for spot in column) + COLUMN_GAP

    def bounding(self) -> Bounding:
        right = max(left + spot.width for spot, (left, _) in self.places())
        bottom = max(top + spot.height for spot, (_, top) in self.places())
        return *self.at, right + PADDING - self.at[0], bottom + PADDING - self.at[1]


@dataclass(frozen=True)
class Note:
    """A text in Markdown. `bounding` is that of its body: the title bar lies above."""

    title: str
    text: str
    bounding: Bounding

    def for_page(self, node_id: int) -> dict[str, object]:
        left, top, width, height = self.bounding
        return Spot(node_id, width, height, self.title).for_page((left, top)) | {"text": self.text}


@dataclass(frozen=True)
class Layout:
    """id: the workflow's own, a UUID. seed: what the editor does to the seed after a run."""

    name: str
    id: str
    groups: tuple[Group, ...]
    note: Note
    seed: str = "randomize"

    def places(self) -> list[tuple[Spot, tuple[int, int]]]:
        """Each node with its position, by id."""
        return sorted((place for group in self.groups for place in group.places()), key=lambda place: place[0].id)

    def for_page(self) -> dict[str, object]:
        """What build_graph.js reads. The note gets the id after the last node's."""
        return {
            "id": self.id,
            "seed": self.seed,
            "nodes": [spot.for_page(pos) for spot, pos in self.places()],
            "note": self.note.for_page(self.places()[-1][0].id + 1),
            "groups": [{"title": g.title, "color": g.colour, "bounding": g.bounding()} for g in self.groups],
        }

    def bounding(self) -> Bounding:
        """The rectangle around all groups, without the note."""
        boxes = [group.bounding() for group in self.groups]
        left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
        right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
        return left, top, right - left, bottom - top
