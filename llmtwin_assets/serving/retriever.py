"""The passages for a question, found beside the event loop, with the steps of a deployment."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from llmtwin_assets.records import Passage
from llmtwin_assets.retrieval import search
from llmtwin_assets.retrieval.deployed import PASSAGES, deployed_steps
from llmtwin_assets.settings import Settings
from resources.artifacts import ArtifactStore
from resources.embedder import Embedder
from resources.vectors import VectorStore, open_vectors

WAITING = 8  # questions that may wait for the chat model at once


class Retriever:
    """Passages of an author for a question, found beside the event loop: one thread, because the
    tokenizer of the embedding model is not made for several; others wait for the chat model."""

    def __init__(
        self, vectors: VectorStore, embedder: Embedder, steps: search.Steps = search.DEFAULT
    ) -> None:
        self._vectors, self._embedder, self._steps = vectors, embedder, steps
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="retrieval")
        self._waiting = ThreadPoolExecutor(WAITING, thread_name_prefix="understanding")

    async def passages(self, author: str, question: str) -> list[Passage]:
        """The best passages, best first; raises ``NoIndexError``."""
        loop, pool = asyncio.get_running_loop(), self._waiting if self._steps.chat else self._pool
        understood = await loop.run_in_executor(pool, search.understand, question, self._steps)
        return await loop.run_in_executor(
            self._pool, partial(search.find, steps=self._steps), author, understood, PASSAGES,
            self._vectors, self._embedder,
        )  # fmt: skip

    async def warm(self) -> None:
        """Load the embedding model, so that the first question does not wait for it."""
        await asyncio.get_running_loop().run_in_executor(
            self._pool, self._embedder.embed, ["a first text"]
        )

    def close(self) -> None:
        """Let the threads go."""
        for pool in (self._pool, self._waiting):
            pool.shutdown(wait=False, cancel_futures=True)


def open_retriever(settings: Settings, artifacts: ArtifactStore) -> Retriever:
    """The retriever of a deployment. Raises what opening its vector store does."""
    steps = deployed_steps(settings, artifacts, waiting=True)
    return Retriever(open_vectors(settings.vectors_url), Embedder(settings.embedder), steps)
