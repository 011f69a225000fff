import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llmtwin_assets_tests.chat_server import ChatServer, serving
from resources.chat_calls import REASKS
from resources.chat_model import (
    ATTEMPTS,
    BadPriceError,
    ChatModel,
    Failure,
    KeyNotAcceptedError,
    Prices,
    Prompt,
    Reply,
    SameModelTwiceError,
    open_chat_model,
    open_chat_models,
)

KEY = "sk-canary-4711"


class Grade(BaseModel):
    """What the tests ask for."""

    grade: int
    because: str


async def at_once(_: float) -> None:
    """Waiting, for those in a hurry."""
    await asyncio.sleep(0)


def graded(messages: list[dict[str, str]]) -> str:
    return json.dumps({"grade": len(messages[0]["content"]) % 3, "because": "it is " + "long " * 9})


def question(number: int, **options: Any) -> Prompt:
    return Prompt(({"role": "user", "content": f"Grade text {number}."},), Grade, **options)


def model(url: str, path: Path, **options: Any) -> ChatModel:
    return ChatModel(url, "m", path / "replies.sqlite", key=KEY, wait=at_once, **options)


def test_a_thousand_prompts_at_a_fifth_of_faults_are_all_answered_or_listed(
    tmp_path: Path,
) -> None:
    server = ChatServer(graded, share=0.2)
    prompts = [question(number) for number in range(1_000)]
    faults = [server.fault(prompt.messages[0]["content"]) for prompt in prompts]
    assert sum(fault is not None for fault in faults) > 150
    done: list[int] = []
    with serving(server) as url:
        found = model(url, tmp_path).answer(prompts, lambda number, total: done.append(number))
    for fault, reply in zip(faults, found, strict=True):
        if fault == "refusing":
            assert isinstance(reply, Failure)
            assert reply.kind == "refused"
        else:
            assert isinstance(reply, Reply)
            assert reply.parsed.grade in (0, 1, 2)
    assert done == list(range(1, 1_001))
    assert not any(KEY in repr(reply) for reply in found)


@pytest.mark.parametrize("fault", ["malformed", "dripping"])
def test_a_reply_that_breaks_the_protocol_or_never_ends_is_asked_for_again(
    tmp_path: Path, fault: str
) -> None:
    server = ChatServer(graded, share=1.0, faults=(fault,))
    with serving(server) as url:
        [reply] = model(url, tmp_path, timeout=0.5).answer([question(1)])
    assert isinstance(reply, Reply)
    assert server.asked["Grade text 1."] == 2


def test_empty_replies_are_paid_for_out_of_the_budget(tmp_path: Path) -> None:
    server = ChatServer(graded, share=1.0, faults=("empty",), times=99)
    with serving(server) as url:
        asking = model(url, tmp_path)
        most = asking.estimate([question(1)])
        limit = most.tokens_in + most.tokens_out + 35  # the server counts 30 for each reply
        [reply] = model(url, tmp_path, budget=limit).answer([question(1)])
    assert isinstance(reply, Failure)
    assert reply.kind == "budget"
    assert server.asked["Grade text 1."] == 2


def test_replies_that_cannot_be_used_still_count_in_the_next_run(tmp_path: Path) -> None:
    empty = ChatServer(graded, share=1.0, faults=("empty",), times=99)
    with serving(empty) as url:
        model(url, tmp_path).answer([question(1)])
        spent = model(url, tmp_path).spent()
        assert spent.calls == empty.asked["Grade text 1."] == ATTEMPTS
        assert spent.tokens_in + spent.tokens_out == 30 * ATTEMPTS
        [reply] = model(url, tmp_path, budget=30.0 * ATTEMPTS).answer([question(2)])
    assert isinstance(reply, Failure)
    assert reply.kind == "budget"
    assert not empty.asked["Grade text 2."]


def test_the_same_model_at_two_addresses_has_two_accounts(tmp_path: Path) -> None:
    with serving(ChatServer(graded)) as one, serving(ChatServer(graded)) as other:
        model(one, tmp_path).answer([question(number) for number in range(3)])
        model(other, tmp_path).answer([question(1)])
        assert model(one, tmp_path).spent().calls == 3
        assert model(other, tmp_path).spent().calls == 1


def test_a_reply_that_could_not_be_read_is_not_kept_and_may_come_better_next_time(
    tmp_path: Path,
) -> None:
    server = ChatServer(lambda messages: "I'd rather not.")
    with serving(server) as url:
        [before] = model(url, tmp_path).answer([question(1)])
        assert isinstance(before, Failure)
        assert model(url, tmp_path).estimate([question(1)]).calls == 1
        server.answer = graded
        [after] = model(url, tmp_path).answer([question(1)])
        [again] = model(url, tmp_path).answer([question(1)])
    assert isinstance(after, Reply)
    assert isinstance(again, Reply)
    assert (after.kept, again.kept) == (False, True)
    assert server.asked["Grade text 1."] == REASKS + 2


