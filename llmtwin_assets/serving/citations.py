"""Which passage a sentence comes from, and the markers ``[n]`` that say so.

Small models do not write markers of their own accord, so a sentence gets one when enough of what it
says stands in a passage: the words that carry meaning, weighed by how rare they are in the
passages. A marker that the model wrote stays only when there is a passage of that number. It works
on a stream: whatever the pieces are, the joined result is the same. It knows words, not meanings.
"""

import re
from collections import Counter
from collections.abc import Sequence
from math import log

from llmtwin_assets.features.split import sentences
from llmtwin_assets.features.words import words
from llmtwin_assets.records import Passage

# Least share of a sentence's weight that a passage must hold. On the Federalist essays, with the
# three passages found for a question, 0.5 marks 95 % of the passages' own sentences after three
# words in ten were taken away and two strange ones added, 1.2 % of sentences from the same author's
# other essays, and 0.3 % of another author's; at 0.4 these are 3.5 % and 2.0 %.
SUPPORT = 0.5
SHARED = 4  # least content words in common
SHORT = 4  # letters; shorter words carry no meaning of their own
STEM = 6  # letters by which inflected forms of a word are taken for one

UNSPACED = r"\u0e00-\u0eff\u3000-\u30ff\u3400-\u9fff\uff01-\uff1f"  # letters written without blanks
WORD = re.compile(rf"(\s*)([{UNSPACED}]|[^\s{UNSPACED}]+)")
MARKER = re.compile(r"\[(\d{1,3}(?:[ \t]*,[ \t]*\d{1,3})*)\]")
OPEN_MARKER = re.compile(r"\[\d[\d,]*$")  # a word that "[1, 2]" may have begun with
REST_OF_MARKER = re.compile(r"[\d, \t]{0,24}")
TERMINATOR = re.compile(r"[.!?…。！？]+[\"'”’)*_]*$")
NO_END = re.compile(
    r"[\W_]*(?:[A-Za-z]|\d+|Mr|Mrs|Ms|Dr|St|Prof|Gen|Col|Hon|Rev|Nos?|Art|Sec|Fig|vol|pp?|cf|vs|etc"
    r"|viz|i\.e|e\.g)\.[\W_]*",
    re.IGNORECASE,
)


class Support:
    """Tells which of some passages a sentence comes from."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._held = {p.number: content(p.text) for p in passages}
        spans = [content(p.text[a:b]) for p in passages for a, b in sentences(p.text)]
        self._sentences = len(spans)
        self._frequency = Counter(word for span in spans for word in span)

    def of(self, sentence: str) -> int | None:
        """The number of the passage that holds most of the sentence, or None when none holds
        enough of it."""
        share, number = self.best(sentence)
        return number if share >= SUPPORT else None

    def best(self, sentence: str) -> tuple[float, int | None]:
        """The share of a sentence's weight that the best passage holds, and its number. The share
        is 0 when fewer than ``SHARED`` words are in common."""
        said = content(sentence)
        weight = sum(self._weight(word) for word in said)
        best: tuple[float, int | None] = (0.0, None)
        for number, held in self._held.items():
            common = said & held
            if len(common) >= SHARED:
                share = sum(self._weight(word) for word in common) / weight
                best = max(best, (share, number), key=lambda pair: pair[0])
        return best

    def _weight(self, word: str) -> float:
        """Rarity of a word among the passages' sentences (inverse document frequency); a word that
        stands in none weighs as much as the rarest that does."""
        return log(1 + self._sentences / max(1, self._frequency[word]))


def content(text: str) -> set[str]:
    """The words of a text that carry meaning, cut to their stems."""
    return {word[:STEM] for word in words(text) if len(word) >= SHORT}


class Citing:
    """An answer as it comes in, with markers after the sentences that a passage supports."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._support = Support(passages)
        self._numbers = {passage.number for passage in passages}
        self._waiting = ""  # not passed on yet: blanks, and a word that may go on
        self._sentence: list[str] = []  # words passed on, of the sentence being written
        self._ended = False  # whether its last word may have been its end
        self._own = False  # whether the model marked it
        self.cited: set[int] = set()

    def feed(self, piece: str) -> str:
        """What can be passed on after ``piece``: whole words."""
        self._waiting += piece
        return self._words(closing=False)

    def close(self) -> str:
        """What was held back, and the last sentence's marker."""
        rest = self._words(closing=True)
        return rest + self._finish() + self._waiting

    def _words(self, closing: bool) -> str:
        passed = []
        while (found := self._next(closing)) is not None:
            gap, word = found
            self._waiting = self._waiting[len(gap) + len(word) :]
            passed.append(self._pass(gap, word))
        return "".join(passed)

    def _next(self, closing: bool) -> tuple[str, str] | None:
        """The next word with the blanks before it, once no further text can change it."""
        found = WORD.match(self._waiting)
        if found is None:
            return None
        end = found.end()
        if OPEN_MARKER.search(found[2]):
            rest = REST_OF_MARKER.match(self._waiting, end)
            assert rest is not None
            if rest.end() == len(self._waiting) and rest.end() - end < 24 and not closing:
                return None
            if self._waiting[rest.end() : rest.end() + 1] == "]":
                end = rest.end() + 1
                more = WORD.match(self._waiting, end)
                end = more.end() if more and not more[1] and len(more[2]) > 1 else end
        alone = len(found[2]) == 1 and re.match(rf"[{UNSPACED}]", found[2])
        if end == len(self._waiting) and not closing and not alone:
            return None
        return found[1], self._waiting[found.start(2) : end]

    def _pass(self, gap: str, word: str) -> str:
        text, only_markers = self._own_markers(word)
        if only_markers:
            return f"{gap}{text}" if text.startswith("[") else text
        before = ""
        if "\n" in gap or (self._ended and not text.strip("\"'“‘([*_")[:1].islower()):
            before = self._finish()
        self._sentence.append(text)
        self._ended = bool(TERMINATOR.search(text)) and not NO_END.fullmatch(text)
        return f"{before}{gap}{text}"

    def _own_markers(self, word: str) -> tuple[str, bool]:
        """A word without markers of passages that do not exist, and whether it is markers only."""
        if "[" not in word or not MARKER.search(word):
            return word, False

        def kept(found: re.Match[str]) -> str:
            numbers = [int(number) for number in found[1].split(",")]
            real = [number for number in numbers if number in self._numbers]
            self.cited.update(real)
            self._own = self._own or bool(real)
            return "".join(f"[{number}]" for number in real)

        bare = MARKER.sub("", word)
        self._ended = self._ended or bool(TERMINATOR.match(bare))
        return MARKER.sub(kept, word), not re.search(r"\w", bare)

    def _finish(self) -> str:
        """The marker of the sentence that ends here, if a passage supports it."""
        number = None if self._own else self._support.of(" ".join(self._sentence))
        self._sentence, self._ended, self._own = [], False, False
        if number is None:
            return ""
        self.cited.add(number)
        return f" [{number}]"
