"""The language models behind the answers: a chat goes in, pieces of text come out.

One thread writes. Each turn it lets every busy model write one token of all its answers, so that
models and answers are served evenly, and takes on what waits. A model is loaded when it is first
asked for; the version that serves an author is read from the artifact store at each request, so a
new one is picked up at once, while what runs on the old one goes on. It knows prompts as text and
nothing of retrieval or HTTP.

Tried, and what became of it, is written in ``benchmarks/serving.py``.
"""

import contextlib
import ctypes
import logging
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts
from llmtwin_assets.serving.endpoint import ENDPOINT, NoTwinError, serving
from llmtwin_assets.training import models
from llmtwin_assets.training.batch import Batch, control_tokens
from llmtwin_assets.training.generation import Generation, Options
from resources import base_model
from resources.artifacts import ArtifactStore, BadNameError
from resources.base_model import quiet
from resources.errors import LlmTwinError

__all__ = ["BASE", "Engine", "Generation", "Model", "Options"]

BASE = "base"  # the name of the stock model
WAITING = 64  # answers that may wait for their turn
TOKENIZERS = 32  # kept in memory
log = logging.getLogger(__name__)


class UnknownModelError(LlmTwinError):
    """No model is served under the name."""


class ContextTooLongError(LlmTwinError):
    """The prompt leaves no room for an answer in the model's window."""

    def __init__(self, prompt_tokens: int, max_model_len: int) -> None:
        super().__init__(
            "the prompt",
            f"it has {prompt_tokens} tokens, and prompt and answer together may have "
            f"{max_model_len}",
            "Shorten it",
        )
        self.prompt_tokens = prompt_tokens
        self.max_model_len = max_model_len

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.prompt_tokens, self.max_model_len)


class ChatRefusedError(LlmTwinError):
    """The model's chat template has no place for the messages as they are."""


class EngineFullError(LlmTwinError):
    """So many answers wait already that another one would wait too long."""


class BrokenModelError(LlmTwinError):
    """A model that cannot be loaded, or failed while it was writing."""


class EngineFailedError(LlmTwinError):
    """The engine itself failed, not a model; what it was writing is lost."""


class EngineClosedError(LlmTwinError):
    """The engine has stopped."""


@dataclass(frozen=True)
class Model:
    """What can be asked for: an author's twin or the base model."""

    id: str
    version: str
    max_model_len: int  # tokens of prompt and answer together
    created: int  # Unix time in seconds


@dataclass(frozen=True)
class _Served:
    """A model's current version and where its files are."""

    id: str
    version: str
    directory: Path


