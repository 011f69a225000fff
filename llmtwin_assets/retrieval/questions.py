"""Questions with known answers, built from an author's train documents.

Without a chat model they are made by rules: titles and headings (which document is it about?) and
key phrases of passages (where did the author say it?), the same on every machine. A chat model adds
paraphrased questions, whose wording is not the passage's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from llmtwin_assets.features.phrases import content_words, key_phrases
from llmtwin_assets.records import Chunk, Document
from llmtwin_assets.retrieval.chat import Chat, asked_for_json

TITLES, PASSAGES, PARAPHRASED = 50, 100, 50  # questions of each kind at most
HEADING = re.compile(r"^#{2,4} +(.+)$", re.MULTILINE)
SHARED = 0.4  # of a paraphrase's content words may stand in its passage: names have no other word
FEWEST_WORDS = 4  # content words in a passage that is asked about by paraphrase

Item = TypeVar("Item")


@dataclass(frozen=True)
class Question:
    """A question and the ids that answer it: of a document (``kind`` title) or a chunk (passage,
    paraphrased)."""

    text: str
    kind: str
    answer: str


def questions(
    documents: Sequence[Document], chunks: Sequence[Chunk], chat: Chat | None = None
) -> list[Question]:
    """Questions about train documents, evenly spaced over what there is."""
    train = [document for document in documents if document.split == "train"]
    by_title = [
        Question(f"What have you written on {subject}?", "title", document.id)
        for document in train
        for subject in [document.title, *HEADING.findall(document.text)]
    ]
    passages = [chunk for chunk in chunks if chunk.split == "train"]
    by_passage = [
        Question(f"What do you say about {_listed(phrases)}?", "passage", chunk.id)
        for chunk in passages
        if len(phrases := key_phrases(chunk.text, 3)) == 3
    ]
    paraphrased = _paraphrased(_spread(passages, PARAPHRASED), chat) if chat else []
    return _spread(by_title, TITLES) + _spread(by_passage, PASSAGES) + paraphrased


def _paraphrased(passages: Sequence[Chunk], chat: Chat) -> list[Question]:
    """A model's question for each passage; those that give its wording away are left out."""
    asked = []
    for chunk in passages:
        told = asked_for_json(chat, _prompt(chunk.text))
        text = told.get("question") if isinstance(told, dict) else None
        if isinstance(text, str) and own_words(text, chunk.text):
            asked.append(Question(text.strip(), "paraphrased", chunk.id))
    return asked


def own_words(question: str, passage: str) -> bool:
    """Whether a question is put in words of its own."""
    words, known = content_words(question), set(content_words(passage))
    if not words or len(known) < FEWEST_WORDS:
        return False
    return sum(word in known for word in words) <= SHARED * len(words)


def _prompt(passage: str) -> str:
    return (
        "Write one question that the passage answers and that a reader could ask without having "
        "read it. Use none of the passage's wording: other words for everything but names. Answer "
        f'with JSON alone: {{"question": "…"}}\n\nPassage:\n{passage}'
    )


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    step = max(1.0, len(items) / count)
    return [items[int(i * step)] for i in range(min(count, len(items)))]


def _listed(phrases: Sequence[str]) -> str:
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
