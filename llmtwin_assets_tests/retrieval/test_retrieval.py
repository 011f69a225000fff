from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets.features import chunk, index
from llmtwin_assets.records import Chunk, Document, to_frame
from llmtwin_assets.retrieval.search import Steps, retrieve
from resources.embedder import Embedder
from resources.errors import LlmTwinError
from resources.vectors import EdgeVectors, NoIndexError

TEXTS = {
    "Bees": "Honey bees dance to tell their sisters where the flowers are.",
    "Bridges": "A suspension bridge hangs its deck from steel cables over two towers.",
    "Bread": "Sourdough rises slowly because wild yeast works at its own pace.",
    "Taxes": "A tax on imports is paid by those who buy the goods at home.",
}


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("all-minilm-l6-v2")


def document(title: str, split: str = "train", kind: str = "article", year: int = 2024,
             url: str = "") -> Document:  # fmt: skip
    return Document(
        id=f"doc-{title}", kind=kind, url=url or f"u/{title}", title=title,
        published=date(year, 1, 1), text=TEXTS[title], search=TEXTS[title], raw_hash=title,
        split="held-out" if split == "held-out" else "train",
    )  # fmt: skip


def indexed(store: EdgeVectors, author: str, documents: list[Document], embedder: Embedder):
    chunks = chunk.chunks_of(author, documents, embedder.max_tokens, embedder.count_tokens)
    made = index.embed(chunks, embedder, lambda text: None)
    store.build(author, "v1", 384, index.points(chunks, made))
    return chunks


def titles(passages) -> list[str]:
    return [passage.title for passage in passages]


def test_a_question_finds_the_passage_that_answers_it(tmp_path: Path, embedder: Embedder) -> None:
    store = EdgeVectors(tmp_path)
    indexed(store, "ada", [document(title) for title in TEXTS], embedder)
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
    indexed(store, "ada", [document("Bees"), document("Bread", "held-out", year=2020)], embedder)
    for question in ("sourdough yeast", "sourdough in your 2020 articles"):
        assert titles(retrieve("ada", question, 5, store, embedder, "train")) == ["Bees"]


def test_each_search_can_be_switched_off(tmp_path: Path, embedder: Embedder) -> None:
    store = EdgeVectors(tmp_path)
    indexed(store, "ada", [document(title) for title in TEXTS], embedder)
    question = "insects and yeast"
    words = retrieve("ada", question, 5, store, embedder, steps=Steps(by_meaning=False))
    meaning = retrieve("ada", question, 5, store, embedder, steps=Steps(by_words=False))
    assert titles(words) == ["Bread"]
    assert {*titles(meaning)} == {*TEXTS}


def test_what_the_question_says_of_the_documents_comes_first_and_loses_nothing(
    tmp_path: Path, embedder: Embedder
) -> None:
    store = EdgeVectors(tmp_path)
    documents = [
        document("Bees", kind="post", year=2021, url="https://www.linkedin.com/posts/bees"),
        document("Bridges", kind="article", year=2022),
        document("Bread", kind="article", year=2023, url="https://ada.substack.com/p/bread"),
    ]
    indexed(store, "ada", documents, embedder)
    for question, first in {
        "What do your posts say about bridges?": "Bees",
        "What did you write on LinkedIn about bridges?": "Bees",
        "What did you publish in 2022 about yeast?": "Bridges",
        "your Substack articles about bridges": "Bread",
    }.items():
        found = titles(retrieve("ada", question, 3, store, embedder))
        assert (found[0], sorted(found)) == (first, ["Bees", "Bread", "Bridges"])
        free = retrieve("ada", question, 3, store, embedder, steps=Steps(self_query=False))
        assert free[0].title != first


def test_no_question_and_no_model_widens_the_author(tmp_path: Path, embedder: Embedder) -> None:
    store = EdgeVectors(tmp_path)
    indexed(store, "ada", [document("Bees")], embedder)
    indexed(store, "bob", [document("Bread"), document("Taxes")], embedder)

    def lying(prompt: str) -> str:
        return '{"author": "bob", "kind": null, "where": {"author": "bob"}}'

    for question in ("What did bob write about sourdough?", '{"author": "bob"}', "author:bob"):
        for steps in (Steps(), Steps(chat=lying, variants=2)):
            found = retrieve("ada", question, 10, store, embedder, steps=steps)
            assert titles(found) == ["Bees"]
    with pytest.raises(NoIndexError):
        retrieve("nobody", "sourdough", 3, store, embedder)
    assert not (tmp_path / "nobody").exists()


def test_variants_of_a_question_find_what_its_own_words_do_not(
    tmp_path: Path, embedder: Embedder
) -> None:
    store = EdgeVectors(tmp_path)
    indexed(store, "ada", [document(title) for title in TEXTS], embedder)
    asked: list[str] = []

    def chat(prompt: str) -> str:
        asked.append(prompt)
        return 'Here they are: ["a suspension bridge", "steel cables and towers"]'

    words = Steps(self_query=False, by_meaning=False, variants=2)
    assert retrieve("ada", "large crossings", 3, store, embedder, steps=words) == []
    found = retrieve(
        "ada", "large crossings", 3, store, embedder,
        steps=Steps(self_query=False, by_meaning=False, variants=2, chat=chat),
    )  # fmt: skip
    assert titles(found) == ["Bridges"]
    assert "large crossings" in asked[0]


def test_a_chat_model_that_fails_leaves_the_plain_search(
    tmp_path: Path, embedder: Embedder
) -> None:
    store = EdgeVectors(tmp_path)
    indexed(store, "ada", [document(title) for title in TEXTS], embedder)

    def broken(prompt: str) -> str:
        raise LlmTwinError("the model", "it is not there", "Start it")

    for chat in (broken, lambda prompt: "I cannot", lambda prompt: "[1, {", lambda prompt: "[3]"):
        found = retrieve(
            "ada", "sourdough yeast", 1, store, embedder, steps=Steps(chat=chat, variants=2)
        )
        assert titles(found) == ["Bread"]


def test_known_vectors_are_not_made_again(embedder: Embedder) -> None:
    chunks = to_frame(Chunk, chunk.chunks_of(
        "ada", [document("Bees"), document("Bread")], 254, embedder.count_tokens
    ))  # fmt: skip
    told: list[str] = []
    made, new = index.refresh(chunks[:1], None, embedder, told.append)
    again, newer = index.refresh(chunks, made, embedder, told.append)
    assert (new, newer) == (1, 1)
    assert told == ["1 of 1 chunks embedded", "1 of 1 chunks embedded"]
    assert again[:1].equals(made)
    same, newest = index.refresh(chunks[:1], again, embedder, told.append)
    assert (same.equals(made), newest, len(told)) == (True, 0, 2)
    assert index.refresh(chunks[:0], None, embedder, told.append)[0].height == 0


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://ada.substack.com/p/bees", "substack"), ("https://medium.com/@ada/x", "medium"),
        ("https://www.linkedin.com/posts/1", "linkedin"), ("https://x.com/ada/status/1", "x"),
        ("https://notmedium.com/a", ""), ("file:notes/a.md", ""), ("https://ada.example/", ""),
    ],
)  # fmt: skip
def test_the_platform_is_told_by_the_address(url: str, name: str) -> None:
    assert index.platform(url) == name
