from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets.features import chunk, index
from llmtwin_assets.records import Document
from llmtwin_assets.retrieval.questions import Question, questions, ranks, score
from llmtwin_assets.retrieval.search import retrieve
from resources.embedder import Embedder
from resources.vectors import EdgeVectors

TEXTS = {
    "Bees": "Honey bees dance to tell their sisters where the flowers are.",
    "Bridges": "A suspension bridge hangs its deck from steel cables over two towers.",
    "Bread": "Sourdough rises slowly because wild yeast works at its own pace.",
    "Taxes": "A tax on imports is paid by those who buy the goods at home.",
}


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("all-minilm-l6-v2")


def document(title: str, split: str = "train") -> Document:
    return Document(
        id=f"doc-{title}", kind="article", url=f"u/{title}", title=title,
        published=date(2024, 1, 1), text=TEXTS[title], search=TEXTS[title], raw_hash=title,
        split="held-out" if split == "held-out" else "train",
    )  # fmt: skip


def indexed(store: EdgeVectors, author: str, documents: list[Document], embedder: Embedder):
    chunks = chunk.refresh(author, documents, embedder.max_tokens, embedder.count_tokens)
    made = index.embed_new(chunks, {}, embedder, lambda text: None)
    store.build(author, "v1", 384, index.points(chunks, made))
    return chunks


def test_a_question_finds_the_passage_that_answers_it(tmp_path: Path, embedder: Embedder) -> None:
    store = EdgeVectors(tmp_path)
    documents = [document("Bees"), document("Bridges"), document("Bread"), document("Taxes")]
    indexed(store, "ada", documents, embedder)
    for question, title in {
        "How do insects tell each other about food?": "Bees",
        "who pays duties on foreign goods": "Taxes",
        "what holds up the road between two towers?": "Bridges",
    }.items():
        first, *_ = retrieve("ada", question, 3, store, embedder)
        assert (first.number, first.title, first.url) == (1, title, f"u/{title}")
        assert TEXTS[title][first.start : first.end] == first.text


def test_held_out_documents_can_be_left_out(tmp_path: Path, embedder: Embedder) -> None:
    store = EdgeVectors(tmp_path)
    indexed(store, "ada", [document("Bees"), document("Bread", "held-out")], embedder)
    titles = {p.title for p in retrieve("ada", "sourdough yeast", 5, store, embedder, "train")}
    assert titles == {"Bees"}


def test_known_vectors_are_not_made_again(embedder: Embedder) -> None:
    chunks = chunk.refresh("ada", [document("Bees"), document("Bread")], 254,
                           embedder.count_tokens)  # fmt: skip
    told: list[str] = []
    made = index.embed_new(chunks[:1], {}, embedder, told.append)
    again = index.embed_new(chunks, made, embedder, told.append)
    assert told == ["1 of 1 chunks embedded", "1 of 1 chunks embedded"]
    assert again[chunks[0].text_hash] is made[chunks[0].text_hash]


def test_questions_come_from_train_documents_only(embedder: Embedder) -> None:
    documents = [document("Bees"), document("Bread", "held-out")]
    chunks = chunk.refresh("ada", documents, 254, embedder.count_tokens)
    asked = questions(documents, chunks)
    assert {q.kind for q in asked} == {"title", "passage"}
    assert all("Bread" not in q.text and "yeast" not in q.text for q in asked)


def test_ranks_and_scores_are_what_they_say() -> None:
    asked = [
        Question("a", "title", "d1"),
        Question("b", "passage", "c2"),
        Question("c", "title", "x"),
    ]
    hits = [("d0", "c0"), ("d1", "c1"), ("d2", "c2")]
    found = ranks(asked, lambda question: hits)
    assert found == [2, 3, None]
    scores = score(found)
    assert scores.recall_at_1 == 0
    assert scores.recall_at_5 == pytest.approx(2 / 3)
    assert scores.mrr_at_10 == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert score([]).questions == 0
