import json
from pathlib import Path

import pytest

from llmtwin_assets.evaluation.impostors import MOST, impostors
from llmtwin_assets.features.assets import DOCUMENTS
from llmtwin_assets.records import Document, to_frame
from resources.artifacts import ArtifactStore, open_artifacts


def document(number: int, text: str, kind: str = "article") -> Document:
    return Document(
        id=f"d{number}", kind=kind, url="", title="", published=None, text=text, search=text,
        raw_hash="", split="train", language="en",
    )  # fmt: skip


def store(
    artifacts: ArtifactStore,
    author: str,
    rows: list[Document],
    languages: dict[str, float] | None = None,
) -> None:
    """An author's cleaned documents, as their asset stores them."""

    def build(folder: Path) -> dict:
        to_frame(Document, rows).write_parquet(folder / DOCUMENTS)
        words = sum(len(row.text.split()) for row in rows)
        return {"words": words, "languages": {"en": 1.0} if languages is None else languages}

    artifacts.publish(author, "cleaned_documents", f"digest-of-{author}", build)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    found = open_artifacts(f"file://{tmp_path / 'artifacts'}")
    store(found, "ada", [document(1, "It is my own text. " * 200)])
    store(
        found, "bob", [document(2, "The words of bob. " * 200), document(3, "x = 1", "repository")]
    )
    store(found, "carl", [document(4, "The words of carl. " * 200)])
    return found


def test_other_authors_are_impostors_without_a_name_and_recorded_by_digest(
    artifacts: ArtifactStore,
) -> None:
    found = impostors(artifacts, "ada")
    assert list(found.texts) == ["another author 1", "another author 2"]
    assert [texts[0].split()[3] for texts in found.texts.values()] == ["bob.", "carl."]
    assert found.digests == ("digest-of-bob", "digest-of-carl")
    assert "x = 1" not in json.dumps(found.texts)


def test_authors_of_another_language_and_of_a_few_words_are_none(artifacts: ArtifactStore) -> None:
    store(artifacts, "dora", [document(5, "Es ist so. " * 400)], {"de": 1.0})
    store(artifacts, "emil", [document(6, "Only a note.")])
    assert len(impostors(artifacts, "ada").texts) == 2
    assert impostors(artifacts, "dora").texts == {}


def test_an_author_alone_has_no_impostors(tmp_path: Path) -> None:
    alone = open_artifacts(f"file://{tmp_path / 'alone'}")
    assert impostors(alone, "ada").texts == {}


def test_a_damaged_author_loses_nobody_else(artifacts: ArtifactStore) -> None:
    version = artifacts.current("bob", "cleaned_documents")
    assert version is not None
    version.file(DOCUMENTS).unlink()
    assert impostors(artifacts, "ada").digests == ("digest-of-carl",)


def test_of_many_authors_and_long_texts_only_some_is_read(artifacts: ArtifactStore) -> None:
    for number in range(10):
        store(artifacts, f"other-{number}", [document(number, f"Text {number} is long. " * 9_000)])
    found = impostors(artifacts, "ada")
    assert len(found.texts) == len(found.digests) == MOST
    assert max(sum(map(len, texts)) for texts in found.texts.values()) <= 100_000