def test_a_reply_from_before_the_question_changed_its_form_is_asked_for_again(
    tmp_path: Path,
) -> None:
    server = ChatServer(graded)
    with serving(server) as url:
        ours = model(url, tmp_path)
        ours.answer([question(1)])
        with sqlite3.connect(tmp_path / "replies.sqlite") as db:
            db.execute("UPDATE replies SET text = 'Fine, I think.'")
        [reply] = ours.answer([question(1)])
        assert isinstance(reply, Reply)
        assert not reply.kept
        assert ours.estimate([question(1)]).calls == 0


def test_a_correction_is_paid_once(tmp_path: Path) -> None:
    def improving(messages: list[dict[str, str]]) -> str:
        return "Hm." if len(messages) == 1 else graded(messages)

    server = ChatServer(improving)
    with serving(server) as url:
        model(url, tmp_path).answer([question(1)])
        [reply] = model(url, tmp_path).answer([question(1)])
    assert isinstance(reply, Reply)
    assert reply.kept
    assert server.asked["Grade text 1."] == 2


def test_a_key_that_is_not_accepted_ends_the_batch_at_once(tmp_path: Path) -> None:
    server = ChatServer(graded, share=0.1, faults=("locked",), delay=0.01)
    prompts = [question(number) for number in range(200)]
    faults = [server.fault(prompt.messages[0]["content"]) for prompt in prompts]
    first = faults.index("locked")
    with serving(server) as url:
        with pytest.raises(KeyNotAcceptedError) as refused:
            model(url, tmp_path, concurrent=2).answer(prompts)
        assert model(url, tmp_path).estimate(prompts[:first]).calls <= 1  # the other on its way
    assert sum(server.asked.values()) <= first + 3
    assert "does not accept the key (401)" in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),  # at once
        ("7", 7.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 25.0),
        ("Sun, 06 Nov 1994 09:49:37 GMT", 60.0),  # no longer than we are ready to wait
    ],
)
def test_a_busy_server_says_when_to_come_back(tmp_path: Path, said: str, seconds: float) -> None:
    waited: list[float] = []

    async def wait(given: float) -> None:
        waited.append(given)

    moment = datetime(1994, 11, 6, 8, 49, 12, tzinfo=UTC).timestamp()
    server = ChatServer(graded, share=1.0, faults=("busy",), retry_after=said)
    with serving(server) as url:
        ours = ChatModel(url, "m", tmp_path / "c.sqlite", wait=wait, clock=lambda: moment)
        assert isinstance(ours.answer([question(1)])[0], Reply)
    assert waited == [seconds]


