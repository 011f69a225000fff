from datetime import date

import pytest

from llmtwin_assets.records import Chunk, Document, Passage
from llmtwin_assets.retrieval import report
from llmtwin_assets.retrieval.questions import Question, own_words, questions
from llmtwin_assets.retrieval.scores import mean, percentiles, ranks, score
from llmtwin_assets.retrieval.search import Steps

BEES = "Honey bees dance to tell their sisters where the flowers are blooming."
BREAD = "Sourdough rises slowly because wild yeast works at its own pace."


def rows(title: str, text: str, split: str) -> tuple[Document, Chunk]:
    document = Document(f"doc-{title}", "article", "u", title, date(2024, 1, 1), text, text, "h",
                        "train" if split == "train" else "held-out")  # fmt: skip
    chunk = Chunk(f"chunk-{title}", document.id, 0, 0, len(text), 12, text, title, "article",
                  title, "u", document.split)  # fmt: skip
    return document, chunk


def corpus() -> tuple[list[Document], list[Chunk]]:
    pairs = [rows("Bees", BEES, "train"), rows("Bread", BREAD, "held-out")]
    return [document for document, _ in pairs], [chunk for _, chunk in pairs]


def test_questions_come_from_train_documents_only() -> None:
    asked = questions(*corpus())
    assert {q.kind for q in asked} == {"title", "passage"}
    assert all("Bread" not in q.text and "yeast" not in q.text for q in asked)


def test_a_chat_model_adds_questions_in_words_of_their_own() -> None:
    replies = iter(['{"question": "How do insects point out nectar to each other?"}'])
    asked = questions(*corpus(), lambda prompt: next(replies))
    assert asked[-1] == Question(
        "How do insects point out nectar to each other?", "paraphrased", "chunk-Bees"
    )
    for reply in ('{"question": "Why do honey bees dance?"}', "none", '{"question": 3}'):
        kinds = {q.kind for q in questions(*corpus(), lambda prompt, reply=reply: reply)}
        assert kinds == {"title", "passage"}


def test_a_question_may_share_a_name_but_not_the_wording() -> None:
    assert own_words("How does a starter make dough lift, and what about yeast?", BREAD)
    assert not own_words("Why does sourdough rise so slowly?", BREAD)


def test_ranks_and_scores_are_what_they_say() -> None:
    asked = [Question("a", "title", "d1"), Question("b", "passage", "c2"),
             Question("c", "title", "x")]  # fmt: skip
    found = ranks(asked, lambda question: [("d0", "c0"), ("d1", "c1"), ("d2", "c2")])
    assert found == [2, 3, None]
    scores = score(found)
    assert scores["recall_at_1"].value == 0
    assert scores["recall_at_5"].value == pytest.approx(2 / 3)
    assert scores["mrr_at_10"].value == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert scores["ndcg_at_10"].value == pytest.approx((0.63093 + 0.5) / 3, abs=1e-4)
    assert score([])["recall_at_10"].value == 0


def test_an_interval_holds_its_mean_and_narrows_with_more_questions() -> None:
    few, many = mean([0.0, 1.0] * 8), mean([0.0, 1.0] * 200)
    for found in (few, many):
        assert found.low < found.value == 0.5 < found.high
    assert many.high - many.low < (few.high - few.low) / 3
    # A share of one half in 400 answers has a standard error of 0.025.
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.025, rel=0.1)
    assert mean([0.0, 1.0, 1.0]) == mean([0.0, 1.0, 1.0])
    assert percentiles([0.001 * n for n in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def passage(title: str) -> Passage:
    return Passage(
        1, f"chunk-{title}", f"doc-{title}", title, "u", f"About <b>{title}</b>.", 0, 9, 1
    )


def test_the_page_shows_the_worst_questions_beside_what_was_found_and_the_figures_no_text() -> None:
    documents, chunks = corpus()
    asked = questions(documents, chunks)
    assert len(asked) == 2

    def find(question: str, steps: Steps) -> list[Passage]:
        return [passage("Bees")] if "written" in question else [passage("Bread")]

    assert "without the chat model" in report.ways(Steps(chat=lambda prompt: ""))
    done: list[int] = []
    ways = report.ways(Steps(variants=2))
    assert list(ways) == [
        "by meaning", "by words", "fused", "and neighbours", "and documents", "as served"
    ]  # fmt: skip
    found = {way: report.ask(asked, find, steps, done.append) for way, steps in ways.items()}
    assert done == [1, 2] * 6
    served, figures = found["as served"], report.figures(found)
    assert figures["scores"]["title"]["recall_at_10"] == 1
    assert figures["scores"]["passage"]["recall_at_10"] == 0
    assert [row.question.kind for row in report.worst(served)] == ["passage"]
    page = report.html(figures, served, chunks, "What search finds")
    assert BEES in page
    assert "About &lt;b&gt;Bread&lt;/b&gt;." in page
    assert "<b>" not in page
    assert "not among the first 10" in page
    assert "bees" not in str(figures).lower()
    assert report.headline(figures)["title recall at 10"] == 1
    assert {*report.plots(figures, served)} == {"what_each_step_adds", "milliseconds"}
