"""Judges over loopback: good ones, bad ones, several that agree or do not."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.evaluation import judge, judges_page, panel
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.resources.test_chat_model import at_once
from resources.chat_model import ChatModel, KeyNotAcceptedError, Prices, SilentModelError

Answer = Callable[[list[dict[str, str]]], str]
COUNT = 6
SUBJECTS = [f"What is matter {number}?" for number in range(COUNT)]
OWN = [f"Of matter {number} one writes, with gravity and measure, thus." for number in range(COUNT)]
SYSTEMS = {
    "base": [f"Hey! Matter {number} is super cool, right?" for number in range(COUNT)],
    "few_shot": [f"Well, matter {number} is kind of a thing." for number in range(COUNT)],
    "twin": [f"Of matter {number} it is said, with gravity, so." for number in range(COUNT)],
}
ASKED = panel.questions(SUBJECTS, SYSTEMS, OWN, OWN, seed=1)


def texts(messages: list[dict[str, str]]) -> tuple[str, str]:
    first, _, second = messages[0]["content"].partition("Text A:")[2].partition("Text B:")
    return first, second


def preferring(likeness: Callable[[str], int]) -> Answer:
    """Names the text that is more like the author by this, A where both are."""

    def answer(messages: list[dict[str, str]]) -> str:
        first, second = texts(messages)
        return f'{{"more_like": "{"A" if likeness(first) >= likeness(second) else "B"}"}}'

    return answer


def likeness(text: str) -> int:
    return ("gravity" in text) + text.strip().startswith("Of matter") + ("thus." in text)


def marking(messages: list[dict[str, str]]) -> str:
    """Marks as one does who can read."""
    question, _, answer = messages[0]["content"].partition("\n\nQuestion: ")[2].partition("Answer:")
    number = question.split("matter ")[1].split("?")[0]
    text = answer.strip()
    return json.dumps(
        {
            "accuracy": 3 if f"matter {number} " in text.lower() else 1,
            "style": 3 if text.startswith("Of matter") else 2 if text.endswith(("?", ".")) else 1,
        }
    )


def judging(pairs: Answer, marks: Answer = marking) -> Answer:
    def answer(messages: list[dict[str, str]]) -> str:
        return (pairs if "Text A:" in messages[0]["content"] else marks)(messages)

    return answer


GOOD = judging(preferring(likeness))


def model(url: str, path: Path, name: str = "judge", **options: Any) -> ChatModel:
    return ChatModel(url, name, path / "replies.sqlite", wait=at_once, **options)


def said(tmp_path: Path, *answers: Answer, asked: panel.Asked = ASKED) -> dict[str, Any]:
    """What a panel of judges with these answers says."""
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(ChatServer(answer))) for answer in answers]
        judges = [model(url, tmp_path, f"judge {n}") for n, url in enumerate(urls)]
        found = panel.ask(judges, asked)
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two good judges, and one that always names A and gives no marks."""
    sided = judging(lambda messages: '{"more_like": "A"}', lambda messages: "I like it.")
    return said(tmp_path_factory.mktemp("three"), GOOD, GOOD, sided)


def test_good_judges_are_believed_and_say_who_is_nearer(three: dict[str, Any]) -> None:
    assert not three["void"], three["because"]
    assert [each["void"] for each in three["judges"]] == [False, False, True]
    for found in (three, three["judges"][0]):
        assert found["scores"]["twin over base"]["value"] == 1
        assert found["scores"]["twin over base"]["low"] > 0.6
        assert found["scores"][judge.AUTHOR]["low"] > judge.CHANCE


def test_good_judges_mark_accuracy_and_style(three: dict[str, Any]) -> None:
    found = three["marks"]
    assert set(found) == {"held_out", "base", "few_shot", "twin"}
    assert found["twin"]["accuracy"]["value"] == found["twin"]["style"]["value"] == 3
    assert found["base"]["style"]["value"] == 2
    assert found["base"]["answers"] == COUNT


