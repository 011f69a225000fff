from collections.abc import Sequence
from pathlib import Path

import pytest

from llmtwin_assets.evaluation import judge
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.resources.test_chat_model import at_once
from resources.chat_model import ChatModel

SUBJECTS = [f"subject {number}" for number in range(12)]
OWN = [f"Of matter {number} one writes, with gravity and measure, thus." for number in range(12)]
SYSTEMS = {
    "base": [f"Hey! Matter {number} is super cool, right?" for number in range(12)],
    "few_shot": [f"Well, matter {number} is kind of a thing." for number in range(12)],
    "twin": [f"Of matter {number} it is said, with gravity, so." for number in range(12)],
}


def texts(messages: list[dict[str, str]]) -> tuple[str, str]:
    first, _, second = messages[0]["content"].partition("Text A:")[2].partition("Text B:")
    return first, second


def good(messages: list[dict[str, str]]) -> str:
    """Knows the author: prefers gravity, in an order that makes sense."""

    def likeness(text: str) -> int:
        return ("gravity" in text) + text.strip().startswith("Of matter") + ("thus." in text)

    first, second = texts(messages)
    return f'{{"more_like": "{"A" if likeness(first) >= likeness(second) else "B"}"}}'


def ask(url: str, path: Path):
    return ChatModel(url, "judge", path / "replies.sqlite", wait=at_once).answer


def verdict(answer, tmp_path: Path, systems=SYSTEMS) -> dict:
    found = judge.pairs(SUBJECTS, systems, OWN, seed=1)
    with serving(ChatServer(answer)) as url:
        return judge.judge(found, OWN, ask(url, tmp_path))


def test_a_good_judge_is_believed_and_says_who_is_nearer(tmp_path: Path) -> None:
    found = verdict(good, tmp_path)
    assert not found["void"], found["because"]
    assert found["scores"]["twin over base"]["value"] == 1
    assert found["scores"]["twin over base"]["low"] > 0.7
    assert found["scores"][judge.AUTHOR]["value"] >= judge.LEAST_RIGHT


@pytest.mark.parametrize("reply", ['{"more_like": "A"}', '{"more_like": "B"}'])
def test_a_judge_that_always_takes_one_side_is_void(tmp_path: Path, reply: str) -> None:
    found = verdict(lambda messages: reply, tmp_path)
    assert found["void"]
    assert "same position" in found["because"]
    assert found["disagreed"] == len(SUBJECTS) * 4
    assert found["scores"]["twin over base"]["value"] == 0.5


def test_a_judge_that_likes_a_pleasant_tone_is_void(tmp_path: Path) -> None:
    def cheerful(messages: list[dict[str, str]]) -> str:
        return f'{{"more_like": "{"A" if "super" in texts(messages)[0] else "B"}"}}'

    found = verdict(cheerful, tmp_path)
    assert found["void"]
    assert "planted pairs" in found["because"]


def test_a_judge_that_cannot_be_read_is_counted_and_never_fatal(tmp_path: Path) -> None:
    found = verdict(lambda messages: "It depends.", tmp_path)
    assert found["void"]
    assert found["unanswered"] == len(SUBJECTS) * 4
    assert found["scores"] == {}


def test_the_judge_sees_the_author_and_not_who_wrote_what(tmp_path: Path) -> None:
    seen: Sequence[str] = []

    def spying(messages: list[dict[str, str]]) -> str:
        seen.append(messages[0]["content"])  # type: ignore[attr-defined]
        return good(messages)

    verdict(spying, tmp_path)
    assert all(OWN[0] in text and OWN[1] in text for text in seen)
    assert not any(name in text for text in seen for name in ("twin", "base", "few"))
