"""An answer without any server: the engine and the search in this process, for the command line."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from llmtwin_assets.serving.answer import Answer, Ask, answering
from llmtwin_assets.serving.endpoint import serving
from llmtwin_assets.serving.engine import ContextTooLongError, Engine, Generation
from llmtwin_assets.serving.engine import Options as EngineOptions
from llmtwin_assets.serving.language_models import Options, Writing, too_long
from llmtwin_assets.serving.retriever import open_retriever
from llmtwin_assets.settings import Settings
from resources import base_model
from resources.artifacts import open_artifacts


class InProcess:
    """``LanguageModels`` of an engine in this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def window(self, model: str) -> int | None:
        """Tokens that a model reads and writes at most."""
        models = await asyncio.to_thread(self._engine.models)
        return next((found.max_model_len for found in models if found.id == model), None)

    @asynccontextmanager
    async def write(
        self, model: str, chat: Sequence[Mapping[str, str]], options: Options
    ) -> AsyncIterator[Writing]:
        """Let a model answer a chat. Raises what ``Engine.submit`` does, and ``PromptTooLongError``
        for a prompt over the window."""
        turns = [dict(turn) for turn in chat]
        try:
            generation = await asyncio.to_thread(
                self._engine.submit, model, turns, EngineOptions(**options.chosen())
            )
        except ContextTooLongError as error:
            raise too_long(error.prompt_tokens, error.max_model_len) from error
        writing = Writing(_nothing(), version=generation.version)
        writing.prompt_tokens = generation.prompt_tokens
        writing.pieces = _pieces(generation, writing)
        try:
            yield writing
        finally:
            generation.cancel()


def ask_here(settings: Settings, author: str, question: str, show: Callable[[str], None]) -> Answer:
    """Ask an author's twin and ``show`` each piece of its answer as it comes; returns the finished
    answer with its passages.

    Raises ``NoTwinError``, ``NoIndexError``, ``QuestionTooLongError`` and what the engine refuses
    with.
    """
    artifacts = open_artifacts(settings.artifacts_url)
    endpoint = serving(artifacts, author)
    ask = Ask(author, endpoint.name, question, version=endpoint.version)
    engine = Engine(artifacts, lambda: base_model.resolve(settings.base_model, settings.models))
    retriever = open_retriever(settings, artifacts)

    async def asked() -> Answer:
        async with answering(ask, InProcess(engine), retriever) as answer:
            async for piece in answer:
                show(piece)
        return answer

    try:
        return asyncio.run(asked())
    finally:
        retriever.close()
        engine.close()


async def _pieces(generation: Generation, writing: Writing) -> AsyncIterator[str]:
    async for piece in generation:
        yield piece
    writing.completion_tokens = generation.completion_tokens
    writing.finish_reason = generation.finish_reason or "stop"


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""
