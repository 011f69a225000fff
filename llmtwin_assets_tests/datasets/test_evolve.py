"""Instructions that the teacher makes of its instructions."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmtwin_assets.datasets import evolve
from llmtwin_assets.datasets.teacher import EVOLVED, TeacherFailedError, items, teach
from llmtwin_assets.settings import EVOLVE
from llmtwin_assets_tests.chat_server import ChatServer, serving
from llmtwin_assets_tests.datasets.rows import row
from llmtwin_assets_tests.datasets.test_teacher import DOCUMENTS, good, model, passage
from resources.chat_model import Prices
from resources.embedder import Embedder

BASE = sum(item.name in EVOLVED for item in items(DOCUMENTS))
FIRST = len(items(DOCUMENTS))
Messages = Sequence[dict[str, str]]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("all-minilm-l6-v2")


def evolves(messages: Messages) -> bool:
    return "Request: " in messages[1]["content"]


def sentence(messages: Messages) -> str:
    return passage(messages).partition(".")[0] + "."


def better(messages: Messages) -> str:
    """A new request in the passage's own words, none of them in a row, and what answers it."""
    if not evolves(messages):
        return good(messages)
    way = "Say more of" if "harder" in messages[1]["content"] else "What of"
    names = " ".join(sorted(set(passage(messages).split()))[::2][:24])
    return json.dumps({"text": f"{way} {names}?", "answered_by": sentence(messages)})


def test_instructions_evolve_in_depth_and_breadth_and_answers_stay(
    tmp_path: Path, embedder: Embedder
) -> None:
    server = ChatServer(better)
    with serving(server) as url:
        taught = teach(model(url, tmp_path), DOCUMENTS, ways=EVOLVE, embed=embedder.embed)
    base = {each.id: each for each in taught.rows if not each.evolved}
    evolved = [each for each in taught.rows if each.evolved]
    assert BASE == 18
    assert len(evolved) + len(taught.left_out) == BASE * 2
    assert len(evolved) >= BASE
    for each in evolved:
        way, _, source = each.evolved.split(" ")
        assert way in EVOLVE
        old = base[source]
        assert each.instruction != old.instruction
        assert (each.answer, each.start, each.end) == (old.answer, old.start, old.end)
        assert (each.origin, each.written_by, each.kind) == ("author", "a-teacher", old.kind)
    held_out = DOCUMENTS[2].text.split("\n\n")
    assert not any(part in asked for part in held_out for asked in server.asked)


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (lambda m: {"text": request(m).upper()}, "the request as it was"),
        (lambda m: {"text": f"Say this: {sentence(m)}"}, "quotes the passage"),
        (
            lambda m: {"answered_by": "It is said there, on the whole."},
            "no sentence of the passage",
        ),
        (lambda m: {"answered_by": "the harbour"}, "no sentence of the passage"),
        (lambda m: {"text": "more " * 90}, "has 90 words, and may have 80"),
    ],
)
def test_what_is_no_evolution_is_asked_for_again_with_the_reason_then_left_out(
    tmp_path: Path, embedder: Embedder, spoil, because: str
) -> None:
    shown: list[str] = []

    def answer(messages: Messages) -> str:
        if evolves(messages) and len(messages) > 2:
            shown.append(messages[-1]["content"])
        said = json.loads(better(messages))
        return json.dumps(said | (spoil(messages) if evolves(messages) else {}))

    with serving(ChatServer(answer)) as url:
        taught = teach(model(url, tmp_path), DOCUMENTS[:1], ways=["depth"], embed=embedder.embed)
    assert not any(each.evolved for each in taught.rows)
    assert taught.left_out
    assert all("in depth: " in line and because in line for line in taught.left_out)
    assert shown
    assert all(because in line for line in shown)


def request(messages: Messages) -> str:
    return messages[1]["content"].partition("Request: ")[2].partition("\n\nTitle:")[0]