@pytest.mark.parametrize("reply", ['{"more_like": "A"}', '{"more_like": "B"}'])
def test_a_judge_that_always_takes_one_side_is_void(tmp_path: Path, reply: str) -> None:
    found = said(tmp_path, judging(lambda messages: reply))
    assert found["void"]
    assert "same position" in found["because"]
    assert found["judges"][0]["disagreed"] == COUNT * 4
    assert found["scores"] == found["judges"][0]["scores"] == {}


def test_a_judge_that_likes_a_pleasant_tone_is_void(tmp_path: Path) -> None:
    found = said(tmp_path, judging(preferring(lambda text: "super" in text)))
    assert found["void"]
    assert "planted pairs" in found["because"]


@pytest.mark.parametrize("mark", [1, 2, 3])
def test_a_judge_that_always_gives_the_same_mark_is_void(tmp_path: Path, mark: int) -> None:
    reply = json.dumps({"accuracy": mark, "style": mark})
    found = said(tmp_path, judging(preferring(likeness), lambda messages: reply))
    assert found["void"]
    assert "marks for style" in found["because"]
    assert "marks for accuracy" in found["because"]


def test_right_answers_that_may_be_chance_do_not_make_a_judge(tmp_path: Path) -> None:
    """Two planted pairs, both right, prove little; four of six are no sure thing either."""
    few = {name: written[:2] for name, written in SYSTEMS.items()}
    found = said(tmp_path, GOOD, asked=panel.questions(SUBJECTS[:2], few, OWN[:2], OWN, 1))
    assert found["void"]
    assert "may be chance" in found["because"]

    def often_wrong(text: str) -> int:
        known = likeness(text)
        return -known if any(f"atter {number} " in text for number in (1, 2)) else known

    assert said(tmp_path, judging(preferring(often_wrong)))["void"]


def test_a_judge_that_was_not_tried_is_not_believed(tmp_path: Path) -> None:
    """Without the base model's answers there are no pairs against them, and no control by them."""
    twin = {"twin": SYSTEMS["twin"]}
    found = said(tmp_path, GOOD, asked=panel.questions(SUBJECTS, twin, OWN, OWN, 1))
    assert found["void"]
    assert f"no planted pair with {judge.AUTHOR}" in found["because"]


def test_a_judge_that_does_not_answer_the_planted_pairs_is_void(tmp_path: Path) -> None:
    def evasive(messages: list[dict[str, str]]) -> str:
        planted = any(own in text for own in OWN for text in texts(messages))
        return "It depends." if planted else preferring(likeness)(messages)

    found = said(tmp_path, judging(evasive))
    assert found["void"]
    assert found["judges"][0]["unanswered"] == {"unreadable": 4 * COUNT}


def test_a_judge_that_cannot_be_read_is_counted_and_never_fatal(tmp_path: Path) -> None:
    found = said(tmp_path, lambda messages: "It depends.", GOOD)
    assert not found["void"]
    assert [each["void"] for each in found["judges"]] == [True, False]
    asked = len(ASKED.prompts())
    assert found["judges"][0]["unanswered"] == {"unreadable": asked}
    assert found["judges"][0]["cost"]["calls"] == 3 * asked
    assert found["scores"]["twin over base"]["value"] == 1


def test_a_judge_sees_the_author_and_not_who_wrote_what(tmp_path: Path) -> None:
    seen: list[str] = []

    def spying(messages: list[dict[str, str]]) -> str:
        seen.append(messages[0]["content"])
        return GOOD(messages)

    said(tmp_path, spying)
    pairs = [text for text in seen if "Text A:" in text]
    assert len(pairs) == 2 * len(ASKED.pairs)
    assert all(OWN[0] in text and OWN[1] in text for text in pairs)
    assert not any(name in text for text in seen for name in ("twin", "base", "few"))


