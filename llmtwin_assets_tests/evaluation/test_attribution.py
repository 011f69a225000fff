from random import Random

import pytest

from llmtwin_assets.evaluation.attribution import attribute
from llmtwin_assets.features.words import first_words
from resources.reference_writers import ReferenceWriters

PLAIN = "we have seen that it is not so and you can do this now but they will be there with us"
FORMAL = "which the of to whose by upon such as any other than shall not from those under every in"


def written(habits: str, end: str, seed: int) -> str:
    """400 words that mix a writer's small words with words that all writers share."""
    chance = Random(seed)
    pool = habits.split() * 2 + "house river stone garden letter window morning road".split()
    sentences = [" ".join(chance.choices(pool, k=10)) + end for _ in range(40)]
    return " ".join(sentences)


def test_two_writers_of_one_topic_are_told_apart() -> None:
    known = {
        "plain": [written(PLAIN, ".", seed) for seed in range(4)],
        "formal": [written(FORMAL, ";", seed) for seed in range(4)],
    }
    unknown = [written(PLAIN, ".", 9), written(FORMAL, ";", 9), written(PLAIN, ".", 10)]
    assert attribute(known, unknown) == ["plain", "formal", "plain"]


def test_essays_of_one_debate_go_to_their_authors() -> None:
    writers = ReferenceWriters().load()
    known = {name: writers[name][:5] for name in ("Madison", "Hamilton")}
    unknown = [first_words(writers[name][5 + n], 900) for n in (0, 1) for name in known]
    assert attribute(known, unknown) == ["Madison", "Hamilton"] * 2


def test_texts_that_say_nothing_are_attributed_all_the_same() -> None:
    known = {"one": [written(PLAIN, ".", 1)], "two": [written(FORMAL, ";", 2)]}
    assert set(attribute(known, ["", "🙂", "\x00"])) <= set(known)


@pytest.mark.parametrize("names", [["one"], []])
def test_without_a_choice_there_is_nothing_to_measure(names: list[str]) -> None:
    assert attribute({name: ["some text"] for name in names}, ["a"]) == names
    assert attribute({"one": ["a"], "two": ["b"]}, []) == []