class Engine:
    """Writes answers with the twins of an artifact store and a base model. Safe for many threads.

    ``base`` finds the base model's directory; it is called when that is first needed. ``keep`` is
    the number of models in memory.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        base: Callable[[], Path],
        keep: int = 3,
        waiting: int = WAITING,
    ) -> None:
        _import_libraries()
        self._artifacts, self._keep, self._most_waiting = artifacts, keep, waiting
        self._prompts = _Prompts()
        self._find_base, self._found_base = base, threading.Lock()
        self._base: _Served | None = None
        self._news = threading.Condition()  # guards everything below
        self._waiting: deque[tuple[Generation, _Served]] = deque()
        self._loaded: OrderedDict[_Served, Batch] = OrderedDict()  # least recently used first
        self._newest: dict[str, _Served] = {}
        self._loading: _Served | None = None
        self._leaving: _Served | None = None  # takes on nothing more, to make room for another
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="engine", daemon=True)
        self._worker.start()

    def models(self) -> list[Model]:
        """What can be asked for now: read from the store, nothing is loaded. A model whose record
        cannot be read is left out."""
        found = []
        for name in [*self._artifacts.authors(ENDPOINT), BASE]:
            try:
                served = self._current(name)
                found.append(
                    Model(
                        served.id,
                        served.version,
                        models.window(served.directory),
                        int(served.directory.stat().st_mtime),
                    )
                )
            except (LlmTwinError, OSError, ValueError) as error:
                log.warning("%s is left out of the models: %s", name, error)
        return found

    def submit(self, model: str, chat: Sequence[dict[str, str]], options: Options) -> Generation:
        """Queue an answer to a chat; it is written whether or not it is read, until cancelled.

        Raises ``UnknownModelError``, ``ContextTooLongError``, ``ChatRefusedError``,
        ``BrokenModelError``, ``EngineFullError`` or ``EngineClosedError``.
        """
        served = self._current(model)
        with _broken(served):
            prompt = self._prompts.ids(served, chat)
            window = models.window(served.directory)
        if len(prompt) >= window:
            raise ContextTooLongError(len(prompt), window)
        generation = Generation(served.id, served.version, prompt, options)
        with self._news:
            if self._closed:
                raise _closed()
            self._forget_cancelled()
            if len(self._waiting) >= self._most_waiting:
                raise EngineFullError(
                    "the engine", f"{len(self._waiting)} answers wait already", "Try again soon"
                )
            self._newest[served.id] = served
            self._waiting.append((generation, served))
            self._news.notify()
        return generation

    def close(self) -> None:
        """Stop: running and waiting answers end with ``EngineClosedError``."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._worker.join()

    def _current(self, name: str) -> _Served:
        if name == BASE:
            return self._current_base()
        try:
            endpoint = serving(self._artifacts, name)
        except (NoTwinError, BadNameError) as error:
            raise UnknownModelError(
                f"the model {name[:80]!r}", "none is served under this name", "See /v1/models"
            ) from error
        except (LlmTwinError, OSError, ValueError, LookupError, TypeError) as error:
            raise _cannot_load(name, error) from error
        return _Served(name, endpoint.version, endpoint.model)

    def _current_base(self) -> _Served:
        with self._found_base:
            if self._base is None:
                try:
                    directory = self._find_base()
                except LlmTwinError as error:
                    raise _cannot_load(BASE, error) from error
                self._base = _Served(BASE, base_model.fingerprint(directory), directory)
            return self._base

    # The worker's side.

    def _work(self) -> None:
        import torch

        writing = True
        with torch.inference_mode():
            while writing:
                try:
                    writing = self._turn_all(self._next())
                except Exception as error:  # nobody may wait for a thread that has ended
                    log.exception("the engine failed and begins anew")
                    with self._news:
                        self._fail_all(_failed(error))

    def _turn_all(self, busy: "list[tuple[_Served, Batch]]") -> bool:
        """A turn for each; whether there was one. Holds no model any longer than that."""
        for served, batch in busy:
            self._turn(served, batch)
        return bool(busy)

    def _next(self) -> "list[tuple[_Served, Batch]]":
        """The models that have something to write; waits for one. Empty when closed."""
        with self._news:
            while not self._closed:
                self._take_on()
                busy = [(served, batch) for served, batch in self._loaded.items() if batch.busy]
                if busy:
                    return busy
                self._news.wait()
            self._fail_all(_closed())
        return []

    def _fail_all(self, error: LlmTwinError) -> None:
        """End every answer, running or waiting, and let go of every model."""
        waiting, loaded = list(self._waiting), list(self._loaded.values())
        self._waiting.clear()
        self._loaded.clear()
        for generation, _ in waiting:
            generation.fail(error)
        for batch in loaded:
            batch.fail(error)

    def _turn(self, served: _Served, batch: Batch) -> None:
        try:
            batch.turn()
        except Exception as error:  # whatever a model raises ends its own answers only
            log.exception("%s failed while writing", served.id)
            batch.fail(_cannot_load(served.id, error))
            with self._news:
                self._loaded.pop(served, None)

    def _take_on(self) -> None:
        """Give waiting answers to their models, in order, and have missing models loaded."""
        self._forget_cancelled()
        self._leaving = None  # found again below, as long as somebody wants the room
        self._drop_replaced()
        for waiting in list(self._waiting):
            generation, served = waiting
            home = self._loaded.get(served)
            if home is None:
                self._want(served)
            elif served != self._leaving and not home.full:
                home.add(generation)
                self._waiting.remove(waiting)
                self._loaded.move_to_end(served)

    def _drop_replaced(self) -> None:
        """Let go of idle models that have a newer version."""
        replaced = [
            served
            for served, batch in self._loaded.items()
            if not batch.busy and self._newest.get(served.id, served) != served
        ]
        for served in replaced:
            del self._loaded[served]
        if replaced:
            _give_memory_back()

    def _want(self, served: _Served) -> None:
        if self._loading:
            return
        if len(self._loaded) >= self._keep:
            idle = next((one for one, batch in self._loaded.items() if not batch.busy), None)
            if idle is None:
                self._leaving = next(iter(self._loaded))
                return
            del self._loaded[idle]
        threading.Thread(target=self._load, args=(served,), name="loader", daemon=True).start()
        self._loading = served

    def _load(self, served: _Served) -> None:
        batch, problem = None, None
        _give_memory_back()  # of the model that made room
        try:
            loaded = models.load(served.directory, models.fastest())
            batch = Batch(*loaded, models.window(served.directory))
            del loaded
        except Exception as error:
            log.exception("%s cannot be loaded", served.id)
            problem = _cannot_load(served.id, error)
        _give_memory_back()
        with self._news:
            self._loading = None
            if batch:
                self._loaded[served] = batch
            elif problem:
                for waiting in [one for one in self._waiting if one[1] == served]:
                    self._waiting.remove(waiting)
                    waiting[0].fail(problem)
            self._news.notify()

    def _forget_cancelled(self) -> None:
        for waiting in [one for one in self._waiting if one[0].cancelled]:
            self._waiting.remove(waiting)
            waiting[0].finish("cancelled")


