"""What the answers need of a language model, near or far: an interface, how to write, and what can
go wrong. Who implements it and how is not known here."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from resources.errors import LlmTwinError

ITEM = "the language model"


class EngineDownError(LlmTwinError):
    """The engine cannot be reached, or broke off."""


class EngineRefusedError(LlmTwinError):
    """The engine answered with an error that another try would not change."""


class ModelNotServedError(EngineRefusedError):
    """The engine runs but has no model of this name."""


class EngineBusyError(LlmTwinError):
    """The engine takes no more requests at the moment."""


class PromptTooLongError(LlmTwinError):
    """The engine counted more tokens than its window has. ``prompt_tokens`` and ``window`` are None
    where it does not say."""

    prompt_tokens: int | None = None
    window: int | None = None


@dataclass(frozen=True)
class Options:
    """How to write. None leaves the choice to the engine."""

    max_tokens: int = 160
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def chosen(self) -> dict[str, Any]:
        """The options by name, without those left to the engine."""
        chosen = asdict(self) | {"stop": self.stop or None}
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass
class Writing:
    """What a model writes. The text comes by ``pieces``; the rest is complete when that ends.

    ``version`` is what the engine calls the weights that answered; token counts are None where the
    engine does not count.
    """

    pieces: AsyncIterator[str]
    version: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class LanguageModels(Protocol):
    """What the answers need of an engine, near or far."""

    async def window(self, model: str) -> int | None:
        """Tokens that a model reads and writes at most, or None when that is not known."""

    def write(
        self, model: str, chat: Sequence[Mapping[str, str]], options: Options
    ) -> AbstractAsyncContextManager[Writing]:
        """Let a model answer a chat; leaving the context stops it."""


def down(problem: str = "its engine does not answer") -> EngineDownError:
    """An engine that does not answer, or says so."""
    return EngineDownError(ITEM, problem, "See that the engine runs, then try again")


def too_long(prompt_tokens: int | None, window: int | None) -> PromptTooLongError:
    """A prompt of so many tokens where so many fit."""
    error = PromptTooLongError(
        "the prompt", "it is longer than the model reads", "Ask a shorter question"
    )
    error.prompt_tokens, error.window = prompt_tokens, window
    return error
