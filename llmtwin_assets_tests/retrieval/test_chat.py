"""Retrieval with a chat model over HTTP: what it adds, and that nothing is lost without it."""

import json
from pathlib import Path

import pytest

from llmtwin_assets.overview import FEATURES
from llmtwin_assets.retrieval.chat import NoReplyError, asking, chat_model
from llmtwin_assets.retrieval.search import VARIANTS, steps_for, understand
from llmtwin_assets.retrieval.self_query import Aim
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.graph import World, failure
from llmtwin_assets_tests.writing import authors_yaml, write_essays


def model_server(**faults) -> ChatServer:
    """Answers each of retrieval's three prompts."""

    def answer(messages: list[dict[str, str]]) -> str:
        prompt = messages[0]["content"]
        if "other wordings" in prompt:
            return json.dumps(["tall crossings", "spans over water"])
        if "which of the writer's documents" in prompt.lower():
            return json.dumps({"kind": "article", "platform": None, "since": "2020-01-01"})
        return json.dumps({"question": "How do unrelated matters usually conclude nowadays?"})

    return ChatServer(answer, **faults)


def at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LLMTWIN_CHAT_URL", url)
    monkeypatch.setenv("LLMTWIN_CHAT_MODEL", "small")


def test_no_setting_is_no_chat_model(tmp_path: Path) -> None:
    assert asking(chat_model(tmp_path)) is None
    assert steps_for("", None).variants == 0


def test_a_question_is_understood_by_the_model_and_each_of_its_replies_paid_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = model_server()
    with serving(server) as url:
        at(monkeypatch, url)
        steps = steps_for("", asking(chat_model(tmp_path), waiting=True))
        assert steps.variants == VARIANTS
        found = understand("Large bridges?", steps)
        assert found.wordings == ("Large bridges?", "tall crossings", "spans over water")
        assert found.aim.kind == "article"
        assert found.aim.published is not None
        assert understand("Large bridges?", steps) == found
    assert sorted(server.asked.values()) == [1, 1]


@pytest.mark.parametrize("fault", ["failing", "refusing", "hanging up", "empty"])
def test_a_model_that_fails_a_waiting_reader_is_asked_once_and_the_plain_way_is_taken(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = model_server(share=1.1, faults=(fault,), times=100)
    with serving(server) as url:
        at(monkeypatch, url)
        chat = asking(chat_model(tmp_path), waiting=True)
        assert chat is not None
        with pytest.raises(NoReplyError):
            chat("Anything?")
        found = understand("What have you written on bridges?", steps_for("", chat))
    assert found.wordings == ("What have you written on bridges?", "written bridges")
    assert found.aim == Aim()
    assert set(server.asked.values()) == {1}


def test_the_report_asks_the_models_questions_and_shows_what_it_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_essays(tmp_path / "ada", 8)
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "ada")
    world = World(tmp_path / "home", registry, tiny_model.build(tmp_path / "base"))
    with serving(model_server()) as url:
        at(monkeypatch, url)
        result = world.materialise("ada", [*FEATURES, "retrieval_report"])
    report = world.artifacts.current("ada", "retrieval_report")
    assert report is not None, failure(result)
    assert report.facts["scores"]["paraphrased"]["questions"] > 4
    asked = {name: scores["questions"] for name, scores in report.facts["ways"].items()}
    assert asked["without the chat model"] == asked["as served"]
