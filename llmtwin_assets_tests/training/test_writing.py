"""Many texts from one model: the engine's part where it serves the model, else transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.training import models
from llmtwin_assets.training.batch import MOST, PART
from llmtwin_assets.training.decoder import Decoder, Prompt
from llmtwin_assets.training.writing import Writer
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.training.test_decoder import even_model

HEAD = "<|im_start|>user\nWrite about {}.<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [HEAD.format(f"liberty, part {number}") for number in range(MOST + 3)]


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return even_model(tmp_path_factory.mktemp("even"))


def writer(directory: Path, dtype: str = "float32") -> Writer:
    return Writer(directory, *models.load(directory, dtype))


def test_the_likeliest_words_are_those_of_transformers(even: Path) -> None:
    model, tokenizer = models.load(even)
    expected = models.generate(model, tokenizer, PROMPTS, max_new_tokens=12, temperature=0)
    assert writer(even).write(PROMPTS, max_new_tokens=12, temperature=0) == expected


def test_a_prompt_gets_the_same_text_whatever_is_asked_beside_it(even: Path) -> None:
    writes = writer(even)
    done: list[tuple[int, int]] = []
    texts = writes.write(
        PROMPTS, max_new_tokens=20, seed=3, progress=lambda *count: done.append(count)
    )
    assert done[-1] == (len(PROMPTS), len(PROMPTS))
    assert writes.write(PROMPTS[:1], max_new_tokens=20, seed=3) == texts[:1]
    assert writes.write(PROMPTS[:2], max_new_tokens=20, seed=4) != texts[:2]
    assert len(set(texts)) == len(PROMPTS)


def test_what_prompts_begin_with_is_read_once_and_changes_no_text(
    even: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [HEAD.format(f"{'the union ' * PART} and the states, {n}") for n in range(3)]
    ids = [models.encode(models.tokenizer_of(even), prompt) for prompt in asked]
    shared = next(place for place, pair in enumerate(zip(*ids, strict=False)) if len({*pair}) > 1)
    assert shared // PART * PART >= PART
    read: list[int] = []
    plain = Decoder.read

    def counted(self: Decoder, prompt: Prompt, some: Sequence[int]) -> Any:
        read.append(len(some))
        return plain(self, prompt, some)

    monkeypatch.setattr(Decoder, "read", counted)
    alone = [writer(even).write([prompt], max_new_tokens=9, seed=5) for prompt in asked]
    assert sum(read) == sum(map(len, ids))
    read.clear()
    together = writer(even).write(asked, max_new_tokens=9, seed=5)
    assert together[0] == alone[0][0]
    assert sum(read) == sum(map(len, ids)) - 2 * (shared // PART * PART)
    for place in (1, 2):
        assert [together[place]] == writer(even).write([asked[place]], max_new_tokens=9,
                                                       seed=5 + place)  # fmt: skip


def test_a_prompt_without_room_for_an_answer_is_cut_at_its_start(even: Path) -> None:
    window = models.window(even)
    long = HEAD.format("liberty " * window)
    tokenizer = models.tokenizer_of(even)
    tail = tokenizer.decode(models.encode(tokenizer, long)[-(window - 5) :])
    texts = [writer(even).write([each], max_new_tokens=5, temperature=0) for each in (long, tail)]
    assert texts[0] == texts[1]


def test_a_model_of_another_family_is_written_with_by_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model.build(tmp_path / "llama")))
    GPT2LMHeadModel(
        GPT2Config(vocab_size=512, n_positions=256, n_embd=32, n_layer=1, n_head=2,
                   bos_token_id=1, eos_token_id=2)
    ).save_pretrained(tmp_path / "gpt2")  # fmt: skip
    tokenizer.save_pretrained(tmp_path / "gpt2")
    model, tokenizer = models.load(tmp_path / "gpt2")
    expected = models.generate(model, tokenizer, PROMPTS[:2], max_new_tokens=6, seed=2)
    texts = writer(tmp_path / "gpt2").write(PROMPTS[:2], max_new_tokens=6, seed=2)
    assert texts == expected
