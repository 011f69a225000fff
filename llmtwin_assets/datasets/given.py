"""Rows of a data set that exists already. An answer that stands verbatim in a document is the
author's, and the row belongs to that document; any other is general: it holds the chat format, and
may be a share of the training data only."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from llmtwin_assets.datasets import formats
from llmtwin_assets.features.language import language_of
from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.records import Document, InstructSample, content_id

GENERAL_SHARE = 0.2  # of the train rows, at most
GENERAL = "general"  # the origin of rows whose answer is not the author's
WRITTEN_BY = "file"
BEGINNING = 24  # characters of an answer by which it is looked for
PHRASED = "Write a paragraph about {phrases}."  # for text without an instruction


def file(path: str, author: str) -> Path | None:
    """The file that the setting ``path`` names for an author; None without a setting. Raises
    ``BadDatasetFileError`` when it is not there."""
    if not path:
        return None
    found = Path(path.replace("{author}", author)).expanduser()
    if not found.is_file():
        raise formats.BadDatasetFileError(
            str(found), "there is no such file", "Check the path in LLMTWIN_PAIRS_FILE"
        )
    return found


def rows(path: Path, documents: Sequence[Document]) -> tuple[list[InstructSample], list[str]]:
    """The candidates of a file, and what is wrong with its unreadable records. Raises
    ``BadDatasetFileError``."""
    pairs, wrong = formats.read(path)
    answers = [pair.answer.strip() for pair in pairs]
    places = spans(answers, documents)
    found = [
        _row(pair.instruction, answer, *places.get(answer, (None, 0)))
        for pair, answer in zip(pairs, answers, strict=True)
    ]
    return found, wrong


def spans(answers: Iterable[str], documents: Sequence[Document]) -> dict[str, tuple[Document, int]]:
    """answer -> the first document that holds it verbatim, and where in its text it begins. The
    documents are read once, for the beginnings of all answers (Aho and Corasick, "Efficient string
    matching", 1975); only where one stands is the rest of its answers compared."""
    import polars as pl

    waiting: dict[str, list[str]] = {}  # beginning -> answers that were not found yet
    for answer in filter(None, dict.fromkeys(answers)):
        waiting.setdefault(answer[:BEGINNING], []).append(answer)
    if not waiting:
        return {}
    begins = list(waiting)
    texts = pl.Series([document.text for document in documents], dtype=pl.String)
    places = texts.str.find_many(begins, overlapping=True)  # in bytes
    named = texts.str.extract_many(begins, overlapping=True)
    found: dict[str, tuple[Document, int]] = {}
    for document, ats, standing in zip(documents, places, named, strict=True):
        data = document.text.encode("utf-8")
        for at, begin in zip(ats, standing, strict=True):
            left = waiting[begin]
            for answer in [each for each in left if data.startswith(each.encode("utf-8"), at)]:
                found[answer] = document, len(data[:at].decode("utf-8"))
                left.remove(answer)
    return found


def _row(instruction: str, answer: str, document: Document | None, start: int) -> InstructSample:
    phrases = ", ".join(key_phrases(answer, 3))
    instruction = instruction.strip() or (PHRASED.format(phrases=phrases) if phrases else "")
    place = document.id if document else ""
    return InstructSample(
        id=content_id(WRITTEN_BY, place, str(start), instruction, answer),
        document_id=document.id if document else content_id(GENERAL, answer),
        split=document.split if document else "train",
        kind="given" if document else GENERAL,
        instruction=instruction,
        answer=answer,
        start=start if document else 0,
        end=(start if document else 0) + len(answer),
        origin="author" if document else GENERAL,
        written_by=WRITTEN_BY,
        language=language_of(answer),
    )
