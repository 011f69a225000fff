"""On-policy preference pairs: the author's text over what their own model wrote for the same
instruction. Both sides have the same number of words, so that length decides nothing. How the
model's texts are sampled is not known here."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from llmtwin_assets.features.words import ngrams, words
from llmtwin_assets.records import InstructSample, PreferenceSample, content_id

VERSION = "preferences-1"
WORDS_PER_TOKEN = 0.75  # of English prose, for the room that a side of a pair has
FEWEST_WORDS = 12
ALIKE = 0.5  # share of common eight-word runs above which a pair says nothing
VARIED = 0.3  # share of distinct words below which a text is a repetition
WORD = re.compile(r"\S+")


def choose(samples: Sequence[InstructSample], count: int) -> list[InstructSample]:
    """Train samples to ask the model about, evenly spaced over what there is. A third more than
    ``count``, because some pairs are dropped."""
    train = [sample for sample in samples if sample.split == "train"]
    wanted = min(len(train), count + count // 3)
    return [train[i * len(train) // wanted] for i in range(wanted)]


def as_prompt(sample: InstructSample, tokens: int) -> dict[str, Any]:
    """What the sampling script is asked for this sample."""
    return {"id": sample.id, "instruction": sample.instruction, "tokens": tokens}


def pairs(
    samples: Sequence[InstructSample], texts: Mapping[str, str], count: int, tokens: int
) -> tuple[list[PreferenceSample], Counter[str]]:
    """At most ``count`` pairs, and how many were dropped for which reason."""
    most = int(tokens * WORDS_PER_TOKEN)
    made: list[PreferenceSample] = []
    dropped: Counter[str] = Counter()
    for sample in samples:
        chosen, rejected = equal_length(sample.answer, texts.get(sample.id, ""), most)
        reason = fault(chosen, rejected)
        if reason:
            dropped[reason] += 1
        elif len(made) < count:
            made.append(_pair(sample, chosen, rejected))
    return made, dropped


def equal_length(chosen: str, rejected: str, most: int) -> tuple[str, str]:
    """Both texts cut after the same number of words, at most ``most``. What is left of ``chosen``
    is its beginning, verbatim."""
    count = min(len(chosen.split()), len(rejected.split()), most)
    return _first_words(chosen, count), _first_words(rejected, count)


def fault(chosen: str, rejected: str) -> str | None:
    """Why a pair teaches nothing, or None."""
    if len(rejected.split()) < FEWEST_WORDS:
        return "too short"
    tokens = words(rejected)
    if len(set(tokens)) < VARIED * len(tokens):
        return "repetition"
    own, sampled = set(ngrams(words(chosen))), set(ngrams(tokens))
    if own and len(own & sampled) > ALIKE * len(own):
        return "too alike"
    return None


def _pair(sample: InstructSample, chosen: str, rejected: str) -> PreferenceSample:
    return PreferenceSample(
        id=content_id(sample.id, chosen, rejected),
        sample_id=sample.id,
        document_id=sample.document_id,
        instruction=sample.instruction,
        chosen=chosen,
        rejected=rejected,
        start=sample.start,
        end=sample.start + len(chosen),
        origin="author",
    )


def _first_words(text: str, count: int) -> str:
    ends = [match.end() for match in WORD.finditer(text)]
    return text[: ends[count - 1]] if 0 < count <= len(ends) else ""
