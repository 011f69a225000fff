"""One edited document costs one document's work, at every stage of the features."""

from collections.abc import Sequence
from dataclasses import replace

from llmtwin_assets.features import chunk, documents, index
from llmtwin_assets.features.left_out import left_out_page
from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.records import Document
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


def refreshed(rows: list[dict], before: Sequence[Document] = ()) -> documents.Refreshed:
    by_id = {row["id"]: row for row in rows}
    hashes = {row["id"]: row["hash"] for row in rows}
    return documents.refresh(hashes, lambda ids: [by_id[id_] for id_ in ids], before)


def cleaned(rows: list[dict], before: Sequence[Document] = ()) -> list[Document]:
    return refreshed(rows, before).documents


def test_unchanged_documents_are_taken_over() -> None:
    rows = [raw(n) for n in range(10)]
    first = cleaned(rows)
    rows[3] = raw(3, "Edited text.")
    second = refreshed(rows, first)
    assert second.cleaned == 1
    assert sum(a is b for a, b in zip(first, second.documents, strict=True)) == 9
    assert second.documents[3].text == "Edited text."


def test_a_document_that_is_gone_leaves_no_row() -> None:
    rows = [raw(n) for n in range(10)]
    second = refreshed(rows[1:], cleaned(rows))
    assert second.cleaned == 0
    assert [d.id for d in second.documents] == [f"doc-{n}" for n in range(1, 10)]


def test_documents_get_their_own_split() -> None:
    first, second = documents.with_splits(
        cleaned([raw(1), raw(2)]), {"doc-1": "held-out", "doc-2": "train"}
    )
    assert (first.split, second.split) == ("held-out", "train")
    assert documents.with_splits([first], {"doc-1": "held-out"}) == [first]


def test_only_an_edited_document_is_split_again() -> None:
    calls: list[int] = []
    first = cleaned([raw(n) for n in range(10)])
    chunks = chunk.refresh("ada", first, 40, counted(calls))
    second = [replace(d, text="Edited.") if d.id == "doc-4" else d for d in first]
    calls.clear()
    same = chunk.same_documents(second, first)
    again = chunk.refresh("ada", second, 40, counted(calls), same, chunks)
    assert len(calls) == 1
    assert len(same) == 9
    kept = [c for c in chunks if c.document_id != "doc-4"]
    assert [c for c in again if c.document_id != "doc-4"] == kept


def test_the_index_changes_by_the_edited_chunks_alone() -> None:
    calls: list[int] = []
    first = cleaned([raw(n) for n in range(5)])
    before = chunk.refresh("ada", first, 40, counted(calls))
    longer = replace(first[2], text=first[2].text + "\n\nOne more paragraph at the end.")
    after = chunk.refresh("ada", [longer if d.id == "doc-2" else d for d in first], 40,
                          counted(calls))  # fmt: skip
    change = index.difference(after, before)
    assert {c.document_id for c in change.upsert} <= {"doc-2"}
    assert 1 <= len(change.upsert) <= 2
    assert index.difference(after, after) == index.Difference([], [])
    gone = index.difference([c for c in before if c.document_id != "doc-2"], before)
    assert gone.upsert == []
    assert set(gone.delete) == {c.id for c in before if c.document_id == "doc-2"}


def test_a_chunk_of_nearly_the_same_text_is_left_out_for_its_twin() -> None:
    rows = [raw(n) for n in range(4)]
    rows[3] = raw(3, rows[1]["text"].replace(" the ", " their ", 1))
    chunks = chunk.with_twins(chunk.refresh("ada", cleaned(rows), 500, counted([])))
    assert [bool(c.twin) for c in chunks] == [False, False, False, True]
    assert chunks[3].twin == chunks[1].id
    page = left_out_page([*chunks[:3], replace(chunks[3], title="<b>T3</b>")])
    assert "1 of 4 chunks" in page
    assert "&lt;b&gt;T3" in page
    alone = chunk.with_twins([c for c in chunks if c.document_id != "doc-1"])
    assert not any(c.twin for c in alone)


def test_a_train_chunk_is_never_left_out_for_a_held_out_one() -> None:
    rows = [raw(1), {**raw(1), "id": "doc-2"}]
    documents_ = documents.with_splits(cleaned(rows), {"doc-1": "held-out", "doc-2": "train"})
    chunks = chunk.with_twins(chunk.refresh("ada", documents_, 500, counted([])))
    assert [(c.document_id, bool(c.twin)) for c in chunks] == [("doc-1", True), ("doc-2", False)]


def test_chunk_ids_of_two_authors_differ_for_the_same_text() -> None:
    (document,) = cleaned([raw(1)])
    ids = [
        {c.id for c in chunk.chunks_of(author, document, 40, counted([]))}
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