def test_an_instruction_that_other_passages_answer_better_goes_astray(embedder: Embedder) -> None:
    subjects = {
        "bread": "Bread rises when yeast eats sugar in the dough and gives off gas.",
        "ships": "Sailing ships wait in harbour until the wind turns to the west.",
        "bees": "Bees tell each other by dancing where they have found flowers.",
        "law": "A judge reads the statute first and the precedents afterwards.",
        "snow": "Snow lies longest on slopes that look north and get no sun.",
    }
    rows = [row(n, instruction=f"Tell me about {name}.", answer=text)
            for n, (name, text) in enumerate(subjects.items())]  # fmt: skip
    rows[1] = row(1, instruction="How does yeast make dough rise?", answer=subjects["bees"])
    rows[2] = row(2, instruction="How do bees dance for flowers?", answer=subjects["law"])
    rows.append(row(9, instruction="What keeps ships waiting?", answer=subjects["ships"]))
    wrong = row(10, instruction="How does yeast in bread dough give off gas?",
                answer=subjects["snow"])  # fmt: skip
    assert evolve.astray([], embedder.embed) == []
    found = evolve.astray([*rows, wrong], embedder.embed)
    assert (found[0], found[3], found[5], found[6]) == (False, False, False, True)


def test_the_cost_of_all_is_told_before_the_first_call_and_nothing_is_paid_twice(
    tmp_path: Path, embedder: Embedder
) -> None:
    server, told = ChatServer(better), []
    with serving(server) as url:
        priced = model(url, tmp_path, prices=Prices(1.0, 2.0))

        def again(ways: Sequence[str]) -> list[str]:
            taught = teach(
                priced,
                DOCUMENTS,
                lambda line: told.append((line, server.asked.total())),
                ways,
                embedder.embed,
            )
            return [each.id for each in taught.rows]

        again([])
        first = again(EVOLVE)
        assert again(EVOLVE) == first
    assert [line.partition(",")[0] for line, _ in told] == [
        f"the teacher is asked {FIRST} times",
        f"the teacher is asked {2 * BASE} times",
        "the teacher is asked 0 times",
    ]
    assert [asked for _, asked in told] == [0, FIRST, FIRST + 2 * BASE]
    assert server.served.total() == FIRST + 2 * BASE


def test_all_calls_of_both_stages_are_foreseen(tmp_path: Path, embedder: Embedder) -> None:
    told: list[str] = []
    with serving(ChatServer(better)) as url:
        teach(model(url, tmp_path), DOCUMENTS, told.append, EVOLVE, embedder.embed)
    assert told[0].startswith(f"the teacher is asked {FIRST + 2 * BASE} times, ")


def test_the_budget_covers_both_and_what_was_paid_for_is_used_later(
    tmp_path: Path, embedder: Embedder
) -> None:
    server = ChatServer(better)
    with serving(server) as url:
        poor = model(url, tmp_path, budget=2_600, concurrent=1)
        some = teach(poor, DOCUMENTS, ways=EVOLVE, embed=embedder.embed)
        assert some.cost.tokens_in + some.cost.tokens_out <= 2_600
        assert any("the next call could cost" in line for line in some.left_out)
        rich = model(url, tmp_path)
        teach(rich, DOCUMENTS, ways=EVOLVE, embed=embedder.embed)
    assert server.served.total() == FIRST + 2 * BASE


def test_faults_on_the_way_cost_no_evolution(tmp_path: Path, embedder: Embedder) -> None:
    faults = ("busy", "failing", "hanging up", "cut", "empty", "malformed")
    with serving(ChatServer(better, share=0.4, faults=faults)) as url:
        taught = teach(model(url, tmp_path), DOCUMENTS, ways=EVOLVE, embed=embedder.embed)
    assert len(taught.rows) + len(taught.left_out) == FIRST + 2 * BASE
    assert all("other passages" in line for line in taught.left_out)


def test_an_endpoint_that_fails_for_most_evolutions_stops_the_run(
    tmp_path: Path, embedder: Embedder
) -> None:
    class Failing(ChatServer):
        def fault(self, question: str) -> str | None:
            return "failing" if "Request: " in question else None

    server = Failing(better, times=99)
    with (
        serving(server) as url,
        pytest.raises(TeacherFailedError, match="it failed for 18 of 18 items"),
    ):
        teach(model(url, tmp_path), DOCUMENTS, ways=["breadth"], embed=embedder.embed)
    assert server.served.total() == FIRST
