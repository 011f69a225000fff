import json
import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from llmtwin_assets.datasets import quality, teacher
from llmtwin_assets.datasets.teacher import TeacherFailedError, items, teach
from llmtwin_assets.records import Document, InstructSample, to_frame
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.resources.test_chat_model import at_once
from llmtwin_assets_tests.writing import paragraph
from resources.chat_model import ChatModel, Prices


def document(number: int, split: str = "train", kind: str = "article") -> Document:
    rng = random.Random(number)
    text = "\n\n".join(paragraph(rng) for _ in range(5))
    return Document(
        id=f"d{number}", kind=kind, url="u", title=f"Title {number}", published=None, text=text,
        search=text, raw_hash="", split="held-out" if split == "held-out" else "train",
    )  # fmt: skip


DOCUMENTS = [document(1), document(2), document(3, "held-out"), document(4, kind="repository")]


def passage(messages: Sequence[dict[str, str]]) -> str:
    return messages[1]["content"].partition("Passage:\n\n")[2]


def good(messages: Sequence[dict[str, str]]) -> str:
    """Says something of its own, other words for every passage and kind."""
    names = " ".join(sorted(set(passage(messages).split()))[::9][:6]).replace('"', "")
    return json.dumps({"text": f"What about {names}: {messages[1]['content'][:24]}?"})


def model(url: str, folder: Path, **options) -> ChatModel:
    return ChatModel(url, "a-teacher", folder / "teacher.sqlite", wait=at_once, **options)


def test_every_passage_gets_several_kinds_and_every_document_a_whole_piece(tmp_path: Path) -> None:
    server = ChatServer(good)
    with serving(server) as url:
        taught = teach(model(url, tmp_path), DOCUMENTS)
    kinds = {row.kind for row in taught.rows}
    assert kinds == {"write", "explain", "answer", "continue", "rewrite", "whole"}
    assert len(taught.rows) == 2 * (5 * teacher.PER_PASSAGE + 1)
    texts = {each.id: each.text for each in DOCUMENTS}
    for row in taught.rows:
        assert texts[row.document_id][row.start : row.end] == row.answer
        assert (row.origin, row.written_by, row.split) == ("author", "a-teacher", "train")
    whole = next(row for row in taught.rows if row.kind == "whole")
    assert whole.answer == texts[whole.document_id]
    assert "Title 1" in whole.instruction
    sent = " ".join(server.asked)
    for untaught in DOCUMENTS[2:]:
        assert not any(part in sent for part in untaught.text.split("\n\n"))
    found = quality.judged(to_frame(InstructSample, taught.rows), [DOCUMENTS[2].text])
    assert found.funnel == {}


def test_a_reply_that_cannot_be_used_is_asked_for_again_with_the_reason_then_left_out(
    tmp_path: Path,
) -> None:
    """The first passage's are quoted for ever, the second's are mended when the reason is shown."""
    parts = DOCUMENTS[0].text.split("\n\n")

    def answer(messages: Sequence[dict[str, str]]) -> str:
        text = passage(messages)
        if text == parts[0]:
            return json.dumps({"text": text[:80]})
        if text == parts[1] and len(messages) == 2:
            return '{"text": "so"}'
        if text == parts[2] and len(messages) == 2:
            return json.dumps({"text": "word " * 500})
        if len(messages) > 2 and "500 words" not in messages[-1]["content"]:
            assert "at least 8 characters" in messages[-1]["content"]
        return good(messages)

    with serving(ChatServer(answer)) as url:
        taught = teach(model(url, tmp_path), DOCUMENTS[:1])
    assert len(taught.rows) == 5 * teacher.PER_PASSAGE + 1 - teacher.PER_PASSAGE
    assert len(taught.left_out) == teacher.PER_PASSAGE
    assert all("it quotes the passage" in line for line in taught.left_out)


def test_the_cost_is_told_before_the_first_call_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    server, told = ChatServer(good), []
    with serving(server) as url:
        priced = model(url, tmp_path, prices=Prices(1.0, 2.0))
        first = teach(priced, DOCUMENTS, lambda line: told.append((line, len(server.asked))))
        again = teach(priced, DOCUMENTS)
    [(line, asked_before)] = told
    assert asked_before == 0
    assert line.startswith("the teacher is asked 32 times, ")
    assert "in money" in line
    assert again.rows == first.rows
    assert server.asked.total() == 32
    assert again.cost == first.cost
    assert teacher.figures(first)["teacher: calls so far"] == 32


def test_the_budget_stops_the_teacher_and_what_was_paid_for_is_used(tmp_path: Path) -> None:
    with serving(ChatServer(good)) as url:
        taught = teach(model(url, tmp_path, budget=2_000, concurrent=1), DOCUMENTS)
    assert 0 < len(taught.rows) < 32
    assert len(taught.rows) + len(taught.left_out) == 32
    assert "the next call could cost" in taught.left_out[-1]
    assert taught.cost.tokens_in + taught.cost.tokens_out <= 2_000


def test_faults_on_the_way_cost_no_item(tmp_path: Path) -> None:
    faults = ("busy", "failing", "hanging up", "cut", "empty", "malformed")
    with serving(ChatServer(good, share=0.4, faults=faults)) as url:
        taught = teach(model(url, tmp_path), DOCUMENTS)
    assert len(taught.rows) == 32


def test_an_endpoint_that_fails_for_most_stops_the_run_and_what_was_answered_is_kept(
    tmp_path: Path,
) -> None:
    failing = ChatServer(good, share=0.5, faults=("failing",), times=99)
    with serving(failing) as url:
        with pytest.raises(TeacherFailedError, match=r"a-teacher: it failed for \d+ of 32 items"):
            teach(model(url, tmp_path), DOCUMENTS)
        answered = failing.served.total()
        failing.share = 0.0
        assert len(teach(model(url, tmp_path), DOCUMENTS).rows) == 32
    assert failing.served.total() == 32
    assert answered > 5


def test_long_documents_and_single_passages_are_not_asked_for_as_a_whole() -> None:
    rng = random.Random(1)
    long = "\n\n".join(paragraph(rng) for _ in range(30))
    one = paragraph(rng)
    documents = [Document(**{**vars_of(document(1)), "text": text}) for text in (long, one)]
    assert not any(item.name == "whole" for item in items(documents))
    assert pl.Series([item.name for item in items(documents)]).n_unique() == len(teacher.KINDS)


def vars_of(each: Document) -> dict:
    return {name: getattr(each, name) for name in each.__slots__}
