"""Ragas' figures over loopback, from a server that answers in the formats it asks for. Those that
need Ragas itself run where the extra ``eval`` is installed."""

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.evaluation import ragas_scores, sections
from llmtwin_assets.evaluation.ragas_scores import Row
from llmtwin_assets.settings import BadSettingError, from_environment
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.evaluation.test_knowledge import embed
from llmtwin_assets_tests.resources.test_chat_model import at_once
from resources.chat_model import ChatModel, KeyNotAcceptedError, Prices, SilentModelError

needs_ragas = pytest.mark.skipif(not find_spec("ragas"), reason="the extra eval is not installed")
without_ragas = pytest.mark.skipif(bool(find_spec("ragas")), reason="the extra eval is installed")


def row(number: int, faithful: bool = True) -> Row:
    said = f"Copper number {number} carries the current well."
    passages = [f"It is known that {said}", "Wool keeps sheep warm in the winter."]
    return Row(
        f"What carries current number {number}?",
        said if faithful else f"Gold number {number} sings in the night.",
        passages,
        said,
    )


def asked(messages: list[dict[str, str]]) -> dict[str, Any]:
    """The input that Ragas put at the end of its prompt."""
    text = messages[0]["content"].rpartition("\ninput: ")[2].removesuffix("Output: ")
    found: dict[str, Any] = json.loads(text)
    return found


def answering(messages: list[dict[str, str]]) -> str:
    """What a careful reader answers to each of the five prompts."""
    given, kind = asked(messages), messages[0]["content"]
    if '"title": "StatementGeneratorOutput"' in kind:
        return json.dumps({"statements": [given["answer"]]})
    if '"title": "NLIStatementOutput"' in kind:
        verdicts = [
            {"statement": each, "reason": "read", "verdict": int(each in given["context"])}
            for each in given["statements"]
        ]
        return json.dumps({"statements": verdicts})
    if '"title": "AnswerRelevanceOutput"' in kind:
        number = re.search(r"number (\d+)", given["response"])
        assert number
        about = "What carries current" if "Copper" in given["response"] else "Who sings at night,"
        return json.dumps({"question": f"{about} number {number[1]}?", "noncommittal": 0})
    if '"title": "ContextPrecisionOutput"' in kind:
        useful = int(given["answer"] in given["context"])
        return json.dumps({"reason": "read", "verdict": useful})
    assert '"title": "ContextRecallOutput"' in kind
    found = {"statement": given["answer"], "reason": "read",
             "attributed": int(given["answer"] in given["context"])}  # fmt: skip
    return json.dumps({"classifications": [found]})


def model(url: str, path: Path, **options: Any) -> ChatModel:
    return ChatModel(url, "judge", path / "replies.sqlite", wait=at_once, **options)


def scored(
    tmp_path: Path,
    answer: Callable[[list[dict[str, str]]], str] = answering,
    rows: list[Row] | None = None,
    **options: Any,
) -> dict[str, Any]:
    with serving(ChatServer(answer)) as url:
        given = rows or [row(number) for number in range(4)]
        found = ragas_scores.scores(given, model(url, tmp_path, **options), embed)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


@needs_ragas
def test_answers_that_say_what_their_passages_say_get_full_marks(tmp_path: Path) -> None:
    found = scored(tmp_path)
    assert {name: each["value"] for name, each in found["scores"].items()} == {
        "faithfulness": 1.0,
        "answer relevancy": 1.0,
        "context precision": 1.0,
        "context recall": 1.0,
    }
    assert found["unanswered"] == {}
    assert found["cost"]["calls"] == 4 * 6  # two passages each
    assert found["cost"]["calls"] <= found["estimate"]["calls"]
    assert found["cost"]["tokens_in"] <= found["estimate"]["tokens_in"]
    text = "".join(sections.ragas({"ragas": found}))
    assert '<th scope="row">faithfulness</th><td>1.00 (1.00\xa0to\xa01.00)</td><td>4</td>' in text


@needs_ragas
def test_invented_answers_are_neither_faithful_nor_relevant(tmp_path: Path) -> None:
    found = scored(tmp_path, rows=[row(number, faithful=number < 2) for number in range(4)])
    scores = found["scores"]
    assert scores["faithfulness"]["value"] == 0.5
    assert scores["faithfulness"]["low"] < 0.5 < scores["faithfulness"]["high"]
    assert 0.5 < scores["answer relevancy"]["value"] < 0.9
    assert scores["context precision"]["value"] == 1


@needs_ragas
def test_replies_that_cannot_be_read_cost_no_other_and_are_counted(tmp_path: Path) -> None:
    def stubborn(messages: list[dict[str, str]]) -> str:
        first = "number 1 " in json.dumps(asked(messages[:1]))
        return "I would rather not." if first else answering(messages)

    found = scored(tmp_path, stubborn)
    assert found["unanswered"] == {"unreadable": 4}
    assert all(each["answers"] == 3 for each in found["scores"].values())
    assert found["scores"]["faithfulness"]["value"] == 1


@needs_ragas
def test_a_second_time_costs_nothing_and_a_budget_holds(tmp_path: Path) -> None:
    prices = Prices(1.0, 1.0)
    with serving(ChatServer(answering)) as url:
        rows = [row(number) for number in range(4)]
        once = ragas_scores.scores(rows, model(url, tmp_path, prices=prices), embed)
        again = ragas_scores.scores(rows, model(url, tmp_path, prices=prices), embed)
        limit = once["estimate"]["money"] / 8
        limited = model(url, tmp_path / "other", prices=prices, budget=limit)
        short = ragas_scores.scores(rows, limited, embed)
        assert limited.spent().money <= limit  # type: ignore[operator]
    assert again["cost"]["calls"] == 0
    assert again["scores"] == once["scores"]
    assert short["unanswered"]["budget"] > 0


@needs_ragas
def test_an_endpoint_that_is_down_or_shut_is_an_error_and_no_figure(tmp_path: Path) -> None:
    with pytest.raises(SilentModelError):
        ragas_scores.scores([row(1)], model("http://127.0.0.1:9/v1", tmp_path), embed)
    locked = ChatServer(answering, share=1.0, faults=("locked",))
    with serving(locked) as url, pytest.raises(KeyNotAcceptedError):
        ragas_scores.scores([row(1)], model(url, tmp_path), embed)


@needs_ragas
def test_answers_without_text_or_passages_are_left_out(tmp_path: Path) -> None:
    empty = [Row("What?", " ", ["So."], "So."), Row("What?", "So.", [], "So.")]
    found = scored(tmp_path, rows=[*empty, row(1)])
    assert found["answers"] == 1


@without_ragas
def test_a_setting_that_asks_for_it_says_what_is_missing(tmp_path: Path) -> None:
    judge = model("http://127.0.0.1:9/v1", tmp_path)
    with pytest.raises(ragas_scores.RagasMissingError, match="extra 'eval'"):
        ragas_scores.asked([judge])


def test_the_setting_is_true_or_false() -> None:
    assert not from_environment({}).ragas
    assert from_environment({"LLMTWIN_RAGAS": "True"}).ragas
    with pytest.raises(BadSettingError):
        from_environment({"LLMTWIN_RAGAS": "maybe"})
