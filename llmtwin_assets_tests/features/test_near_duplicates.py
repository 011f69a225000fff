import random
from itertools import combinations

import pytest

from llmtwin_assets.features.near_duplicates import SAME, pairs, twins
from llmtwin_assets.features.runs import runs_of
from llmtwin_assets.features.words import ngrams, words
from llmtwin_assets_tests.writing import paragraph


def edited(text: str, share: float, rng: random.Random) -> str:
    """The text with a share of its words replaced."""
    each = text.split()
    for place in rng.sample(range(len(each)), int(share * len(each))):
        each[place] = f"word{rng.choice('abcdefgh')}x"
    return " ".join(each)


def exact(a: str, b: str) -> float:
    one, other = (set(ngrams(words(text), 4)) for text in (a, b))
    return len(one & other) / len(one | other) if one | other else 0.0


def corpus(rng: random.Random) -> list[str]:
    texts = [paragraph(rng, rng.randrange(1, 12)) for _ in range(60)]
    texts += [edited(rng.choice(texts), rng.random() * 0.15, rng) for _ in range(60)]
    return [*texts, "", "!!!", "漢字かな交じり文である", "a b c d e"]


@pytest.mark.parametrize("same", [0.5, SAME, 1.0])
def test_every_pair_is_found_and_none_is_wrong(same: float) -> None:
    texts = corpus(random.Random(1))
    expected = {
        (a, b) for a, b in combinations(range(len(texts)), 2) if exact(texts[a], texts[b]) >= same
    }
    found = pairs(runs_of(texts), same)
    assert {(a, b) for a, b, _ in found} == expected
    assert len(expected) >= (0 if same == 1.0 else 10)
    for a, b, share in found:
        assert share == pytest.approx(exact(texts[a], texts[b]))


def test_the_order_of_words_makes_a_difference() -> None:
    runs = runs_of(["a b c d e f g h", "h g f e d c b a"])
    assert pairs(runs, 0.01) == []


def test_a_text_that_very_many_share_hides_no_pair() -> None:
    rng = random.Random(2)
    common = paragraph(rng, 3)
    texts = [f"{common} {paragraph(rng, 1)}" for _ in range(300)]
    texts += [common, f"{common} so it is"]
    expected = {
        (a, b) for a, b in combinations(range(len(texts)), 2) if exact(texts[a], texts[b]) >= SAME
    }
    assert {(a, b) for a, b, _ in pairs(runs_of(texts))} == expected
    assert (300, 301) in expected


def test_nothing_is_the_twin_of_what_goes() -> None:
    assert twins(4, [(0, 1, 0.9), (1, 2, 0.9), (1, 3, 0.95), (0, 3, 0.85)]) == {1: 0, 3: 0}
    assert twins(3, [(0, 2, 0.8), (1, 2, 0.9)]) == {2: 1}


def test_no_texts_have_no_pairs() -> None:
    assert pairs(runs_of([])) == []
    assert pairs(runs_of(["", ""])) == []
