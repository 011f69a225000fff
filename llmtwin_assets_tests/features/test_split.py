import random
from itertools import pairwise

import pytest

from llmtwin_assets.features.clean import search_form
from llmtwin_assets.features.split import WordTokens, chunk_spans, coverage, sentences
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


def test_a_chunk_knows_the_headings_it_stands_under(embedder: Embedder) -> None:
    rng = random.Random(4)
    text = (
        f"# Ships\n\n{paragraph(rng)}\n\n## Sails ##\n\n{paragraph(rng)}\n\n{paragraph(rng)}\n\n"
        f"# Ports\n\n{paragraph(rng)}"
    )
    paths = [span.headings for span in spans_of(text, embedder)]
    assert paths[0] == ("Ships",)
    assert ("Ships", "Sails") in paths
    assert paths[-1] == ("Ports",)


def test_the_headings_of_a_wiki_begin_chunks(embedder: Embedder) -> None:
    text = "= Ships =\n\nOne sentence.\n\n== Sails ==\n\nAnother sentence."
    assert [s.headings for s in spans_of(text, embedder)] == [("Ships",), ("Ships", "Sails")]
    assert [s.headings for s in spans_of("a = b\n\nc == d", embedder)] == [()]


def test_headings_stay_with_what_follows_them(embedder: Embedder) -> None:
    rng = random.Random(2)
    text = f"# A\n\n## B\n\n{paragraph(rng, 12)}"
    spans = spans_of(text, embedder)
    assert len(text[spans[0].start : spans[0].end]) > 50
    assert text[spans[0].start :].startswith("# A\n\n## B")


def test_code_is_marked_and_its_comments_are_no_headings(embedder: Embedder) -> None:
    code = "```python\n# not a heading\n\nx = 1\n\n# nor this\ny = 2\n```"
    before, after = "Some words first. " * 9, "Some words after. " * 9
    spans = spans_of(f"{before}\n\n{code}\n\n{after}", embedder, 50)
    assert [span.code for span in spans] == [False, True, False]
    assert all(span.headings == () for span in spans)


def test_long_code_is_cut_between_its_own_blocks(embedder: Embedder) -> None:
    functions = [f"def f{n}(a, b):\n    c = a + b\n\n    return c * {n}" for n in range(12)]
    text = "```python\n" + "\n\n".join(functions) + "\n```"
    spans = spans_of(text, embedder)
    assert len(spans) > 2
    assert all(text[s.start :].startswith("def") for s in spans[1:])


def test_a_block_over_the_limit_is_cut_between_its_lines(embedder: Embedder) -> None:
    text = "\n".join(f"- item {n} of a list that goes on. It has two sentences." for n in range(20))
    for span in spans_of(text, embedder):
        assert text[span.start : span.end].startswith("- item")


@pytest.mark.parametrize("text", list(awkward_texts()))
def test_tokens_counted_by_word_are_the_tokens_of_the_text(text: str, embedder: Embedder) -> None:
    by_word = WordTokens(embedder.count_tokens)
    plain = search_form(text)
    assert by_word([plain]) == by_word([plain]) == embedder.count_tokens([plain])
