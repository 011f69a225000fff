"""The language model behind the answers, in this process. It turns a prompt into text and knows
nothing of retrieval."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts
from llmtwin_assets.training import models
from resources.base_model import quiet

TEMPERATURE, TOP_P = 0.7, 0.9
SHORTEST = 12  # tokens; a small model sometimes ends after its first clause


class LocalEngine:
    """One twin, loaded from its endpoint's directory."""

    def __init__(self, model: Path) -> None:
        quiet()
        self._model, self._tokenizer = models.load(model, models.fastest())

    def stream(
        self, chat: Sequence[dict[str, str]], max_tokens: int, seed: int = 1
    ) -> Iterator[str]:
        """Pieces of the answer to a chat, as they come."""
        prompt = prompts.render(self._tokenizer, chat)
        pieces: Any = models.stream(
            self._model,
            self._tokenizer,
            prompt,
            max_new_tokens=max_tokens,
            min_new_tokens=min(SHORTEST, max_tokens),
            temperature=TEMPERATURE,
            top_p=TOP_P,
            seed=seed,
        )
        yield from pieces
