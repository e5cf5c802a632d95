"""When StyleKnowledgeBase runs again: its sources' files have changed, or its knowledge base has, through whoever else.

ComfyUI compares what `token` returns with what it returned when the node ran last. What that run itself has changed is
no reason to run again; so `settle` notes how the run left things, and `token` then says what it said before the run.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from comfy_execution.utils import get_executing_context

from ..retrieval.pictures.finder import find_pictures
from ..retrieval.store.origin import read_state
from .host import paths
from .host.source_paths import resolve_sources


@dataclass(frozen=True)
class Widgets:
    """What tells one StyleKnowledgeBase from another, before it runs. None: linked, or not there."""

    name: str | None = None
    sources: str | None = None
    update: str | None = None
    encoder: str | None = None
    caption_encoder: str | None = None
    captions: str | None = None
    tags: str | None = None


@dataclass
class _Memory:
    """What was seen when ComfyUI asked last, and what the last run left: stamps of the sources' files, and the state.

    linked: the sources of runs whose own were linked.
    """

    token: str = ""
    seen: tuple[str, str] = ("", "")
    settled: tuple[str, str] | None = None
    linked: set[str] = field(default_factory=set)


_memories: dict[Widgets, _Memory] = {}
_asked: dict[str, tuple[str, Widgets]] = {}  # node id -> the prompt that it is in, and its widgets there
_numbers = itertools.count()


def token(widgets: Widgets) -> str:
    """Return a text that is another than last time when the node has to run."""
    memory = _memories.setdefault(widgets, _Memory())
    now = _stamps(widgets, memory), _states(widgets.name)
    if now != memory.settled and (now != memory.seen or memory.settled):
        memory.token, memory.settled = str(next(_numbers)), None
    memory.seen = now
    if context := get_executing_context():
        _asked[context.node_id] = context.prompt_id, widgets
    return memory.token


def settle(sources: str) -> None:
    """Note how the run of a node has left its knowledge base. Its sources' files count as they were before it."""
    context = get_executing_context()
    prompt_id, widgets = _asked.get(context.node_id, ("", None)) if context else ("", None)
    if not context or not widgets or prompt_id != context.prompt_id:
        return
    memory = _memories[widgets]
    stamps = memory.seen[0]
    if widgets.sources is None and sources not in memory.linked:
        memory.linked.add(sources)
        stamps = _stamps(widgets, memory)
    memory.settled = stamps, _states(widgets.name)


def _stamps(widgets: Widgets, memory: _Memory) -> str:
    """Return what tells whether a file of the sources has changed; what may be fetched is checked, and not fetched."""
    if widgets.update == "open":
        return ""
    texts = sorted(memory.linked) if widgets.sources is None else [widgets.sources]
    local = [source for text in texts for source in resolve_sources(text) if isinstance(source, Path)]
    return repr([(file.path, file.stamp) for file in find_pictures(local)])


def _states(name: str | None) -> str:
    """Return the state of a knowledge base, of all where its name is linked."""
    folders = paths.knowledge_base_folders() if name is None else [paths.knowledge_base_folder(name)]
    return repr([(folder.name, read_state(folder)) for folder in folders])
