"""Marks that a language model gives training data, from a real endpoint on loopback."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from llmtwin_assets.datasets import marking, quality
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.datasets.rows import frame, row
from llmtwin_assets_tests.resources.test_chat_model import at_once
from resources.chat_model import ChatModel, KeyNotAcceptedError, Prices, SilentModelError

ROWS = [row(number) for number in range(12)]
BELONG = {each.instruction: each.answer for each in ROWS}
Messages = Sequence[dict[str, str]]


def shown(messages: Messages) -> tuple[str, str]:
    """Request and text of a prompt."""
    request, _, text = messages[0]["content"].partition("Request: ")[2].partition("\n\nText:\n")
    return request, text


def fair(messages: Messages) -> str:
    """Full marks for what belongs together, the lowest for the rest; row 5 is so-so."""
    request, text = shown(messages)
    if not BELONG[request].startswith(text):
        return json.dumps({"helpful": 1, "fit": 1})
    return json.dumps(
        {"helpful": 2, "fit": 2} if "number 5." in request else {"helpful": 4, "fit": 3}
    )


def judge(url: str, folder: Path, **options) -> ChatModel:
    return ChatModel(url, "a-judge", folder / "marks.sqlite", wait=at_once, **options)


def test_rows_with_low_marks_go_and_the_others_say_what_theirs_were(tmp_path: Path) -> None:
    with serving(ChatServer(fair)) as url:
        marked = marking.mark(judge(url, tmp_path), ROWS)
    assert (marked.because, dict(marked.failures)) == ("", {})
    found = quality.marked(quality.judged(frame(*ROWS), []), marked.marks)
    [gone] = found.dropped.iter_rows(named=True)
    assert (gone["id"], gone["reason"], gone["detail"]) == ("r5", "low marks", "2.0 of 4")
    assert all(why.endswith(", marked 3.5 of 4") for why in found.kept["why"])
    figures = marked.figures()
    assert (figures["marked"], figures["marks: calls so far"]) == (12, 24)
    assert figures["mean mark"] == round((11 * 3.5 + 2) / 12, 2)


def test_rows_without_a_mark_stay_as_they_were() -> None:
    found = quality.judged(frame(*ROWS), [])
    assert quality.marked(found, {}).kept.equals(found.kept)
    some = quality.marked(found, {"r1": 4.0}).kept
    assert sum("marked" in why for why in some["why"]) == 1
    assert quality.marked(quality.judged(frame(), []), {}).kept.height == 0


@pytest.mark.parametrize(
    ("says", "because"),
    [
        (lambda messages: {"helpful": 4, "fit": 4}, r"in 50% of 12 planted pairs only"),
        (lambda messages: json.loads(fair(messages)) if len(shown(messages)[1]) % 2 else
         {"helpful": 4, "fit": 4}, "planted pairs only"),
    ],
)  # fmt: skip
def test_a_judge_that_cannot_tell_right_from_wrong_is_not_believed(
    tmp_path: Path, says: Callable[[Messages], dict], because: str
) -> None:
    with serving(ChatServer(lambda messages: json.dumps(says(messages)))) as url:
        marked = marking.mark(judge(url, tmp_path), ROWS)
    assert marked.marks == {}
    assert because.replace(r"\%", "%") in marked.because
    assert quality.marked(quality.judged(frame(*ROWS), []), marked.marks).kept.height == 12


def test_replies_that_cannot_be_read_are_asked_for_again_then_counted(tmp_path: Path) -> None:
    def answer(messages: Messages) -> str:
        request = shown(messages)[0]
        if "number 3." in request:
            return json.dumps({"helpful": 9, "fit": "good"})
        if "number 4." in request and len(messages) == 1:
            return "I would say three."
        return fair(messages)

    server = ChatServer(answer)
    with serving(server) as url:
        marked = marking.mark(judge(url, tmp_path), ROWS)
    assert dict(marked.failures) == {"unreadable": 1}
    assert marked.marks.keys() == {each.id for each in ROWS} - {"r3"}
    assert marked.figures()["not marked: unreadable"] == 1


def test_faults_on_the_way_cost_no_mark_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    told: list[str] = []
    faults = ("busy", "failing", "hanging up", "cut", "empty", "malformed")
    server = ChatServer(fair, share=0.4, faults=faults)
    with serving(server) as url:
        priced = judge(url, tmp_path, prices=Prices(1.0, 2.0))
        first = marking.mark(priced, ROWS, told.append)
        served = server.served.total()
        assert marking.mark(priced, ROWS, told.append).marks == first.marks
    assert len(first.marks) == 12
    assert server.served.total() == served
    assert told[0].startswith("marks: at most 24 calls, ")
    assert told[2].startswith("marks: at most 0 calls, ")
    assert first.figures()["marks: cost so far"] > 0


def test_the_budget_ends_it_and_what_was_marked_counts(tmp_path: Path) -> None:
    with serving(ChatServer(fair)) as url:
        marked = marking.mark(judge(url, tmp_path, budget=1_100, concurrent=1), ROWS)
    assert 0 < len(marked.marks) < 12
    assert len(marked.marks) + marked.failures["budget"] == 12
    assert marked.cost.tokens_in + marked.cost.tokens_out <= 1_100


def test_a_silent_endpoint_and_a_wrong_key_say_so(tmp_path: Path) -> None:
    for fault, error in (("failing", SilentModelError), ("locked", KeyNotAcceptedError)):
        server = ChatServer(fair, share=1.0, faults=(fault,), times=99)
        with serving(server) as url, pytest.raises(error):
            marking.mark(judge(url, tmp_path / fault), ROWS)


def test_no_rows_ask_nothing(tmp_path: Path) -> None:
    marked = marking.mark(judge("http://127.0.0.1:9/v1", tmp_path), [])
    assert (marked.marks, marked.cost.calls) == ({}, 0)


def test_two_answers_are_marked_in_both_orders_at_one_length(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def answer(messages: Messages) -> str:
        first, _, second = (
            messages[0]["content"].partition("Text A:\n")[2].partition("\n\nText B:\n")
        )
        seen.append((first, second))
        if "broken" in messages[0]["content"]:
            return "A"
        likes = [4 if "good" in text else 2 for text in (first, second)]
        likes[0] = min(4, likes[0] + 1)  # it prefers what comes first
        return json.dumps(
            {side: {"helpful": n, "fit": n} for side, n in zip("AB", likes, strict=True)}
        )

    pairs = [
        ("Say it.", "good words of it " * 9, "other words of it " * 30),
        ("Say it again.", "one text of it", "another text of it"),
        ("A broken one.", "one text of it", "another text of it"),
    ]
    with serving(ChatServer(answer)) as url:
        found = marking.of_two(judge(url, tmp_path), pairs)
    assert found == [(4.0, 2.5), (2.5, 2.5), None]
    assert len(seen) >= 6
    assert all(len(first.split()) == len(second.split()) for first, second in seen)
