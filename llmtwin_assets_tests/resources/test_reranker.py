"""A cross-encoder trained on the spot: two layers that learn that words in common are good."""

import random
from pathlib import Path

import pytest

from llmtwin_assets.retrieval.search import rerank
from resources.reranker import Reranker, RerankerMissingError
from resources.vectors import Hit

WORDS = "bee dance honey bridge cable tower bread yeast oven tax import duty".split()


def texts(seed: int, count: int) -> list[tuple[str, str, float]]:
    """Questions of a word, texts of three, and whether the word is among them."""
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        text = rng.sample(WORDS, 3)
        asked = rng.choice(text if n % 2 else [word for word in WORDS if word not in text])
        rows.append((asked, " ".join(text), float(n % 2)))
    return rows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("reranker")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]))
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    config = BertConfig(vocab_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                        num_attention_heads=2, num_labels=1, max_position_embeddings=32,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bert = BertForSequenceClassification(config)
        optimiser = torch.optim.AdamW(bert.parameters(), lr=3e-3)
        for step in range(300):
            asked, text, label = zip(*texts(step, 32), strict=True)
            batch = tokenizer(list(asked), list(text), return_tensors="pt", padding=True)
            logits = bert(**batch).logits[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(label))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_it_tells_texts_that_answer_from_those_that_do_not(model: Path) -> None:
    reranker = Reranker(str(model))
    rows = texts(10_000, 60)
    right = [(reranker.score(asked, [text])[0] > 0.5) == bool(label) for asked, text, label in rows]
    assert sum(right) >= 54
    assert reranker.score("bee", []) == []


def test_reranking_brings_the_answer_to_the_top_and_keeps_all(model: Path) -> None:
    hits = [Hit(str(n), 1 - n / 100, {"text": "tax import duty"}) for n in range(40)]
    hits[20] = Hit("20", 0.8, {"text": "honey bee dance"})
    ordered = rerank("bee", hits, Reranker(str(model)))
    assert ordered[0].id == "20"
    assert sorted(hit.id for hit in ordered) == sorted(hit.id for hit in hits)
    assert [hit.id for hit in ordered[30:]] == [str(n) for n in range(30, 40)]
    assert all(0 <= hit.score <= 1 for hit in ordered)


def test_a_model_that_is_not_there_or_not_safetensors_is_refused(
    model: Path, tmp_path: Path
) -> None:
    with pytest.raises(RerankerMissingError, match="LLMTWIN_RERANKER"):
        Reranker("/nowhere/at/all").score("a", ["b"])
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(RerankerMissingError, match="no safetensors"):
        Reranker(str(tmp_path)).score("a", ["b"])
    with pytest.raises(RerankerMissingError, match="cannot be fetched"):
        Reranker("nobody/nothing").score("a", ["b"])