def test_judges_who_see_alike_agree(three: dict[str, Any]) -> None:
    found = three["agreement"]
    assert found["marks for style"] == {"units": 4 * COUNT, "equal": 1.0, "alpha": 1.0}
    alike = found["who is nearer to the author"]  # both prefer the twin, every time
    assert alike == {"units": 2 * COUNT, "equal": 1.0, "alpha": None}


def test_judges_who_see_differently_show_it(tmp_path: Path) -> None:
    def other(text: str) -> int:
        odd = any(f"atter {number} " in text for number in (1, 3, 5))
        return 3 * ("thus." in text and text.strip().startswith("Of")) + ("gravity" in text) * odd

    found = said(tmp_path, GOOD, judging(preferring(other)))
    assert not any(each["void"] for each in found["judges"]), found["because"]
    differs = found["agreement"]["who is nearer to the author"]
    assert differs["equal"] == 0.5
    assert differs["alpha"] < 0.2
    both = found["scores"]["twin over base"]["value"]
    assert both == pytest.approx(0.875)  # one says 1, the other 1 or undecided
    told = " ".join(judges_page.sentences(found))
    assert "say the same in 50% of the cases" in told


def test_the_cost_is_said_before_and_a_budget_ends_the_asking(tmp_path: Path) -> None:
    lines: list[str] = []
    server = ChatServer(GOOD)
    with serving(server) as url:
        known = model(url, tmp_path, prices=Prices(1.0, 1.0))
        most = known.estimate(ASKED.prompts()).money
        assert most is not None
        limited = model(url, tmp_path, prices=Prices(1.0, 1.0), budget=most / 20)

        def say(line: str) -> None:
            lines.append(f"{sum(server.asked.values())} asked: {line}")

        found = panel.ask([limited], ASKED, say)
        spent = limited.spent().money
    assert lines[0].startswith(f"0 asked: judge judge: at most {len(ASKED.prompts())} calls, ")
    assert "it may end before all is asked" in lines[0]
    assert found["void"]
    assert "its budget left" in found["because"]
    assert spent is not None
    assert 0 < spent <= most / 20


def test_what_was_judged_before_costs_nothing(tmp_path: Path) -> None:
    with serving(ChatServer(GOOD)) as url:
        first = panel.ask([model(url, tmp_path)], ASKED)
        second = panel.ask([model(url, tmp_path)], ASKED)
    assert first["judges"][0]["cost"]["calls"] == len(ASKED.prompts())
    assert second["judges"][0]["cost"]["calls"] == 0
    assert second["scores"] == first["scores"]


def test_an_endpoint_that_is_down_or_shut_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(SilentModelError, match="answered none"):
        panel.ask([model("http://127.0.0.1:9/v1", tmp_path)], ASKED)
    locked = ChatServer(GOOD, share=1.0, faults=("locked",))
    with serving(locked) as url, pytest.raises(KeyNotAcceptedError):
        panel.ask([model(url, tmp_path)], ASKED)


def cells(tables: Sequence[judges_page.Table]) -> str:
    return "\n".join(
        " | ".join(row) for caption, head, rows in tables for row in ([caption], head, *rows)
    )


def test_the_page_has_a_column_for_each_judge_that_is_believed(three: dict[str, Any]) -> None:
    shown = cells(list(judges_page.tables(three)))
    assert "Which is more like the author | judge 0 | judge 1 | All" in shown
    assert "twin over base | 1.00 (0.69 to 1.00) | 1.00 (0.69 to 1.00)" in shown
    assert "twin | 3.00 (3.00 to 3.00) | 3.00 (3.00 to 3.00)" in shown
    calls = 8 * COUNT + 3 * 6 * COUNT  # a void judge costs as much, and its marks were asked thrice
    assert f"judge 2 | {calls} | {30 * calls} | – |" in shown
    assert "unreadable 36" in shown
    told = " ".join(judges_page.sentences(three))
    assert "judge 2: it is void" in told
    assert "Krippendorff's alpha 1.00" in told