class _Prompts:
    """From chats to token ids, with the tokenizers of the models that were asked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a tokenizer is not safe for several threads
        self._tokenizers: OrderedDict[_Served, Any] = OrderedDict()

    def ids(self, served: _Served, chat: Sequence[dict[str, str]]) -> list[int]:
        from jinja2 import TemplateError

        with self._lock:
            tokenizer = self._tokenizer(served)
            control = list(control_tokens(tokenizer).values())
            plain = [_plain(message, control) for message in chat]
            try:
                text = prompts.render(tokenizer, plain)
            except TemplateError as error:
                raise ChatRefusedError(
                    "the messages",
                    f"the chat template of {served.id} refuses them: {error}",
                    "Send at most one system message, then user and assistant in turn",
                ) from error
            return models.encode(tokenizer, text)

    def _tokenizer(self, served: _Served) -> Any:
        if served not in self._tokenizers:
            base_model.check(served.directory)
            self._tokenizers[served] = models.tokenizer_of(served.directory)
        self._tokenizers.move_to_end(served)
        while len(self._tokenizers) > TOKENIZERS:
            self._tokenizers.popitem(last=False)
        return self._tokenizers[served]


def _import_libraries() -> None:
    """Import now, in one thread, what several threads would import at the same time later: that of
    transformers fails when two threads begin it. Threads that wait for the next product spin for
    some 10 µs and then sleep: sleeping at once takes twice as long, and spinning longer, the
    default, starves everything where the cores are shared."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is loaded
    import transformers

    quiet()
    for name in ("AutoTokenizer", "AutoModelForCausalLM", "LlamaForCausalLM"):
        getattr(transformers, name)  # imports it


def _give_memory_back() -> None:
    """Let the system have what is free: glibc keeps it, in pieces that the next model does not fit
    into. Elsewhere nothing needs to be done."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _plain(message: dict[str, str], control: Sequence[str]) -> dict[str, str]:
    """A message in which no text can be taken for a control token."""
    content = message["content"]
    for token in control:
        content = content.replace(token, f"{token[0]} {token[1:]}")
    return {**message, "content": content}


class _broken:
    """What goes wrong with a model's files inside becomes a ``BrokenModelError``."""

    def __init__(self, served: _Served) -> None:
        self._served = served

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        known = (base_model.BaseModelMissingError, base_model.BaseModelDamagedError)
        if isinstance(error, (*known, OSError, ValueError)):
            raise _cannot_load(self._served.id, error) from error


def _cannot_load(name: str, error: BaseException) -> BrokenModelError:
    """The refusal without paths or internals: those go to the log."""
    log.error("%s: %s", name, error)
    remedy = (
        f"Run 'llmtwin rollback {name}', or make the twin again"
        if name != BASE
        else ("Delete the directory of base models and try again")
    )
    return BrokenModelError(f"the model of {name}", "it cannot be used", remedy)


def _failed(error: BaseException) -> EngineFailedError:
    return EngineFailedError("the engine", f"it failed ({type(error).__name__})", "Try again")


def _closed() -> EngineClosedError:
    return EngineClosedError("the engine", "it has stopped", "Start it again: llmtwin serve")
