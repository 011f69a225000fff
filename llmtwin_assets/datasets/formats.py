"""Five ways to write instruction and answer down, and how each is read back: Alpaca, ShareGPT,
OpenAI messages, OASST (OpenAssistant's flat messages) and raw text. Which of them a record has is
seen from its keys. Where records are kept is decided by the file's ending: JSON lines (``.jsonl``),
one JSON list (``.json``), ``.parquet``, or paragraphs of plain text (``.txt``).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets.records import InstructSample, content_id
from resources.errors import LlmTwinError

ASKS, SAYS = ("human", "user"), ("gpt", "assistant")
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, IndexError, StopIteration)
Record = dict[str, Any]


class BadDatasetFileError(LlmTwinError):
    """A file of training data that cannot be read at all."""


@dataclass(frozen=True)
class Pair:
    """An instruction (empty in raw text) and its answer."""

    instruction: str
    answer: str


def alpaca(row: InstructSample) -> list[Record]:
    """``instruction``, ``input`` (empty) and ``output``."""
    return [{"instruction": row.instruction, "input": "", "output": row.answer}]


def sharegpt(row: InstructSample) -> list[Record]:
    """``conversations`` of turns ``from`` human and gpt."""
    turns = (("human", row.instruction), ("gpt", row.answer))
    return [{"conversations": [{"from": who, "value": text} for who, text in turns]}]


def openai(row: InstructSample) -> list[Record]:
    """``messages`` of ``role`` and ``content``."""
    turns = (("user", row.instruction), ("assistant", row.answer))
    return [{"messages": [{"role": who, "content": text} for who, text in turns]}]


def oasst(row: InstructSample) -> list[Record]:
    """Two messages of one tree: the prompter's and, below it, the assistant's."""
    asked, said = row.id, content_id(row.id, "answer")
    common = {"message_tree_id": asked, "lang": row.language or "und"}
    return [
        {"message_id": asked, "parent_id": None, "role": "prompter", "text": row.instruction}
        | common,
        {"message_id": said, "parent_id": asked, "role": "assistant", "text": row.answer} | common,
    ]


def raw(row: InstructSample) -> list[Record]:
    """The answer alone, as ``text``: for training that only goes on from text."""
    return [{"text": row.answer}]


FORMATS: dict[str, Callable[[InstructSample], list[Record]]] = {
    each.__name__: each for each in (alpaca, sharegpt, openai, oasst, raw)
}


def lines(rows: Iterable[InstructSample], format_: str) -> Iterator[str]:
    """The rows as JSON lines in one of ``FORMATS``."""
    for row in rows:
        for record in FORMATS[format_](row):
            yield json.dumps(record, ensure_ascii=False) + "\n"


def read(path: Path) -> tuple[list[Pair], list[str]]:
    """The pairs of a file in any of ``FORMATS``, and what is wrong with the records that are none.
    Of a conversation the first question and its answer count. Raises ``BadDatasetFileError``."""
    pairs: list[Pair] = []
    wrong: list[str] = []
    prompts: dict[Any, str] = {}  # OASST: message -> text, of those that may be answered
    answered: set[Any] = set()
    for number, record in enumerate(_records(path), 1):
        try:
            found = _pair(record, prompts, answered)
        except MALFORMED:
            wrong.append(f"record {number} is no pair in a format that is known")
            continue
        if found is not None:
            pairs.append(found)
    return pairs, wrong


def _pair(record: Any, prompts: dict[Any, str], answered: set[Any]) -> Pair | None:
    """The pair of a record; None where it is half of one (OASST), or a further answer."""
    if "message_id" in record:
        return _of_tree(record, prompts, answered)
    if "conversations" in record:
        turns = [(turn["from"], turn["value"]) for turn in record["conversations"]]
        return _first(turns)
    if "messages" in record:
        return _first([(turn["role"], turn["content"]) for turn in record["messages"]])
    said = next(key for key in ("output", "answer", "text") if key in record)  # answer: our table
    asked = [_text(record.get(key) or "") for key in ("instruction", "input")]
    return Pair("\n\n".join(filter(None, asked)), _text(record[said]))


def _of_tree(
    message: Mapping[str, Any], prompts: dict[Any, str], answered: set[Any]
) -> Pair | None:
    text, parent = _text(message["text"]), message.get("parent_id")
    if parent is None:
        prompts[message["message_id"]] = text
        return None
    if message["role"] != "assistant" or parent in answered or parent not in prompts:
        return None
    answered.add(parent)
    return Pair(prompts[parent], text)


def _first(turns: list[tuple[str, Any]]) -> Pair:
    spoken = [turn for turn in turns if turn[0] != "system"]
    (who, question), (whom, answer) = spoken[0], spoken[1]
    if who not in ASKS or whom not in SAYS:
        raise ValueError("it does not begin with a question and an answer")
    return Pair(_text(question), _text(answer))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _records(path: Path) -> Iterator[Any]:
    """The records of a file; a line that is no JSON comes as None."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
            return
        text = path.read_text("utf-8-sig")
        if path.suffix == ".json":
            found = json.loads(text)
            yield from found if isinstance(found, list) else [found]
        elif path.suffix == ".txt":
            yield from ({"text": part.strip()} for part in text.split("\n\n") if part.strip())
        else:
            yield from map(_json, filter(str.strip, text.split("\n")))
    except (OSError, ValueError) as error:
        raise BadDatasetFileError(
            str(path),
            f"it cannot be read ({type(error).__name__})",
            "Give a .jsonl, .json, .txt or .parquet file, in UTF-8 where it is text",
        ) from error


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise ValueError("not a Parquet file") from error
    yield from frame.iter_rows(named=True)


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
