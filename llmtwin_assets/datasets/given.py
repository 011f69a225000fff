"""Rows of a data set that exists already. An answer that stands verbatim in a document is the
author's, and the row belongs to that document; any other is general: it holds the chat format, and
may be a share of the training data only."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from llmtwin_assets.datasets import formats
from llmtwin_assets.features.language import language_of
from llmtwin_assets.features.phrases import key_phrases
from llmtwin_assets.records import Document, InstructSample, content_id

GENERAL_SHARE = 0.2  # of the train rows, at most
GENERAL = "general"  # the origin of rows whose answer is not the author's
WRITTEN_BY = "file"
BREAK = "\x00"  # between documents; stands in no text
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
    whole = BREAK.join(document.text for document in documents)
    sizes = (len(document.text) + 1 for document in documents)
    begins = [0, *accumulate(sizes)]
    found = []
    for pair in pairs:
        answer = pair.answer.strip()
        at = whole.find(answer) if answer and BREAK not in answer else -1
        number = bisect_right(begins, at) - 1
        document = documents[number] if at >= 0 else None
        found.append(_row(pair.instruction, answer, document, at - begins[number]))
    return found, wrong


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
