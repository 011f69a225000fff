"""Instruction-answer samples whose answers are the author's own text, verbatim.

Without a teacher the instruction is written by rules from what the document gives: its title, the
passage's key phrases, the sentence before it, a question that the author asks. Which of the
candidates are worth training on is not decided here.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from llmtwin_assets import probes
from llmtwin_assets.datasets.passages import Span, passages
from llmtwin_assets.features.language import language_of
from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.features.split import sentences
from llmtwin_assets.features.words import length, ngrams, words
from llmtwin_assets.records import Document, InstructSample, content_id

VERSION = "instruct-5"
WRITTEN_BY = "rules"
PER_PASSAGE = 1  # instructions

WRITE = (
    "Write a paragraph about {phrases}, for a piece titled “{title}”.",
    "In a piece called “{title}”, what would you say about {phrases}?",
    "Explain your view of {phrases}, in “{title}”.",
)
CONTINUE = "Go on from here:\n\n{before}"


def candidates(
    documents: Iterable[Document],
    unchanged: Collection[str] = (),
    before: Iterable[InstructSample] = (),
    per_passage: int = PER_PASSAGE,
) -> list[InstructSample]:
    """Up to ``per_passage`` samples for each prose passage of each document, which ask different
    things; those of ``unchanged`` documents (ids) are taken from ``before``."""
    old: dict[str, list[InstructSample]] = {}
    for sample in before:
        old.setdefault(sample.document_id, []).append(sample)
    made: list[InstructSample] = []
    for document in documents:
        if document.id in unchanged:
            made += old.get(document.id, [])
        else:
            made += _of_document(document, per_passage)
    return made


def held_out_ngrams(documents: Iterable[Document]) -> set[tuple[str, ...]]:
    """Every run of eight words in held-out documents, and in what asks what was forgotten."""
    held = {gram for text in probes.texts() for gram in ngrams(words(text))}
    for document in documents:
        if document.split == "held-out":
            held.update(ngrams(words(document.text)))
    return held


def leaks(sample: InstructSample, held: set[tuple[str, ...]]) -> bool:
    """Whether a sample has one of ``held_out_ngrams``."""
    return not held.isdisjoint(ngrams(words(f"{sample.instruction} . {sample.answer}")))


def _of_document(document: Document, per_passage: int) -> Iterator[InstructSample]:
    before: Span | None = None
    for number, span in enumerate(passages(document.text)):
        asked = list(_asked(document, span, before, number))
        for place, (kind, instruction, answer) in enumerate(asked[:per_passage]):
            own = (kind, instruction) if place else ()  # the first of a passage needs no telling
            id_ = content_id(
                document.id, str(answer.start), str(answer.end), document.raw_hash, *own
            )
            yield authored(id_, document, answer, kind, instruction, WRITTEN_BY)
        before = span


def _asked(
    document: Document, span: Span, before: Span | None, number: int
) -> Iterator[tuple[str, str, Span]]:
    """Kind, instruction and answer of everything that rules can ask of a passage, the kinds in turn
    from passage to passage."""
    asked = _question(document.text, span)
    if asked is not None:
        question = document.text[span.start : asked].strip()
        span = Span(asked + _blanks(document.text, asked), span.end)
        yield "answer", question, span
    go_on = (
        ("continue", CONTINUE.format(before=_last_sentence(document, before))) if before else None
    )
    if asked is None and go_on and number % 4 == 3:
        yield *go_on, span
        go_on = None
    phrases = key_phrases(document.text[span.start : span.end], 3)
    for turn in range(len(WRITE)) if phrases else ():
        form = WRITE[(number + turn) % len(WRITE)]
        yield "write", form.format(phrases=_listed(phrases), title=document.title), span
        if asked is None and go_on and turn == 0:
            yield *go_on, span


def authored(
    id_: str, document: Document, span: Span, kind: str, instruction: str, written_by: str
) -> InstructSample:
    """The sample whose answer is a span of the author's document."""
    answer = document.text[span.start : span.end]
    return InstructSample(
        id=id_,
        document_id=document.id,
        split=document.split,
        kind=kind,
        instruction=instruction,
        answer=answer,
        start=span.start,
        end=span.end,
        origin="author",
        written_by=written_by,
        language=language_of(answer),
    )


def _question(text: str, span: Span) -> int | None:
    """Where the passage's opening question ends, if it opens with one and answers at length."""
    first = next(iter(sentences(text, span.start, span.end)), None)
    if first is None or not text[first[0] : first[1]].rstrip("\"'”’)]").endswith("?"):
        return None
    rest = text[first[1] : span.end]
    return first[1] if length(rest) >= 30 else None


def _last_sentence(document: Document, span: Span) -> str:
    start, end = sentences(document.text, span.start, span.end)[-1]
    return document.text[start:end]


def _blanks(text: str, at: int) -> int:
    return len(text[at:]) - len(text[at:].lstrip())


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
