"""A prompt that fits the model's window: passages are shortened at sentence ends and then dropped,
turns of the conversation are dropped oldest first, and every loss is told.

It counts tokens without a tokenizer, on the safe side, because the engine may be anybody's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmtwin_assets import prompts
from llmtwin_assets.features.split import sentences
from llmtwin_assets.records import Passage
from resources.errors import LlmTwinError

WINDOW = 2048  # tokens, of an engine that does not say
PER_TURN = 16  # tokens that a chat template puts around one message
SHORTEST_PASSAGE = 40  # tokens; less of a passage says nothing
LEAST_ANSWER = 16  # tokens that are always left for the answer
LETTERS = re.compile(r"[A-Za-z]+")
MOST_TURNS = 100  # engines take so many, whatever their length
HISTORY_SHARE = 3  # at most this part of the room is the conversation's when there are passages

Turn = dict[str, str]


class QuestionTooLongError(LlmTwinError):
    """The question alone does not fit the window, without any passage."""


@dataclass(frozen=True)
class Fitted:
    """A chat that fits: the passages as the model sees them, room for the answer in tokens, and a
    sentence for everything that was cut."""

    chat: list[Turn]
    passages: list[Passage]
    max_tokens: int
    notes: list[str]
    tokens: int  # estimated, of the chat


def estimate(text: str) -> int:
    """Tokens of ``text``, rather too many than too few.

    Words of English take 1.3 tokens of a byte-pair vocabulary of 30,000 or more on average: here a
    token per four letters begun, one per digit and sign, one per byte beyond ASCII; blanks belong
    to the word after them.
    """
    letters = sum((len(run) + 3) // 4 for run in LETTERS.findall(text))
    others = LETTERS.sub("", text)
    signs = sum(not character.isspace() for character in others if character < "\x80")
    blanks = others.count("\n") + others.count("  ")
    beyond = len(others.encode("utf-8", "replace")) - sum(c < "\x80" for c in others)
    return letters + signs + blanks + beyond


def fit(
    name: str,
    question: str,
    passages: Sequence[Passage],
    history: Sequence[Turn],
    max_tokens: int,
    window: int = WINDOW,
    factor: float = 1.0,
) -> Fitted:
    """The longest chat within ``window`` tokens that leaves room for an answer.

    ``factor`` corrects the estimate for an engine that counted more than was estimated. Raises
    ``QuestionTooLongError``.
    """
    bare = _tokens(prompts.messages(name, question))
    answer = min(max_tokens, max(LEAST_ANSWER, int((window - bare * factor) // 2)))
    left = int((window - answer) / factor) - bare
    if left < 0:
        raise _too_long(question, window, factor, _tokens(prompts.messages(name, "")))
    wanted = sum(_passage_tokens(p) for p in passages) + PER_TURN if passages else 0
    kept = _newest(history, max(left // HISTORY_SHARE, left - wanted) if passages else left)
    left -= _tokens(kept)
    given, lost = _shortened(passages, left - PER_TURN)
    notes = [*lost, *_history_note(len(history) - len(kept)), *_answer_note(max_tokens, answer)]
    chat = prompts.messages(name, question, given, kept)
    return Fitted(chat, given, answer, notes, _tokens(chat))


def _tokens(chat: Sequence[Turn]) -> int:
    return sum(PER_TURN + estimate(turn["content"]) for turn in chat)


def _passage_tokens(passage: Passage) -> int:
    """Of a passage in the prompt: its number, title and text, and the lines between them."""
    return estimate(passage.title) + estimate(passage.text) + 8


def _newest(history: Sequence[Turn], room: int) -> list[Turn]:
    """The newest turns that fit, beginning with a question: some templates insist on it."""
    kept: list[Turn] = []
    for turn in reversed(history[-MOST_TURNS:]):
        room -= PER_TURN + estimate(turn["content"])
        if room < 0:
            break
        kept.insert(0, turn)
    while kept and kept[0]["role"] != "user":
        kept.pop(0)
    return kept


def _shortened(passages: Sequence[Passage], room: int) -> tuple[list[Passage], list[str]]:
    """The passages within ``room`` tokens, the worst dropped while the others would get too short,
    and what to say about it. Numbers stay 1, 2, 3."""
    kept = list(passages)
    while kept:
        cut = _share_out(kept, room)
        if cut is not None:
            break
        kept.pop()
    else:
        cut = []
    shorter = sum(_lacks(a, b) for a, b in zip(cut, passages, strict=False))
    notes = []
    if shorter:
        notes.append(f"{_amount(shorter)} shortened to fit.")
    if len(cut) < len(passages):
        notes.append(f"{_amount(len(passages) - len(cut))} left out to fit.")
    return cut, notes


def _share_out(passages: Sequence[Passage], room: int) -> list[Passage] | None:
    """Each passage whole or cut to its share of the room; None when a share would be too small.
    What a short passage leaves over goes to the longer ones."""
    shares: dict[int, int] = {}
    left = room
    by_length = sorted(passages, key=_passage_tokens)
    for position, passage in enumerate(by_length):
        share = left // (len(by_length) - position)
        shares[passage.number] = min(share, _passage_tokens(passage))
        left -= shares[passage.number]
    cut = [_cut(passage, shares[passage.number]) for passage in passages]
    return None if any(passage is None for passage in cut) else [p for p in cut if p]


def _cut(passage: Passage, room: int) -> Passage | None:
    """A passage of at most ``room`` tokens that ends where a sentence ends, or a word when its
    first sentence is too long; None when too little of it would be left. Of one that was grown, the
    sentences that were found come first, then those after them, then those before."""
    if _passage_tokens(passage) <= room:
        return passage
    if room < SHORTEST_PASSAGE:
        return None
    room -= estimate(passage.title) + 8
    spans = list(sentences(passage.text))
    found = passage.found[0] - passage.start if passage.found else 0
    first = next((begin for begin, end in reversed(spans) if begin <= found < end), found)

    def fits(begin: int, end: int) -> bool:
        return estimate(passage.text[begin:end]) <= room

    fitting = [end for _, end in spans if end > first and fits(first, end)]
    if not fitting:
        blanks = [match.start() for match in re.finditer(r"\s+", passage.text)]
        fitting = [end for end in blanks if end > first and fits(first, end)]
    if not fitting or room < SHORTEST_PASSAGE // 2:
        return None
    last = fitting[-1]
    first = min([first, *(begin for begin, _ in spans if fits(begin, last))])
    text = passage.text[first:last]
    return replace(passage, text=text, start=passage.start + first, end=passage.start + last)


def _lacks(cut: Passage, passage: Passage) -> bool:
    """Whether a passage was cut and what was found is no longer whole in it."""
    start, end = passage.found or (passage.start, passage.end)
    return cut.start > start or cut.end < end


def _too_long(question: str, window: int, factor: float, frame: int) -> QuestionTooLongError:
    room = max(0, int((window - LEAST_ANSWER) / factor) - frame)
    share = len(question) / max(1, estimate(question))
    return QuestionTooLongError(
        "the question",
        f"it is {len(question):,} characters long and does not fit the model",
        f"Ask in at most {max(1, int(room * share * 0.95)):,} characters",
    )


def _amount(count: int) -> str:
    words = {1: "One passage was", 2: "Two passages were", 3: "Three passages were"}
    return words.get(count, f"{count} passages were")


def _history_note(dropped: int) -> list[str]:
    if dropped <= 0:
        return []
    turns = "turn was" if dropped == 1 else "turns were"
    return [f"The {dropped} oldest {turns} left out to fit."]


def _answer_note(asked: int, given: int) -> list[str]:
    return [f"The answer is limited to {given} tokens to fit."] if given < asked else []
