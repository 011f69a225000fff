import random
from zlib import crc32

import numpy as np
import pytest

from llmtwin_assets.evaluation import knowledge
from llmtwin_assets.features.words import words
from llmtwin_assets_tests.writing import paragraph


def embed(texts):
    """Words as directions: a bag of words hashed into 512 dimensions, of length 1."""
    vectors = np.zeros((len(texts), 512), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in words(text):
            vectors[row, crc32(word.encode()) % 512] += 1
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def passages() -> list[list[str]]:
    return [[paragraph(random.Random(n)), paragraph(random.Random(100 + n))] for n in range(12)]


@pytest.fixture(scope="module")
def foreign() -> list[str]:
    nouns = "tribunal senate faction treaty militia revenue charter magistrate".split()
    draw = random.Random(7)

    def sentence() -> str:
        return f"A {draw.choice(nouns)} restrains every {draw.choice(nouns)} of the state."

    return [" ".join(sentence() for _ in range(5)) for _ in range(12)]


def test_answers_made_of_their_passages_are_supported_and_others_are_not(
    passages: list[list[str]], foreign: list[str]
) -> None:
    faithful = knowledge.support([p[0] for p in passages], passages, foreign, embed)
    invented = knowledge.support(foreign, passages, foreign, embed)
    assert faithful is not None
    assert invented is not None
    assert faithful["sound"]
    assert faithful["supported"]["value"] > 0.9
    assert invented["supported"]["value"] < 0.1
    assert faithful["supported"]["low"] <= faithful["supported"]["value"]


def test_half_of_an_answer_counts_half(passages: list[list[str]], foreign: list[str]) -> None:
    answers = [f"{own[0]} {other}" for own, other in zip(passages, foreign, strict=True)]
    found = knowledge.support(answers, passages, foreign, embed)
    assert found is not None
    assert 0.35 < found["supported"]["value"] < 0.75


def test_where_there_is_nothing_to_measure_nothing_is_said(
    passages: list[list[str]], foreign: list[str]
) -> None:
    assert knowledge.support([""] * 12, passages, foreign, embed) is None
    assert (
        knowledge.support(["Well said, one and all, I say."] * 12, [[]] * 12, foreign, embed)
        is None
    )
    assert knowledge.support([p[0] for p in passages], passages, [], embed) is None


def test_an_author_whose_every_document_was_asked_about_can_be_measured(
    passages: list[list[str]], foreign: list[str]
) -> None:
    # Two documents, and passages from both: each is foreign to the other's questions.
    written = [" ".join(text for near in passages for text in near), "\n\n".join(foreign)]
    both = [*passages, *([text] for text in foreign)]
    faithful = knowledge.support([near[0] for near in both], both, written, embed)
    swapped = [near[0] for near in reversed(both)]
    invented = knowledge.support(swapped, both, written, embed)
    assert faithful is not None
    assert invented is not None
    assert faithful["sound"]
    assert faithful["supported"]["value"] > 0.9
    assert invented["supported"]["value"] < 0.2


def test_what_is_planted_as_unsupported_is_from_none_of_its_passages(
    passages: list[list[str]], foreign: list[str]
) -> None:
    written = [*(near[0] for near in passages), *foreign]
    for sentence, near, label in knowledge.planted(passages, written, seed=1):
        if not label:
            assert not any(sentence in text for text in near)
