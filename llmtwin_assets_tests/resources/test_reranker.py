"""A cross-encoder trained on the spot: two layers that learn which words go with which text."""

from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.retrieval.search import rerank
from resources.reranker import Reranker, RerankerMissingError
from resources.vectors import Hit

TEXTS = ["honey bee dance", "bridge cable tower", "bread yeast oven", "tax import duty"]
WORDS = " ".join(TEXTS).split()
PAIRS = [(word, text, float(word in text)) for word in WORDS for text in TEXTS]


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    words = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=32,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("reranker")
    config = BertConfig(vocab_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                        num_attention_heads=2, num_labels=1, max_position_embeddings=32,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                        initializer_range=0.2)  # fmt: skip
    asked, text, label = zip(*PAIRS, strict=True)
    batch = tokenizer()(list(asked), list(text), return_tensors="pt", padding=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bert = BertForSequenceClassification(config)
        optimiser = torch.optim.AdamW(bert.parameters(), lr=3e-3)
        for _ in range(200):
            logits = bert(**batch).logits[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(label))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if loss < 0.02:
                break
    bert.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def test_it_tells_texts_that_answer_from_those_that_do_not(model: Path) -> None:
    reranker = Reranker(str(model))
    for word in WORDS:
        scores = reranker.score(word, TEXTS)
        assert [score > 0.5 for score in scores] == [word in text for text in TEXTS]
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
