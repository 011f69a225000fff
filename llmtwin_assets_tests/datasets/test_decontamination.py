"""Rows that say what the twin is measured on, and rows that ask the same in other words."""

import pytest

from llmtwin_assets import probes
from llmtwin_assets.datasets.quality import judged
from llmtwin_assets_tests.datasets.rows import frame, row
from resources.embedder import Embedder

WORDS, MEANING = "evaluation words", "reworded evaluation text"
HELD = (
    "The committee met in the evening and agreed that the harbour should be closed to every ship "
    "which had sailed from the south, because the fever had been seen there twice, and nobody "
    "wished to see it in the city again before the winter was over."
)
SAID_OTHERWISE = (
    "That evening the committee gathered; since fever had twice been reported in the south, and "
    "no one wanted it back in town before winter ended, they resolved to shut the harbour to all "
    "vessels coming from those parts."
)
RELATED = (
    "The harbour is the oldest part of the city, and most of its houses were built by people who "
    "came with the ships and never left again; in winter, when nothing sails, they mend their "
    "nets and tell each other of places where they will not go."
)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("all-minilm-l6-v2")


def test_rows_that_share_words_with_what_asks_what_was_forgotten_go() -> None:
    prose = probes.prose()[3]
    held = row(1, split="held-out", document_id="h")
    rows = [
        row(2, answer=f"{row(2).answer} {' '.join(prose.split()[2:12])}"),
        row(3, instruction="Hello! What is the capital of France? Thank you."),
        row(4, instruction="Please: is water wet? Begin your answer with Yes or No."),
        row(5, instruction=held.instruction.upper()),
        row(6, split="held-out", instruction="What is the capital of France?"),
        row(7, instruction="What would you say of the capital, and of France?"),
    ]
    found = judged(frame(held, *rows), [held.answer])
    assert dict(found.dropped.select("id", "reason").iter_rows()) == {
        "r2": WORDS,
        "r3": WORDS,
        "r4": WORDS,
        "r5": WORDS,
    }


def test_held_out_words_are_told_from_those_of_a_probe() -> None:
    held = row(1, split="held-out", document_id="h")
    both = f"{' '.join(held.answer.split()[3:12])} {' '.join(probes.prose()[0].split()[:12])}"
    found = judged(frame(held, row(2, answer=f"{row(2).answer} {both}")), [held.answer])
    assert found.funnel == {"held-out words": 1}


def test_what_a_held_out_passage_says_in_other_words_goes_by_setting(embedder: Embedder) -> None:
    rows = frame(
        row(1, answer=SAID_OTHERWISE),
        row(2, answer=RELATED),
        row(3, answer=HELD, split="held-out"),
        row(4, origin="general", instruction="Please tell me which city is France's capital."),
        row(5, origin="general", instruction="Please tell me which city is Portugal's oldest."),
        row(6, instruction="Please tell me which city is France's capital, then."),
    )
    assert "r1" in judged(rows, [HELD], (), embedder.embed).kept["id"]
    found = judged(rows, [HELD], ("held-out",), embedder.embed)
    gone = found.dropped.filter(found.dropped["reason"] == MEANING)
    assert gone["id"].to_list() == ["r1", "r4"]
    assert all(detail.startswith("cosine 0.") for detail in gone["detail"])
    assert set(found.kept["id"]) == {"r2", "r3", "r5", "r6"}


def test_nothing_to_compare_is_nothing_dropped(embedder: Embedder) -> None:
    short = row(1, answer="It rains, friend.")
    for rows in (frame(), frame(short)):
        assert MEANING not in judged(rows, [], ("held-out",), embedder.embed).funnel


def test_what_asks_the_same_of_one_passage_goes_by_setting(embedder: Embedder) -> None:
    asked = {
        "a": "Explain why a large republic is safer from faction than a small one.",
        "b": "Write a short speech against those who want thirteen separate republics.",
        "c": "Explain why a small republic is less safe from faction than a large one.",
    }
    rows = [row(1, id=id_, instruction=text) for id_, text in asked.items()]
    elsewhere = row(2, instruction=asked["a"].replace("Explain", "Tell me"))
    both = frame(*rows, elsewhere)
    assert judged(both, [], (), embedder.embed).dropped.height == 0
    [gone] = judged(both, [], ("duplicates",), embedder.embed).dropped.iter_rows(named=True)
    assert (gone["id"], gone["reason"]) == ("c", "asks the same")
    assert gone["detail"].startswith("a, cosine 0.")


def test_rows_of_passages_of_their_own_are_not_embedded() -> None:
    def embed(texts: object) -> object:
        raise AssertionError(texts)

    assert judged(frame(row(1), row(2)), [], ("duplicates",), embed).kept.height == 2
