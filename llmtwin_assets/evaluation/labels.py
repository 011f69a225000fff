"""Answers that people judged: from a file, or by readers' thumbs.

The file has one JSON object per line::

    {"author": "ada", "question": "…", "answer": "…", "passages": ["…"], "supported": true,
     "relevant": false}

``author`` may be left out; either label too. Which figures labels are for is not known here.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.errors import LlmTwinError
from resources.interactions import Interactions

Find = Callable[[str], Sequence[str]]

SUPPORTED, RELEVANT, GOOD = "supported", "relevant", "good"
KINDS = (SUPPORTED, RELEVANT, GOOD)  # by the passages; to the question; to a reader


class NoLabelsError(LlmTwinError):
    """The file that a setting names cannot be read."""


@dataclass(frozen=True)
class Case:
    """An answer to a question, and the passages that stood before it."""

    question: str
    answer: str
    passages: Sequence[str]


@dataclass(frozen=True)
class Labelled:
    """A case, and what people said of it, by kind."""

    case: Case
    labels: Mapping[str, bool]


@dataclass(frozen=True)
class People:
    """What people said of an author's answers, in a file (``said``; ``problems`` tell which lines
    of it could not be used) and as readers (``thumbs``); and ``sampled`` answers, rated or not."""

    said: Sequence[Labelled]
    problems: Sequence[str]
    thumbs: Sequence[Mapping[str, Any]]
    sampled: Sequence[Mapping[str, Any]]

    @property
    def spoke(self) -> bool:
        """Whether there is anything."""
        return bool(self.said or self.thumbs)

    def digest(self) -> str:
        """Names what they said: other labels, another digest."""
        said = [[vars(each.case), dict(each.labels)] for each in self.said]
        thumbs = sorted([row["trace_id"], row["rating"]] for row in self.thumbs)
        return hashlib.sha256(json.dumps([said, thumbs]).encode("ascii")).hexdigest()[:16]

    def labelled(self, find: Find) -> list[Labelled]:
        """All labels. ``find`` gives the passages for a question, since feedback has none."""
        return [*self.said, *from_readers(self.thumbs, find)]

    def unrated(self, find: Find) -> list[Case]:
        """The twin's sampled answers of which no reader has said anything."""
        return [_case(row, find) for row in self.sampled if _ours(row) and row["rating"] is None]


def heard(path: Path | None, readers: Interactions, author: str) -> People:
    """What people said, from the file, if one is named, and from the readers' store. Raises
    ``NoLabelsError``."""
    said, problems = from_file(path, author) if path else ([], [])
    return People(said, problems, readers.feedback(author), readers.sampled(author))


def from_file(path: Path, author: str) -> tuple[list[Labelled], list[str]]:
    """What a file says of an author's answers, and why lines of it could not be used. Raises
    ``NoLabelsError``."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NoLabelsError(
            str(path),
            f"labels cannot be read from it ({type(error).__name__})",
            "Name a file of JSON lines in UTF-8 in LLMTWIN_LABELS, or leave the setting out",
        ) from error
    found, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            labelled = _labelled(row)
        except ValueError as error:
            reason = "it is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            problems.append(f"line {number} of {path.name}: {reason}")
            continue
        if row.get("author", author) == author:
            found.append(labelled)
    return found, problems


def from_readers(feedback: Sequence[Mapping[str, Any]], find: Find) -> list[Labelled]:
    """What readers thought of the twin's answers (``resources.interactions``)."""
    return [
        Labelled(_case(row, find), {GOOD: row["rating"] == 1}) for row in feedback if _ours(row)
    ]


def _case(row: Mapping[str, Any], find: Find) -> Case:
    return Case(row["question"], row["answer"], find(row["question"]))


def _ours(row: Mapping[str, Any]) -> bool:
    return row.get("variant") == "twin" and bool(row.get("question") and row.get("answer"))


def _labelled(row: Any) -> Labelled:
    """Raises ``ValueError`` that says what is missing."""
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")
    for name in ("question", "answer"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"'{name}' is no text")
    passages = row.get("passages", [])
    if not isinstance(passages, list) or not all(isinstance(each, str) for each in passages):
        raise ValueError("'passages' is no list of texts")
    labels = {kind: row[kind] for kind in (SUPPORTED, RELEVANT) if row.get(kind) is not None}
    if not labels or not all(isinstance(label, bool) for label in labels.values()):
        raise ValueError("neither 'supported' nor 'relevant' is true or false")
    if SUPPORTED in labels and not passages:
        raise ValueError("'supported' is said, and by which passages is not")
    return Labelled(Case(row["question"], row["answer"], passages), labels)
