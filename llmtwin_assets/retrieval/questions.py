"""Questions with known answers, built from an author's train documents, and the scores of a
retriever on them. No model writes them, so they are the same on every machine.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.records import Chunk, Document

TITLES, PASSAGES = 50, 100  # questions of each kind at most
HEADING = re.compile(r"^#{2,4} +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """A question and the ids that answer it: of documents (``kind`` title) or chunks (passage)."""

    text: str
    kind: str
    answer: str


@dataclass(frozen=True)
class Scores:
    """Share of questions answered among the first k, and the mean reciprocal rank over the first
    10 (0 for a question that is not answered there)."""

    questions: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr_at_10: float


def questions(documents: Sequence[Document], chunks: Sequence[Chunk]) -> list[Question]:
    """Title questions (which document is it about?) and passage questions (where did the author
    say it?) of train documents, evenly spaced over what there is."""
    train = [document for document in documents if document.split == "train"]
    by_title = [
        Question(f"What have you written on {subject}?", "title", document.id)
        for document in train
        for subject in [document.title, *HEADING.findall(document.text)]
    ]
    by_passage = [
        Question(f"What do you say about {_listed(phrases)}?", "passage", chunk.id)
        for chunk in chunks
        if chunk.split == "train" and len(phrases := key_phrases(chunk.text, 3)) == 3
    ]
    return _spread(by_title, TITLES) + _spread(by_passage, PASSAGES)


def ranks(
    asked: Sequence[Question], find: Callable[[str], list[tuple[str, str]]]
) -> list[int | None]:
    """For each question the rank (from 1) at which it was answered, or None.

    ``find`` takes a question's text and returns (document id, chunk id) pairs, best first.
    """
    return [_rank(question, find(question.text)) for question in asked]


def score(found: Sequence[int | None]) -> Scores:
    """The scores of ranks."""
    if not found:
        return Scores(0, 0.0, 0.0, 0.0, 0.0)
    return Scores(
        questions=len(found),
        recall_at_1=_recall(found, 1),
        recall_at_5=_recall(found, 5),
        recall_at_10=_recall(found, 10),
        mrr_at_10=fmean(1 / rank if rank and rank <= 10 else 0.0 for rank in found),
    )


def _rank(question: Question, hits: Sequence[tuple[str, str]]) -> int | None:
    for rank, (document_id, chunk_id) in enumerate(hits, start=1):
        if question.answer == (document_id if question.kind == "title" else chunk_id):
            return rank
    return None


def _recall(found: Sequence[int | None], k: int) -> float:
    return fmean(rank is not None and rank <= k for rank in found)


def _spread(items: list[Question], count: int) -> list[Question]:
    step = max(1.0, len(items) / count)
    return [items[int(i * step)] for i in range(min(count, len(items)))]


def _listed(phrases: Sequence[str]) -> str:
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