def test_a_reply_that_is_not_what_was_asked_for_is_asked_again_with_the_reason(
    tmp_path: Path,
) -> None:
    seen: list[list[dict[str, str]]] = []

    def improving(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return '{"grade": "high"}' if len(messages) == 1 else '{"grade": 2, "because": "ok"}'

    with serving(ChatServer(improving)) as url:
        [reply] = model(url, tmp_path).answer([question(1)])
    assert isinstance(reply, Reply)
    assert reply.parsed == Grade(grade=2, because="ok")
    assert "grade: Input should be a valid integer" in seen[1][-1]["content"]


def test_one_that_never_complies_is_listed_and_costs_no_other(tmp_path: Path) -> None:
    def stubborn(messages: list[dict[str, str]]) -> str:
        return "I'd rather not." if "text 1." in messages[0]["content"] else graded(messages)

    with serving(ChatServer(stubborn)) as url:
        found = model(url, tmp_path).answer([question(number) for number in range(3)])
    assert [type(reply) for reply in found] == [Reply, Failure, Reply]
    assert isinstance(found[1], Failure)
    assert found[1].kind == "unreadable"


def test_what_was_answered_before_is_not_paid_for_again(tmp_path: Path) -> None:
    server = ChatServer(graded)
    prompts = [question(1), question(2), question(1)]
    with serving(server) as url:
        ours = model(url, tmp_path, prices=Prices(1.0, 2.0))
        assert ours.estimate(prompts[:2]).calls == 2
        first = ours.answer(prompts)
        assert sum(server.asked.values()) == 2
        assert ours.estimate(prompts).calls == 0
        again = ours.answer(prompts)
        assert sum(server.asked.values()) == 2
        assert ours.spent().money == pytest.approx(2 * (20 + 2 * 10) / 1e6)
        warmer = ours.answer([question(1, temperature=0.7)])
    assert [reply.text for reply in first] == [reply.text for reply in again]  # type: ignore[union-attr]
    assert all(reply.kept for reply in again)  # type: ignore[union-attr]
    assert not warmer[0].kept  # type: ignore[union-attr]


def test_a_budget_refuses_the_call_that_could_exceed_it(tmp_path: Path) -> None:
    server = ChatServer(graded)
    prompts = [question(number, max_tokens=100) for number in range(50)]
    with serving(server) as url:
        ours = model(url, tmp_path, prices=Prices(1e6, 1e6))
        one = ours.estimate(prompts[:1]).money
        assert one is not None
        limited = model(url, tmp_path, prices=Prices(1e6, 1e6), budget=3 * one)
        found = limited.answer(prompts)
        spent = limited.spent().money
    refused = [reply for reply in found if isinstance(reply, Failure)]
    assert {failure.kind for failure in refused} == {"budget"}
    assert 3 <= len(found) - len(refused) < 50
    assert spent is not None
    assert spent <= 3 * one
    assert sum(server.asked.values()) == len(found) - len(refused)


def test_without_prices_a_budget_counts_tokens(tmp_path: Path) -> None:
    with serving(ChatServer(graded)) as url:
        found = model(url, tmp_path, budget=1).answer([question(1)])
    assert isinstance(found[0], Failure)
    assert found[0].kind == "budget"


def test_nobody_at_the_url_is_a_failure_and_not_an_exception(tmp_path: Path) -> None:
    found = model("http://127.0.0.1:9/v1", tmp_path).answer([question(1)])
    assert isinstance(found[0], Failure)
    assert found[0].kind == "unreachable"


def test_a_slow_endpoint_is_given_up_in_time(tmp_path: Path) -> None:
    with serving(ChatServer(graded, delay=0.5)) as url:
        found = model(url, tmp_path, timeout=0.05).answer([question(1)])
    assert isinstance(found[0], Failure)
    assert "did not answer in 0.05 seconds" in found[0].because


def test_it_may_be_asked_from_within_an_event_loop(tmp_path: Path) -> None:
    async def asks(url: str) -> list[Reply | Failure]:
        return model(url, tmp_path).answer([question(1)])

    with serving(ChatServer(graded)) as url:
        assert isinstance(asyncio.run(asks(url))[0], Reply)


KILLED = """
import asyncio, sys
from pathlib import Path
from llmtwin_assets_tests.resources.test_chat_model import model, question
model(sys.argv[1], Path(sys.argv[2]), concurrent=4).answer([question(n) for n in range(60)])
"""


def test_a_killed_run_pays_again_only_for_what_was_on_its_way(tmp_path: Path) -> None:
    server = ChatServer(graded, delay=0.05)
    with serving(server) as url:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, url, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        deadline = time.monotonic() + 60
        while sum(server.served.values()) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.delay = 0.0
        found = model(url, tmp_path).answer([question(number) for number in range(60)])
    assert all(isinstance(reply, Reply) for reply in found)
    assert set(server.served.values()) <= {1, 2}
    assert sum(times == 2 for times in server.served.values()) <= 4


def test_the_environment_names_the_endpoint_and_hides_its_key(tmp_path: Path) -> None:
    assert open_chat_model("X", tmp_path / "c", {}) is None
    environ = {"X_URL": "http://h/v1", "X_MODEL": "m", "X_KEY": KEY, "X_PRICES": "0.5,1.5",
               "X_BUDGET": "2"}  # fmt: skip
    found = open_chat_model("X", tmp_path / "c", environ)
    assert found is not None
    assert (found.prices, found.budget) == (Prices(0.5, 1.5), 2.0)
    assert KEY not in repr(found)
    for wrong in ({"X_PRICES": "cheap"}, {"X_BUDGET": "-1"}, {"X_PRICES": "1"}):
        with pytest.raises(BadPriceError):
            open_chat_model("X", tmp_path / "c", environ | wrong)


def test_several_models_have_settings_of_their_own(tmp_path: Path) -> None:
    environ = {"X_URL": "http://h/v1", "X_MODEL": "m", "X_3_URL": "http://h/v1", "X_3_MODEL": "n",
               "X_3_KEY": KEY, "X_3_BUDGET": "5"}  # fmt: skip
    found = open_chat_models("X", tmp_path / "c", environ)
    assert [(each.model, each.key, each.budget) for each in found] == [
        ("m", "", None),
        ("n", KEY, 5.0),
    ]
    assert open_chat_models("X", tmp_path / "c", {}) == []
    with pytest.raises(SameModelTwiceError, match="X_3_MODEL"):
        open_chat_models("X", tmp_path / "c", environ | {"X_3_MODEL": "m"})
