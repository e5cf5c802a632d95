"""What is encoded, and what is not encoded again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain_diffusers import LATENTS, SETTINGS, edges, reference
from published_layouts import save
from style_pack.generation.conditioning.prompts import Segment, cut_windows, load_embedding, read_segments
from style_pack.generation.conditioning.text import encode_prompts
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.painting import describe_run
from style_pack.generation.sampler import generate


class Counter:
    def __init__(self, module: torch.nn.Module) -> None:
        self.calls = 0
        self._hook = module.register_forward_pre_hook(self.count)

    def count(self, module: torch.nn.Module, given: tuple) -> None:
        self.calls += 1

    def taken(self) -> int:
        calls, self.calls = self.calls, 0
        return calls


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a house", [("a house", 1.0)]),
        ("a (red) house", [("a ", 1.0), ("red", 1.1), (" house", 1.0)]),
        ("(red:1.5) ((big))", [("red", 1.5), (" ", 1.0), ("big", 1.21)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 2.0), (" c", 0.5)]),
        (r"a \(b\)", [("a (b)", 1.0)]),
        ("(open", [("(open", 1.0)]),
        ("", []),
    ],
)
def test_brackets_weigh_as_in_comfyui(text: str, segments: list[tuple[str, float]]) -> None:
    found = [(segment.text, pytest.approx(segment.weight)) for segment in read_segments(text, "prompt")]
    assert found == segments


def test_embeddings_are_told_from_words() -> None:
    found = read_segments("a house embedding:ink, (embedding:old.pt by night:0.5)", "prompt")
    assert found == [
        Segment("a house", 1.0),
        Segment("ink", 1.0, True),
        Segment(",", 1.0),
        Segment("old.pt", 0.5, True),
        Segment("by night", 0.5),
    ]
    inside = read_segments(r"(embedding:sub\name:1.2), embedding:sub/name.pt", "prompt")
    assert [segment.text for segment in inside if segment.is_embedding] == [r"sub\name", "sub/name.pt"]
    with pytest.raises(ValueError, match="negative_prompt has 'embedding:' without a name"):
        read_segments("embedding:", "negative_prompt")
    with pytest.raises(ValueError, match="prompt gives 'x' the weight nan: use a number such as 1.2"):
        read_segments("(x:nan)", "prompt")
    with pytest.raises(ValueError, match="prompt nests brackets more than 50 deep"):
        read_segments("(" * 3000 + ")" * 3000, "prompt")


def test_what_comfyui_does_not_load_by_a_prompt_is_left_out_and_told(pipeline: StylePipeline) -> None:
    prompt = "a <lora:ink (v2):0.8>red (house <LyCO:x>:1.2) <hypernet:y:1>, a <b> {c|d}"
    assert read_segments(prompt, "prompt") == read_segments("a red (house :1.2) , a <b> {c|d}", "prompt")
    settings = replace(SETTINGS, prompt=prompt, negative_prompt="<lora:bad:1>")
    told = describe_run(pipeline, settings, None)
    assert told["left_out"] == {
        "prompt": ["<lora:ink (v2):0.8>", "<LyCO:x>", "<hypernet:y:1>"],
        "negative_prompt": ["<lora:bad:1>"],
    }
    assert "left_out" not in describe_run(pipeline, SETTINGS, None)


def test_an_embedding_takes_the_place_of_as_many_tokens(pipeline: StylePipeline, tmp_path: Path) -> None:
    layer = pipeline.text_encoder.get_input_embeddings()
    numbers = pipeline.tokenizer("red castle", add_special_tokens=False).input_ids
    rows = layer.weight[numbers].detach().clone()
    file = save(tmp_path / "spelled.safetensors", {"emb_params": rows})
    knowing = replace(pipeline, find_embedding=lambda name: file, encodings={})
    spelled = encode_prompts(knowing, {"prompt": "a embedding:spelled by night"})[0]
    written = encode_prompts(pipeline, {"prompt": "a red castle by night"})[0]
    assert torch.allclose(spelled, written, atol=1e-6)
    old = tmp_path / "old.pt"
    torch.save({"string_to_param": {"*": rows}, "step": 5, "name": "old"}, old)
    assert torch.equal(load_embedding(old, 128), rows)
    with pytest.raises(ValueError, match=r"embedding old\.pt holds no vectors of 768 numbers"):
        load_embedding(old, 768)
    with pytest.raises(FileNotFoundError, match="embedding 'ink' was not found"):
        generate(pipeline, replace(SETTINGS, prompt="embedding:ink"), edges(), [])


def test_a_word_is_not_divided_between_two_windows(pipeline: StylePipeline) -> None:
    def load(name: str) -> torch.Tensor:
        return torch.zeros(8 if name == "large" else 4, 128)

    segments = [Segment("a " * 73, 1.0), Segment("small", 1.0, True)]
    windows = cut_windows(segments, pipeline.tokenizer, load)
    assert [sum(token.vector is not None for token in window) for window in windows] == [0, 4]
    windows = cut_windows([segments[0], Segment("large", 1.0, True)], pipeline.tokenizer, load)
    assert [sum(token.vector is not None for token in window) for window in windows] == [2, 6]
    assert [len(window) for window in windows] == [77, 77]


def test_only_what_changed_is_encoded_again(pipeline: StylePipeline) -> None:
    fresh = replace(pipeline, encodings={})
    words, pictures = Counter(pipeline.text_encoder), Counter(pipeline.image_encoder)
    first = generate(fresh, SETTINGS, edges(), [reference()])
    assert (words.taken(), pictures.taken()) == (2, 1)
    generate(fresh, replace(SETTINGS, seed=8), edges(), [reference()])
    assert (words.taken(), pictures.taken()) == (0, 0)
    generate(fresh, replace(SETTINGS, prompt="a boat"), edges(), [reference()])
    assert (words.taken(), pictures.taken()) == (1, 0)
    generate(fresh, SETTINGS, edges(), [reference(1)])
    assert (words.taken(), pictures.taken()) == (0, 1)
    skipped = generate(fresh, replace(SETTINGS, clip_skip=2), edges(), [reference()])
    assert (words.taken(), pictures.taken()) == (2, 0)
    assert (skipped.latents - first.latents).abs().max() > LATENTS
    again = generate(fresh, SETTINGS, edges(), [reference()])
    assert (words.taken(), pictures.taken()) == (0, 0)
    assert torch.equal(first.latents, again.latents)


def test_what_is_remembered_is_bounded(pipeline: StylePipeline) -> None:
    fresh = replace(pipeline, encodings={})
    for number in range(40):
        fresh.remembered(number, lambda: torch.zeros(1))
    assert list(fresh.encodings) == list(range(8, 40))


def test_a_weight_moves_the_picture_and_a_weight_of_one_does_not(pipeline: StylePipeline) -> None:
    plain, one, heavy = (
        encode_prompts(pipeline, {"prompt": text})[0] for text in ("a castle", "(a castle:1)", "(a castle:1.5)")
    )
    assert torch.equal(plain, one)
    empty = encode_prompts(pipeline, {"prompt": ""})[0]
    words = len(pipeline.tokenizer("a castle", add_special_tokens=False).input_ids)
    inside = slice(1, words + 1)
    assert torch.allclose(heavy[:, inside], empty[:, inside] + 1.5 * (plain - empty)[:, inside], atol=1e-5)
    assert torch.equal(heavy[:, words + 1 :], plain[:, words + 1 :])
    assert (heavy - plain).abs().max() > LATENTS
