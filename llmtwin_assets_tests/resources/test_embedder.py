import random

import numpy as np
import pytest

from llmtwin_assets_tests.writing import paragraph
from resources.embedder import BATCH, Embedder, batches


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("all-minilm-l6-v2")


def test_every_text_is_in_one_batch_and_batches_are_small() -> None:
    rng = random.Random(1)
    tokens = [rng.randrange(0, 2_000) for _ in range(200)]
    found = list(batches(tokens, 254))
    assert sorted(position for batch in found for position in batch) == list(range(200))
    for batch in found:
        longest = max(min(tokens[position], 254) + 2 for position in batch)
        assert len(batch) * longest <= BATCH
    assert list(batches([], 254)) == []


def test_a_text_longer_than_a_batch_is_a_batch_of_its_own() -> None:
    assert list(batches([5_000, 6_000], 8_000)) == [[0], [1]]


def test_vectors_are_of_unit_length_and_in_order(embedder: Embedder) -> None:
    rng = random.Random(2)
    texts = [paragraph(rng, sentences) for sentences in (3, 1, 12, 2, 1, 5, 1)]
    together = embedder.embed(texts)
    assert together.shape == (7, 384)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert (together * alone).sum(axis=1).min() > 0.999


def test_vectors_are_those_of_the_model_in_full_precision(embedder: Embedder) -> None:
    from sentence_transformers import SentenceTransformer

    rng = random.Random(3)
    texts = [paragraph(rng, sentences) for sentences in (1, 4, 9)]
    exact = SentenceTransformer(str(embedder.path)).encode(texts, normalize_embeddings=True)
    assert (embedder.embed(texts) * exact).sum(axis=1).min() > 0.999


def test_progress_tells_how_many_texts_are_done(embedder: Embedder) -> None:
    told: list[int] = []
    embedder.embed(["one text", "another one"], told.append)
    assert told == [2]
    assert embedder.embed([]).shape == (0, 0)
