"""From tokens to the pieces of text that may be shown: whole characters, nothing after a stop
string, no control tokens. It knows no model."""

from collections.abc import Callable, Sequence

HALF = "\N{REPLACEMENT CHARACTER}"  # what a decoder shows for bytes that are no character (yet)
LONGEST_CHARACTER = 4  # bytes in UTF-8


class Pieces:
    """The text of one answer as its tokens come.

    ``decode`` turns token ids into text and leaves control tokens out. ``stopped`` is true once
    the text has reached one of the ``stops``.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._ids: list[int] = []
        self._start = 0  # the tokens that are decoded again begin here: some need their neighbours
        self._mark = 0  # and up to here they are whole characters
        self._sent = 0  # characters of the decoded text that were taken
        self._held = ""  # text that may be the beginning of a stop string
        self.stopped = False

    def push(self, token: int) -> str:
        """Add a token; returns the text that is certain now, often one word, sometimes nothing."""
        self._ids.append(token)
        text = self._decode(self._ids[self._start :])
        whole = len(text) - _halves(text)
        fresh = text[self._sent : whole]
        self._sent = max(self._sent, whole)
        if fresh and whole == len(text):
            self._start, self._mark = self._mark, len(self._ids)
            self._sent = len(self._decode(self._ids[self._start :]))
        return self._safe(fresh)

    def rest(self) -> str:
        """What was held back, once no token follows. Half a character is dropped."""
        held, self._held = self._held, ""
        return "" if self.stopped else held

    def _safe(self, fresh: str) -> str:
        text = self._held + fresh
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _halves(text: str) -> int:
    """Characters at the end of a text that may become one when more bytes follow."""
    return min(len(text) - len(text.rstrip(HALF)), LONGEST_CHARACTER - 1)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``, but is not all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
