"""Preference pairs: the author's text over what their own model wrote for the same instruction, or
over the rejected texts of a file. Both sides have the same number of words, so that length decides
nothing; a pair that teaches nothing is dropped with its reason. How the model's texts are sampled
is not known here."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets.datasets import quality
from llmtwin_assets.features.words import first_words, length, ngrams, words
from llmtwin_assets.records import Document, InstructSample, PreferenceSample, content_id
from resources.errors import LlmTwinError

VERSION = "preferences-3"
WORDS_PER_TOKEN = 0.75  # of English prose, for the room that a side of a pair has
FEWEST_WORDS = 12
ALIKE = 0.5  # share of common eight-word runs above which a pair says nothing
SAME_WORDS = 0.9  # share of common words (with their counts) above which it says nothing either
VARIED = 0.3  # share of distinct words below which a text is a repetition
LETTERS = 0.5  # share of letters among visible characters below which a text is no prose


class NoPairsFileError(LlmTwinError):
    """The file of preference pairs cannot be read."""


@dataclass(frozen=True)
class Dropped:
    """A pair that is not learned from, and why."""

    instruction: str
    chosen: str
    rejected: str
    reason: str


Found = tuple[list[PreferenceSample], list[Dropped]]


def choose(samples: Sequence[InstructSample], count: int) -> list[InstructSample]:
    """Train samples to ask the model about, evenly spaced over what there is. A third more than
    ``count``, because some pairs are dropped."""
    train = [row for row in samples if row.split == "train" and row.origin == "author"]
    wanted = min(len(train), count + count // 3)
    return [train[i * len(train) // wanted] for i in range(wanted)]


def as_prompt(sample: InstructSample, tokens: int) -> dict[str, Any]:
    """What the sampling script is asked for this sample."""
    return {"id": sample.id, "instruction": sample.instruction, "tokens": tokens}


def pairs(
    samples: Sequence[InstructSample], texts: Mapping[str, str], count: int, tokens: int
) -> Found:
    """At most ``count`` pairs, and those that were dropped."""
    most = int(tokens * WORDS_PER_TOKEN)
    made: list[PreferenceSample] = []
    dropped: list[Dropped] = []
    for sample in samples:
        chosen, rejected = equal_length(sample.answer, texts.get(sample.id, ""), most)
        reason = fault(chosen, rejected)
        if reason:
            dropped.append(Dropped(sample.instruction, chosen, rejected, reason))
        elif len(made) < count:
            made.append(_pair(sample, chosen, rejected))
    return made, dropped


def marked(pairs: Sequence[PreferenceSample], marks: Sequence[tuple[float, float] | None]) -> Found:
    """The pairs, and those whose chosen text has low marks, or much lower ones than the rejected
    text (``quality.LEAST_MARK``, ``WORST_MARK``). Pairs without marks (chosen, rejected) stay."""
    made: list[PreferenceSample] = []
    dropped: list[Dropped] = []
    for pair, given_ in zip(pairs, marks, strict=True):
        chosen, rejected = given_ or (quality.LEAST_MARK, quality.LEAST_MARK)
        reason = "low marks" if chosen < quality.LEAST_MARK else None
        if rejected - chosen > quality.WORST_MARK:
            reason = "the rejected text has better marks"
        if reason:
            dropped.append(Dropped(pair.instruction, pair.chosen, pair.rejected, reason))
        else:
            made.append(pair)
    return made, dropped


def given(path: str) -> Path:
    """The file that a person named; raises ``NoPairsFileError`` when it is not there."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise NoPairsFileError(str(file), "there is no such file", "Check its path")
    return file


def from_file(path: Path, documents: Sequence[Document], count: int) -> Found:
    """At most ``count`` pairs of a file, and those that were dropped.

    A line is a JSON object with ``instruction``, ``chosen`` and ``rejected``. ``chosen`` has to be
    the author's own words: a verbatim span of a train document. Raises ``NoPairsFileError``.
    """
    try:
        lines = given(str(path)).read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise NoPairsFileError(str(path), "it is not UTF-8 text", "Save it as UTF-8") from error
    made: list[PreferenceSample] = []
    dropped: list[Dropped] = []
    seen: set[str] = set()
    for line in filter(str.strip, lines):
        pair = _read_pair(line, documents)
        if isinstance(pair, str):
            dropped.append(Dropped("", line, "", pair))
            continue
        reason = "twice in the file" if pair.id in seen else fault(pair.chosen, pair.rejected)
        seen.add(pair.id)
        if reason:
            dropped.append(Dropped(pair.instruction, pair.chosen, pair.rejected, reason))
        elif len(made) < count:
            made.append(pair)
    return made, dropped


def _read_pair(line: str, documents: Sequence[Document]) -> PreferenceSample | str:
    """The pair of a line, its sides cut to equal length, or why it is none."""
    try:
        row = json.loads(line)
        instruction, chosen, rejected = (row[key] for key in ("instruction", "chosen", "rejected"))
        chosen, rejected = equal_length(chosen.strip(), rejected.strip(), len(chosen))
    except (ValueError, TypeError, KeyError, AttributeError):
        return "not a pair"
    if not isinstance(instruction, str) or not chosen:
        return "not a pair"
    for document in documents:
        start = document.text.find(chosen) if document.split == "train" else -1
        if start >= 0:
            return PreferenceSample(
                id=content_id(instruction, chosen, rejected),
                sample_id="",
                document_id=document.id,
                instruction=instruction,
                chosen=chosen,
                rejected=rejected,
                start=start,
                end=start + len(chosen),
                origin="author",
            )
    return "not the author's words"


def equal_length(chosen: str, rejected: str, most: int) -> tuple[str, str]:
    """Both texts cut after the same number of words, at most ``most``. What is left of ``chosen``
    is its beginning, verbatim."""
    count = min(length(chosen), length(rejected), most)
    return first_words(chosen, count), first_words(rejected, count)


def fault(chosen: str, rejected: str) -> str | None:
    """Why a pair teaches nothing, or None."""
    if length(rejected) < FEWEST_WORDS:
        return "too short"
    tokens = words(rejected)
    if sum(map(str.isalpha, rejected)) < LETTERS * len("".join(rejected.split())):
        return "no prose"
    if len(set(tokens)) < VARIED * len(tokens):
        return "repetition"
    return "too alike" if _alike(words(chosen), tokens) else None


def _alike(own: Sequence[str], sampled: Sequence[str]) -> bool:
    runs, common = set(ngrams(own)), Counter(own) & Counter(sampled)
    copied = len(runs & set(ngrams(sampled))) > ALIKE * len(runs) if runs else False
    return copied or common.total() > SAME_WORDS * max(len(own), len(sampled))


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
