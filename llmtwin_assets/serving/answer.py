"""An answer as an author, with the passages it comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from llmtwin_assets import prompts
from llmtwin_assets.records import Document, Passage
from llmtwin_assets.retrieval.search import retrieve
from llmtwin_assets.serving.endpoint import Endpoint
from llmtwin_assets.serving.engine import LocalEngine
from resources.embedder import Embedder
from resources.vectors import VectorStore

PASSAGES = 3
TOKENS = 160


@dataclass(frozen=True)
class Answer:
    """The passages that were given to the model, and its words as they come."""

    passages: list[Passage]
    text: Iterator[str]


def answer(
    endpoint: Endpoint,
    question: str,
    engine: LocalEngine,
    vectors: VectorStore,
    embedder: Embedder,
) -> Answer:
    """Ask an author's twin. Raises ``NoIndexError`` before anything is generated."""
    passages = retrieve(endpoint.author, question, PASSAGES, vectors, embedder)
    chat = prompts.messages(endpoint.name, question, passages)
    return Answer(passages, engine.stream(chat, TOKENS))


def opening_question(documents: Sequence[Document]) -> str:
    """A first question to an author's twin: about the newest document that it learned from."""
    newest = max(
        (document for document in documents if document.split == "train"),
        key=lambda document: (document.published or date.min, document.id),
    )
    return f"What would you say about “{newest.title}”?"
