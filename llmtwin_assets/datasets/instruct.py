"""Instruction-answer samples whose answers are the author's own text, verbatim.

Without a teacher the instruction is written by rules from what the document gives: its title, the
passage's key phrases, the sentence before it, a question that the author asks. What it does not do:
train on a held-out document, or keep a train sample that shares eight words in a row with one.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from llmtwin_assets.datasets.passages import Span, passages
from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.features.split import sentences
from llmtwin_assets.records import Document, InstructSample, content_id

VERSION = "instruct-1"
NGRAM = 8  # words
WORD = re.compile(r"\w+(?:['’]\w+)*")

WRITE = (
    "Write a paragraph about {phrases}, for a piece titled “{title}”.",
    "In a piece called “{title}”, what would you say about {phrases}?",
    "Explain your view of {phrases}, in “{title}”.",
)
CONTINUE = "Go on from here:\n\n{before}"


def samples(documents: Iterable[Document]) -> list[InstructSample]:
    """One sample for each prose passage of each document, without duplicate answers; train samples
    that leak held-out text are left out."""
    documents = list(documents)
    made: list[InstructSample] = []
    answers: set[str] = set()
    for document in documents:
        for sample in _of_document(document):
            key = " ".join(words(sample.answer))
            if key not in answers:
                answers.add(key)
                made.append(sample)
    held = held_out_ngrams(documents)
    return [sample for sample in made if sample.split == "held-out" or not leaks(sample, held)]


def held_out_ngrams(documents: Iterable[Document]) -> set[int]:
    """Hashes of every run of eight words in held-out documents."""
    held: set[int] = set()
    for document in documents:
        if document.split == "held-out":
            held.update(ngrams(words(document.text)))
    return held


def leaks(sample: InstructSample, held: set[int]) -> bool:
    """Whether a sample shares a run of eight words with held-out text."""
    return not held.isdisjoint(ngrams(words(sample.instruction + " . " + sample.answer)))


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return [match[0].lower() for match in WORD.finditer(text)]


def ngrams(tokens: Sequence[str]) -> Iterator[int]:
    """A hash for each run of eight tokens."""
    for start in range(len(tokens) - NGRAM + 1):
        run = " ".join(tokens[start : start + NGRAM])
        yield int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest(), "big")


def _of_document(document: Document) -> Iterator[InstructSample]:
    before: Span | None = None
    for number, span in enumerate(passages(document.text)):
        sample = _sample(document, span, before, number)
        before = span
        if sample is not None:
            yield sample


def _sample(
    document: Document, span: Span, before: Span | None, number: int
) -> InstructSample | None:
    answer = document.text[span.start : span.end]
    asked = _question(document.text, span)
    if asked is not None:
        kind, instruction = "answer", document.text[span.start : asked].strip()
        span = Span(asked + _blanks(document.text, asked), span.end)
        answer = document.text[span.start : span.end]
    elif before is not None and number % 4 == 3:
        kind, instruction = "continue", CONTINUE.format(before=_last_sentence(document, before))
    else:
        phrases = key_phrases(answer, 3)
        if not phrases:
            return None
        kind = "write"
        instruction = WRITE[number % len(WRITE)].format(
            phrases=_listed(phrases), title=document.title
        )
    return InstructSample(
        id=content_id(document.id, str(span.start), str(span.end), document.raw_hash),
        document_id=document.id,
        split=document.split,
        kind=kind,
        instruction=instruction,
        answer=answer,
        start=span.start,
        end=span.end,
        origin="author",
        written_by="rules",
    )


def _question(text: str, span: Span) -> int | None:
    """Where the passage's opening question ends, if it opens with one and answers at length."""
    first = next(iter(sentences(text, span.start, span.end)), None)
    if first is None or not text[first[0] : first[1]].rstrip("\"'”’)]").endswith("?"):
        return None
    rest = text[first[1] : span.end]
    return first[1] if len(rest.split()) >= 30 else None


def _last_sentence(document: Document, span: Span) -> str:
    start, end = sentences(document.text, span.start, span.end)[-1]
    return document.text[start:end]


def _blanks(text: str, at: int) -> int:
    return len(text[at:]) - len(text[at:].lstrip())


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
