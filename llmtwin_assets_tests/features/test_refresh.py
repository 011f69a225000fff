"""One edited document costs one document's work, at every stage of the features."""

from collections.abc import Sequence

import polars as pl

from llmtwin_assets.features import chunk, compared, documents, index
from llmtwin_assets.features.left_out import left_out_page
from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.records import Document, from_frame
from llmtwin_assets_tests.writing import essay


def raw(number: int, text: str | None = None) -> dict:
    body = text or essay(number).split("---\n\n")[1]
    return {
        "id": f"doc-{number}", "kind": "article", "url": f"u/{number}", "title": f"T{number}",
        "published": "2024-01-02", "text": body, "hash": f"h-{hash(body)}",
    }  # fmt: skip


def counted(calls: list[int]):
    def count(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return [len(text.split()) for text in texts]

    return count


def refreshed(rows: list[dict], before: pl.DataFrame | None = None) -> documents.Refreshed:
    by_id = {row["id"]: row for row in rows}
    hashes = {row["id"]: row["hash"] for row in rows}
    return documents.refresh(hashes, lambda ids: [by_id[id_] for id_ in ids], before)


def cleaned(rows: list[dict]) -> pl.DataFrame:
    return refreshed(rows).documents


def edited(documents_: pl.DataFrame, id_: str, text: str) -> pl.DataFrame:
    new = pl.when(id=id_).then(pl.lit(text)).otherwise("text")
    return documents_.with_columns(text=new)


def split(documents_: pl.DataFrame, limit: int = 500) -> pl.DataFrame:
    return chunk.refresh("ada", documents_, limit, counted([]))


def with_twins(chunks: pl.DataFrame) -> pl.DataFrame:
    texts = chunks.select("id", "text", hash="text_hash")
    return chunk.with_twins(chunks, compared.compare(texts, chunk.NEARLY).found())


def test_unchanged_documents_are_taken_over() -> None:
    rows = [raw(n) for n in range(10)]
    first = cleaned(rows).with_columns(title=pl.lit("as it was"))
    rows[3] = raw(3, "Edited text.")
    second = refreshed(rows, first)
    assert second.cleaned == 1
    assert second.documents["title"].to_list() == ["as it was"] * 3 + ["T3"] + ["as it was"] * 6
    assert second.documents["text"][3] == "Edited text."
    assert second.documents["words"][3] == 2


def test_a_document_that_is_gone_leaves_no_row() -> None:
    rows = [raw(n) for n in range(10)]
    second = refreshed(rows[1:], cleaned(rows))
    assert second.cleaned == 0
    assert second.documents["id"].to_list() == [f"doc-{n}" for n in range(1, 10)]


def test_documents_get_their_own_split() -> None:
    splits = {"doc-1": "held-out", "doc-2": "train", "doc-3": "held-out"}
    rows = documents.with_splits(cleaned([raw(1), raw(2)]), splits)
    assert rows["split"].to_list() == ["held-out", "train"]
    assert documents.with_splits(rows, splits).equals(rows)


def test_only_an_edited_document_is_split_again() -> None:
    calls: list[int] = []
    first = cleaned([raw(n) for n in range(10)])
    chunks = chunk.refresh("ada", first, 40, counted(calls))
    second = edited(first, "doc-4", "Edited.")
    calls.clear()
    same = {f"doc-{n}" for n in range(10)} - {"doc-4"}
    again = chunk.refresh("ada", second, 40, counted(calls), same, chunks)
    assert len(calls) == 1
    others = pl.col("document_id") != "doc-4"
    assert again.filter(others).equals(chunks.filter(others))
    assert again.equals(chunk.refresh("ada", second, 40, counted(calls)))


def test_the_index_changes_by_the_edited_chunks_alone() -> None:
    first = cleaned([raw(n) for n in range(5)])
    before = split(first, 40)
    longer = first.filter(id="doc-2")["text"][0] + "\n\nOne more paragraph at the end."
    after = split(edited(first, "doc-2", longer), 40)
    change = index.difference(after, before)
    assert {c.document_id for c in change.upsert} <= {"doc-2"}
    assert 1 <= len(change.upsert) <= 2
    assert index.difference(after, after) == index.Difference([], [])
    assert len(index.difference(after, None).upsert) == after.height
    retitled = after.with_columns(title=pl.when(document_id="doc-1").then(None).otherwise("title"))
    assert {c.document_id for c in index.difference(retitled, after).upsert} == {"doc-1"}
    assert index.difference(retitled, retitled).upsert == []
    gone = index.difference(before.filter(pl.col("document_id") != "doc-2"), before)
    assert gone.upsert == []
    assert set(gone.delete) == set(before.filter(document_id="doc-2")["id"])


def test_a_chunk_of_nearly_the_same_text_is_left_out_for_its_twin() -> None:
    rows = [raw(n) for n in range(4)]
    rows[3] = raw(3, rows[1]["text"].replace(" the ", " their ", 1))
    chunks = with_twins(split(cleaned([*rows[:3], {**rows[3], "title": "<b>T3</b>"}])))
    assert chunks["twin"].to_list() == ["", "", "", chunks["id"][1]]
    page = left_out_page(chunks)
    assert "1 of 4 chunks" in page
    assert "&lt;b&gt;T3" in page
    alone = with_twins(chunks.filter(pl.col("document_id") != "doc-1"))
    assert alone["twin"].to_list() == [""] * 3


def test_a_train_chunk_is_never_left_out_for_a_held_out_one() -> None:
    rows = [raw(1), {**raw(1), "id": "doc-2"}]
    splits = {"doc-1": "held-out", "doc-2": "train"}
    chunks = with_twins(split(documents.with_splits(cleaned(rows), splits)))
    assert chunks.select("document_id", pl.col("twin") != "").rows() == [
        ("doc-1", True), ("doc-2", False),
    ]  # fmt: skip


def test_chunk_ids_of_two_authors_differ_for_the_same_text() -> None:
    documents_ = from_frame(Document, cleaned([raw(1)]))
    ids = [
        {c.id for c in chunk.chunks_of(author, documents_, 40, counted([]))}
        for author in ("ada", "bob")
    ]
    assert ids[0].isdisjoint(ids[1])


def test_key_phrases_are_content_words_of_the_passage() -> None:
    text = (
        "The northern harbour was frozen. The northern harbour master waited for the supply ship."
    )
    phrases = key_phrases(text, 2)
    assert phrases[0] in ("northern harbour", "northern harbour master")
    assert all(phrase in text.lower() for phrase in phrases)
    assert key_phrases("of the and", 3) == []
    assert len(key_phrases("copper lantern harbour meadow kettle bridge anchor violin", 3)) == 3
