"""From a question to numbered passages of one author: search by meaning and by words, fused.

The author is the first argument and has no default; nothing in the question can change it.
"""

from llmtwin_assets.features.clean import search_form
from llmtwin_assets.records import Passage
from resources.embedder import Embedder
from resources.vectors import VectorStore


def retrieve(
    author: str,
    question: str,
    limit: int,
    vectors: VectorStore,
    embedder: Embedder,
    split: str | None = None,
) -> list[Passage]:
    """The author's ``limit`` best passages, best first, numbered from 1.

    ``split`` keeps only documents of that split, for an evaluation that must not see the others.
    """
    asked = search_form(question)
    vector = embedder.embed([asked])[0].tolist()
    hits = vectors.search(author, vector, asked, limit, {"split": split} if split else None)
    return [
        Passage(
            number=number,
            chunk_id=hit.id,
            document_id=hit.payload["document_id"],
            title=hit.payload["title"],
            url=hit.payload["url"],
            text=hit.payload["text"],
            start=hit.payload["start"],
            end=hit.payload["end"],
            score=hit.score,
        )
        for number, hit in enumerate(hits, start=1)
    ]
