import random
from itertools import pairwise

import pytest

from llmtwin_assets.features.clean import search_form
from llmtwin_assets.features.split import chunk_spans, coverage, sentences
from llmtwin_assets_tests.writing import paragraph
from resources.embedder import Embedder

LIMIT = 60


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("all-minilm-l6-v2")


def spans_of(text: str, embedder: Embedder, limit: int = LIMIT):
    return chunk_spans(text, limit, embedder.count_tokens)


def awkward_texts():
    rng = random.Random(5)
    yield "word " * 700
    yield "x" * 3_000
    yield "𝗕𝗼𝗹𝗱 𝗹𝗲𝘁𝘁𝗲𝗿𝘀 " * 200
    yield "Короткий текст. " * 90
    yield "漢字" * 400
    yield "\n\n".join(f"# Head {n}\n\n{paragraph(rng)}" for n in range(6))
    yield "    indented_code(a, b)\n" * 80
    yield "One. Two! Three?\n\n\n\n- a\n- b\n\nlast"
    yield "()[]{}<>!?…—" * 120


@pytest.mark.parametrize("text", list(awkward_texts()))
def test_chunks_fit_the_embedder_and_cover_everything(text: str, embedder: Embedder) -> None:
    spans = spans_of(text, embedder)
    texts = [search_form(text[span.start : span.end]) for span in spans]
    assert max(embedder.count_tokens(texts)) <= LIMIT
    assert coverage(text, spans) == 1.0
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_small_paragraphs_share_a_chunk_and_a_heading_begins_one(embedder: Embedder) -> None:
    text = "First short one.\n\nSecond short one.\n\n## Head\n\nThird short one."
    spans = spans_of(text, embedder)
    assert [text[s.start : s.end] for s in spans] == [
        "First short one.\n\nSecond short one.",
        "## Head\n\nThird short one.",
    ]


def test_long_paragraphs_are_cut_between_sentences(embedder: Embedder) -> None:
    text = paragraph(random.Random(1), sentences=12)
    for span in spans_of(text, embedder)[:-1]:
        assert text[span.start : span.end].endswith(".")


def test_no_text_gives_no_chunks(embedder: Embedder) -> None:
    assert spans_of(" \n\n ", embedder) == []
    assert coverage("", []) == 1.0
    assert coverage("abcd", []) == 0.0


def test_sentences_end_at_marks_and_keep_their_quotes() -> None:
    text = 'He said "go." Then he went! Did he? "Yes," she said.'
    first = next(text[a:b] for a, b in sentences(text))
    assert first.startswith("He said")
    assert "".join(text[a:b] for a, b in sentences(text)).replace(" ", "") == text.replace(" ", "")
