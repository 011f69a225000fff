"""From a question to a cited answer: search, fit the prompt, let the model write, mark what the
author's passages support.

It knows language models only by ``LanguageModels`` and passages only by the retriever; HTTP, keys
and files are not known here.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from llmtwin_assets.records import Document, Passage
from llmtwin_assets.retrieval.fitting import WINDOW, Fitted, Turn, fit
from llmtwin_assets.serving.citations import Citing
from llmtwin_assets.serving.language_models import (
    LanguageModels,
    Options,
    PromptTooLongError,
    Writing,
)
from llmtwin_assets.serving.links import WithoutLinks
from llmtwin_assets.serving.retriever import Retriever
from llmtwin_assets.serving.sources import shown_url, sources

BASE = "base"  # what engines call the base model
MARGIN = 1.05  # on top of the engine's own count, when the estimate was too low

Span = Callable[[str], AbstractContextManager[dict[str, Any]]]
Variant = Literal["twin", "base"]


@dataclass(frozen=True)
class Ask:
    """What is asked of an author's twin (or of the base model, with the same prompt)."""

    author: str
    name: str
    question: str
    history: Sequence[Turn] = ()
    instruction: str = ""  # what the model is told; the question, when there is nothing more
    variant: Variant = "twin"
    version: str | None = None  # of the twin, for an engine that does not tell which one answered
    retrieval: bool = True
    options: Options = field(default_factory=Options)

    @property
    def model(self) -> str:
        """The engine's name of the model."""
        return self.author if self.variant == "twin" else BASE


class Answer:
    """An answer being written. Iterate once for its text; what else there is to know is complete
    when that ends."""

    def __init__(self, fitted: Fitted, writing: Writing, version: str | None = None) -> None:
        self.passages = fitted.passages
        self.notes = list(fitted.notes)
        self.text = ""  # what has been passed on so far
        self.on_first: Callable[[], None] = lambda: None  # called before the first text
        self._writing, self._version = writing, version
        self._links = WithoutLinks({shown_url(passage.url) for passage in fitted.passages})
        self._citing = Citing(fitted.passages)

    @property
    def version(self) -> str | None:
        """The version that answers: the engine's word, or what should be serving."""
        return self._writing.version or self._version

    @property
    def finish_reason(self) -> str:
        """``stop`` or ``length``."""
        return self._writing.finish_reason

    @property
    def tokens(self) -> tuple[int | None, int | None]:
        """Tokens read and written, as far as the engine counts."""
        return self._writing.prompt_tokens, self._writing.completion_tokens

    @property
    def citations(self) -> list[dict[str, Any]]:
        """The passages that the model was given, each with whether the answer cites it."""
        return sources(self.passages, self._citing.cited)

    async def __aiter__(self) -> AsyncIterator[str]:
        async for raw in self._writing.pieces:
            piece = self._citing.feed(self._links.feed(raw))
            if piece:
                yield self._passed(piece)
        rest = self._citing.feed(self._links.close()) + self._citing.close()
        if rest:
            yield self._passed(rest)

    def _passed(self, piece: str) -> str:
        if not self.text:
            self.on_first()
        self.text += piece
        return piece


@asynccontextmanager
async def answering(
    ask: Ask, models: LanguageModels, retriever: Retriever, span: Span | None = None
) -> AsyncIterator[Answer]:
    """Let a twin answer; leaving the context stops the model.

    ``span`` names and times the steps. Before the first piece it raises ``NoIndexError``,
    ``QuestionTooLongError`` and what the engine refuses with.
    """
    step = span or (lambda name: nullcontext({}))
    passages: list[Passage] = []
    if ask.retrieval:
        with step("retrieval") as seen:
            passages = await retriever.passages(ask.author, ask.question)
            seen["passages"] = len(passages)
    with step("prompt") as seen:
        fitted = _fitted(ask, passages, await models.window(ask.model) or WINDOW)
        seen["tokens_estimated"], seen["passages"] = fitted.tokens, len(fitted.passages)
    with step("generation") as seen:
        async with AsyncExitStack() as stack:
            fitted, writing = await _begin(stack, models, ask, passages, fitted)
            answer = Answer(fitted, writing, ask.version)
            yield answer
        seen["model"], seen["version"] = ask.model, answer.version
        seen["tokens_in"], seen["tokens_out"] = answer.tokens


async def _begin(
    stack: AsyncExitStack,
    models: LanguageModels,
    ask: Ask,
    passages: Sequence[Passage],
    fitted: Fitted,
) -> tuple[Fitted, Writing]:
    """The model, writing. When the engine counts more tokens than were estimated, the prompt is
    fitted to its count and sent once more."""

    async def write(chosen: Fitted) -> Writing:
        options = replace(ask.options, max_tokens=chosen.max_tokens)
        return await stack.enter_async_context(models.write(ask.model, chosen.chat, options))

    try:
        return fitted, await write(fitted)
    except PromptTooLongError as error:
        counted = error.prompt_tokens or 2 * fitted.tokens
        window = error.window or await models.window(ask.model) or WINDOW
    factor = max(1.0, counted * MARGIN / max(1, fitted.tokens))
    fitted = _fitted(ask, passages, window, factor)
    return fitted, await write(fitted)


def _fitted(ask: Ask, passages: Sequence[Passage], window: int, factor: float = 1.0) -> Fitted:
    return fit(
        ask.name,
        ask.instruction or ask.question,
        passages,
        ask.history,
        ask.options.max_tokens,
        window,
        factor,
    )


def opening_question(documents: Sequence[Document]) -> str:
    """A first question to an author's twin: about the newest document that it learned from."""
    newest = max(
        (document for document in documents if document.split == "train"),
        key=lambda document: (document.published or date.min, document.id),
    )
    return f"What would you say about “{newest.title}”?"
