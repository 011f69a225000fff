"""The steps of retrieval one by one."""

from pathlib import Path

import polars as pl
import pytest

from llmtwin_assets.records import Passage
from llmtwin_assets.retrieval.expansion import variants
from llmtwin_assets.retrieval.fusion import Found, fuse, with_documents, with_neighbours
from llmtwin_assets.retrieval.parents import current_texts, expand, parent_span
from resources.artifacts import ArtifactStore
from resources.vectors import Hit

TEXT = """# Bees

They dance.

They sing at night.

## Honey

It keeps for years.

It is never white."""


def hit(id_: str, score: float, document: str = "d", position: int = 0, of: int = 10) -> Hit:
    return Hit(id_, score, {"document_id": document, "position": position, "passages": of})


def test_scores_of_each_search_count_by_its_own_scale() -> None:
    near = Found([hit("a", 0.9), hit("b", 0.8), hit("c", 0.1)], 0.5)
    words = Found([hit("c", 30.0), hit("b", 27.0)], 0.5, zero=0.0)
    fused = fuse([near, words])
    assert [found.id for found in fused] == ["b", "a", "c"]
    assert fused[0].score == pytest.approx(0.5 * 0.875 + 0.5 * 0.9)


def test_a_search_that_finds_nothing_changes_nothing() -> None:
    alone = Found([hit("a", 2.0), hit("b", 1.0)], 0.5)
    assert fuse([alone, Found([], 0.5, 0.0)]) == fuse([alone])
    assert fuse([]) == []


def test_equal_scores_are_ordered_by_id() -> None:
    assert [found.id for found in fuse([Found([hit("b", 1), hit("a", 1)], 1.0)])] == ["a", "b"]


def test_a_passage_among_good_ones_rises_and_others_documents_lend_nothing() -> None:
    hits = [hit("x", 0.9, "other", 5), hit("m", 0.8, "d", 5), hit("l", 0.6, "d", 4),
            hit("r", 0.6, "d", 6), hit("f", 0.5, "d", 7)]  # fmt: skip
    ranked = with_neighbours(hits)
    assert [found.id for found in ranked][:2] == ["m", "r"]
    assert ranked[0].score == pytest.approx(0.8 + 0.3 * (0.6 + 0.6 + 0.5 / 2))
    assert next(found.score for found in ranked if found.id == "x") == 0.9


def test_a_document_that_is_short_is_not_worse_than_a_long_one() -> None:
    post, middle = hit("post", 0.8, "post", 0, of=1), hit("m", 0.8, "d", 5)
    beside = [hit("l", 0.4, "d", 4), hit("r", 0.4, "d", 6), hit("f", 0.4, "d", 7),
              hit("e", 0.4, "d", 3)]  # fmt: skip
    ranked = {found.id: found.score for found in with_neighbours([post, middle, *beside])}
    assert ranked["post"] == pytest.approx(ranked["m"])


def test_a_passage_of_a_document_with_other_good_ones_rises() -> None:
    hits = [hit("x", 0.9, "other"), hit("a", 0.8), hit("b", 0.8), hit("c", 0.8), hit("e", 0.1)]
    ranked = with_documents(hits)
    assert [found.id for found in ranked] == ["a", "b", "c", "x", "e"]
    assert ranked[0].score == pytest.approx(0.8 + 0.5 * 0.8)
    assert ranked[3].score == pytest.approx(0.9 + 0.5 * 0.3)


def test_without_a_model_a_question_is_asked_once_more_without_its_frame() -> None:
    assert variants("What have you written on the dances of bees?", 3) == ["written dances bees"]
    assert variants("bees", 0) == []
    assert variants("dances bees", 3) == []


def passage(text: str, number: int = 1, document: str = "d") -> Passage:
    start = TEXT.index(text)
    return Passage(number, text, document, "t", "u", text, start, start + len(text), 1.0)


def test_a_passage_grows_to_the_paragraphs_of_its_section() -> None:
    (grown,) = expand("ada", [passage("It keeps for years.")], lambda *_: TEXT, 3)
    assert grown.text == "## Honey\n\nIt keeps for years.\n\nIt is never white."
    assert TEXT[grown.start : grown.end] == grown.text
    assert grown.found is not None
    assert TEXT[slice(*grown.found)] == "It keeps for years."
    (first,) = expand("ada", [passage("sing at")], lambda *_: TEXT, 3)
    assert first.text == "# Bees\n\nThey dance.\n\nThey sing at night."


def test_a_parent_keeps_within_its_room() -> None:
    start = TEXT.index("They sing")
    assert parent_span(TEXT, start, start + 19, 40)[1] == start + 19
    for room in range(10, len(TEXT)):
        begin, end = parent_span(TEXT, start, start + 9, room)
        assert begin <= start
        assert start + 9 <= end
        assert end - begin <= max(room, 9)


def test_of_a_paragraph_that_is_too_long_a_parent_has_whole_sentences() -> None:
    text = "They dance. They sing. They sleep. They eat. They go."
    start = text.index("sing")
    assert text[slice(*parent_span(text, start, start + 4, 30))] == "They sing. They sleep."
    assert (
        text[slice(*parent_span(text, start, start + 4, 40))] == "They sing. They sleep. They eat."
    )
    assert text[slice(*parent_span(text, start, start + 4, 8))] == "sing"


def test_passages_of_one_parent_become_one_and_numbers_stay_in_order() -> None:
    rows = [passage("It keeps"), passage("never white", 2), passage("They dance.", 3)]
    grown = expand("ada", rows, lambda *_: TEXT, 3)
    assert [(p.number, p.chunk_id) for p in grown] == [(1, "It keeps"), (2, "They dance.")]
    assert expand("ada", rows, lambda *_: TEXT, 1) == grown[:1]


def test_a_document_that_changed_since_leaves_its_passage_alone() -> None:
    row = passage("They dance.")
    assert expand("ada", [row], lambda *_: "Another text.", 3) == [row]
    assert expand("ada", [row], lambda *_: None, 3) == [row]


def test_damaged_documents_leave_passages_as_they_were_found(tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path)
    rows = pl.DataFrame({"id": ["d"], "text": [TEXT]})

    def build(folder: Path) -> dict[str, str]:
        rows.write_parquet(folder / "documents.parquet")
        return {}

    file = artifacts.publish("ada", "cleaned_documents", "d1", build).file("documents.parquet")
    texts, row = current_texts(artifacts), passage("They dance.")
    assert texts("ada", "d") == TEXT
    assert expand("ada", [row], texts, 3) != [row]
    file.chmod(0o600)
    file.write_bytes(b"no table")
    assert expand("ada", [row], texts, 3) == [row]
    file.unlink()
    assert expand("ada", [row], texts, 3) == [row]
    assert texts("eve", "d") is None
