"""Preference pairs from what readers said of answers: the answer that a reader wrote over the one
they were given, and an answer found good over one found bad to the same question. Readers are not
the author, so their pairs pass the filters of the training data and are a share of all pairs only.
Where feedback is stored is not known here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmtwin_assets.datasets import quality
from llmtwin_assets.features.language import language_of
from llmtwin_assets.records import InstructSample, PreferenceSample, content_id, to_frame
from llmtwin_assets.training.preferences import (
    WORDS_PER_TOKEN,
    Dropped,
    Found,
    equal_length,
    fault,
)

ORIGIN = "reader"
SHARE = 0.25  # of all pairs, at most
CITED = re.compile(r"\s?\[\d{1,3}\]")  # markers of sources, which an answer gets afterwards

Feedback = Mapping[str, Any]


def pairs(feedback: Sequence[Feedback], held_out: Sequence[str], count: int, tokens: int) -> Found:
    """Pairs beside ``count`` others, at most ``SHARE`` of all, the newest feedback first, and those
    that were dropped. ``held_out`` are the texts that nothing may be trained on."""
    offered = list(_offered(feedback))[::-1]
    rows = {pair.id: _as_row(pair) for pair in offered}
    judged = quality.judged(to_frame(InstructSample, rows.values()), held_out)
    wrong = dict(judged.dropped.select("id", "reason").iter_rows())
    most = int(count * SHARE / (1 - SHARE))
    made: list[PreferenceSample] = []
    dropped: list[Dropped] = []
    seen: set[str] = set()
    for pair in offered:
        cut = _cut(pair, int(tokens * WORDS_PER_TOKEN))
        again = "said twice" if pair.id in seen else None
        reason = again or wrong.get(pair.id) or fault(cut.chosen, cut.rejected)
        seen.add(pair.id)
        if not reason and len(made) >= most:
            reason = f"more readers' pairs than {SHARE:.0%}"
        if reason:
            dropped.append(Dropped(pair.instruction, pair.chosen, pair.rejected, reason))
        else:
            made.append(cut)
    return made, dropped


def _offered(feedback: Sequence[Feedback]) -> Iterator[PreferenceSample]:
    """The pairs that feedback, oldest first, makes."""
    bad: dict[str, Feedback] = {}
    for said in feedback:
        if said["rating"] < 0:
            bad[_key(said)] = said
    for said in feedback:
        if said.get("better"):
            yield _pair(said, str(said["better"]), str(said["answer"]))
        elif said["rating"] > 0 and said["variant"] == "twin" and _key(said) in bad:
            yield _pair(said, str(said["answer"]), str(bad[_key(said)]["answer"]))


def _key(said: Feedback) -> str:
    return " ".join(str(said["question"]).split()).casefold()


def _pair(said: Feedback, chosen: str, rejected: str) -> PreferenceSample:
    chosen, rejected = CITED.sub("", chosen).strip(), CITED.sub("", rejected).strip()
    return PreferenceSample(
        id=content_id(ORIGIN, str(said["question"]), chosen, rejected),
        sample_id=str(said["trace_id"]),
        document_id="",
        instruction=str(said["question"]).strip(),
        chosen=chosen,
        rejected=rejected,
        start=0,
        end=len(chosen),
        origin=ORIGIN,
    )


def _cut(pair: PreferenceSample, most_words: int) -> PreferenceSample:
    chosen, rejected = equal_length(pair.chosen, pair.rejected, most_words)
    return replace(pair, chosen=chosen, rejected=rejected, end=len(chosen))


def _as_row(pair: PreferenceSample) -> InstructSample:
    """What is judged of a pair: what the model would learn to write."""
    return InstructSample(
        id=pair.id,
        document_id=pair.id,
        split="train",
        kind="preferred",
        instruction=pair.instruction,
        answer=pair.chosen,
        start=0,
        end=len(pair.chosen),
        origin=ORIGIN,
        written_by=ORIGIN,
        language=language_of(pair.chosen),
    )
