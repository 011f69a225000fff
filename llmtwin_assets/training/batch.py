"""The answers that one model writes at the same time. They join and leave between tokens.

A prompt is read in parts, one part per turn, so that a long one does not hold up the answers that
are being written. Queues and other models are not known here.
"""

import random
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any

from llmtwin_assets.training.decoder import Decoder, Prompt, Rows
from llmtwin_assets.training.generation import FinishReason, Generation
from llmtwin_assets.training.pieces import Pieces
from llmtwin_assets.training.sampling import draw

MOST = 16  # answers at a time
PART = 256  # tokens of a prompt that are read in one turn


class Batch:
    """One loaded model and its running answers; used by one thread."""

    def __init__(self, model: Any, tokenizer: Any, window: int) -> None:
        """``model`` and ``tokenizer`` are of ``transformers``; raises ``NotServableError``."""
        self._decoder = Decoder(model, window)
        self._tokenizer = tokenizer
        self._ends = _ends(model, tokenizer)
        self._unread: deque[_Writing] = deque()
        self._written: list[_Writing] = []
        self._rows: Rows | None = None  # one row per answer of ``_written``, in its order
        self._reading: Prompt | None = None  # of the first of ``_unread``

    @property
    def busy(self) -> bool:
        """Whether a turn has something to do."""
        return bool(self._unread or self._written)

    @property
    def full(self) -> bool:
        """Whether another answer has to wait."""
        return len(self._unread) + len(self._written) >= MOST

    def add(self, generation: Generation) -> None:
        """Take on an answer; its prompt leaves room for at least one token."""
        self._unread.append(_Writing(generation, self._tokenizer, self._decoder.window))

    def fail(self, error: Any) -> None:
        """End all answers with an error."""
        for writing in [*self._unread, *self._written]:
            writing.generation.fail(error)
        self._unread.clear()
        self._written.clear()
        self._rows = self._reading = None

    def turn(self) -> None:
        """Read a part of the oldest unread prompt, then write one token of every answer."""
        self._leave_cancelled()
        if self._unread:
            self._read_a_part()
        if self._written and self._rows:
            logits = self._decoder.step(self._rows, [writing.last for writing in self._written])
            over = self._advance(self._written, logits)
            for row in reversed(over):
                self._leave(row)
        if not self.busy:
            self._rows = self._reading = None  # gives the memory back

    def read_all(self) -> None:
        """Read every prompt now, when nobody waits for what the others write."""
        while self._unread:
            self._read_a_part()

    def _read_a_part(self) -> None:
        writing = self._unread[0]
        self._reading = self._reading or Prompt(self._decoder)
        prompt = writing.generation.prompt
        if not self._reading.length:
            self._reading.length = _known(self._reading.ids, prompt)
        done = self._reading.length
        logits = self._decoder.read(self._reading, prompt[done : done + PART])
        if self._reading.length < len(prompt):
            return
        self._unread.popleft()
        if not self._advance([writing], logits[None]):
            self._rows = self._rows or Rows(self._decoder, MOST)
            self._rows.join(self._reading)
            self._written.append(writing)
        self._reading.length = 0

    def _advance(self, writings: "list[_Writing]", logits: Any) -> list[int]:
        """Draw a token for each; returns the positions of those that are over."""
        for row, writing in enumerate(writings):
            if writing.generation.completion_tokens < writing.generation.options.min_tokens:
                logits[row, self._ends] = float("-inf")
        how = [writing.generation.options for writing in writings]
        tokens = draw(
            logits,
            [options.temperature for options in how],
            [options.top_p for options in how],
            [writing.random.random() for writing in writings],
        )
        return [
            row
            for row, (writing, token) in enumerate(zip(writings, tokens, strict=True))
            if writing.take(token, token in self._ends)
        ]

    def _leave_cancelled(self) -> None:
        for row in reversed(range(len(self._written))):
            if self._written[row].generation.cancelled:
                self._written[row].end("cancelled")
                self._leave(row)
        if self._reading and self._unread and self._unread[0].generation.cancelled:
            self._reading.length = 0
        for writing in [one for one in self._unread if one.generation.cancelled]:
            writing.end("cancelled")
            self._unread.remove(writing)

    def _leave(self, row: int) -> None:
        assert self._rows is not None
        self._rows.leave(row)
        self._written[row] = self._written[-1]
        self._written.pop()


class _Writing:
    """An answer as the model's side sees it."""

    def __init__(self, generation: Generation, tokenizer: Any, window: int) -> None:
        options = generation.options
        self.generation = generation
        self.random = random.Random(secrets.randbits(64) if options.seed is None else options.seed)
        self.last = -1
        self._most = min(options.max_tokens, window - generation.prompt_tokens)
        self._pieces = Pieces(
            lambda ids: str(
                tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            ),
            options.stop,
        )

    def take(self, token: int, is_end: bool) -> bool:
        """Go on with a token; returns whether the answer is over."""
        if is_end:
            return self.end("stop")
        self.last = token
        self.generation.completion_tokens += 1
        piece = self._pieces.push(token)
        if piece:
            self.generation.put(piece)
        if self._pieces.stopped:
            return self.end("stop")
        return self.generation.completion_tokens >= self._most and self.end("length")

    def end(self, reason: FinishReason) -> bool:
        """Give what was held back, and finish."""
        rest = self._pieces.rest()
        if rest:
            self.generation.put(rest)
        self.generation.finish(reason)
        return True


def _known(before: Sequence[int], prompt: Sequence[int]) -> int:
    """Tokens at the beginning of a prompt that the one before had in the same parts: their keys and
    values are still there, and would be the same again. The last part is always read."""
    known = 0
    while known + PART < len(prompt) and (
        prompt[known : known + PART] == before[known : known + PART]
    ):
        known += PART
    return known


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The tokens that structure a prompt and are no text, with how they are written."""
    added = tokenizer.added_tokens_decoder.items()
    return {number: str(token.content) for number, token in added if token.special}


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: what the model names, and every other control token, which
    would begin somebody else's turn."""
    named = model.generation_config.eos_token_id
    some = named if isinstance(named, list) else [named]
    known = {*control_tokens(tokenizer), *(one for one in some if one is not None)}
    return sorted(one for one in known if one < model.config.vocab_size)
