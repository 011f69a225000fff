import random
from itertools import combinations

import numpy as np
import pytest

from llmtwin_assets.features.near_duplicates import SAME, jaccard, pairs, runs_of, twins
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


def test_case_and_line_breaks_make_no_difference_and_short_texts_count() -> None:
    runs = runs_of(["One Two three", "one\ntwo  THREE!", "one two"])
    assert [(a, b) for a, b, _ in pairs(runs)] == [(0, 1)]
    assert jaccard(runs[0], runs[2]) == 0


def test_the_order_of_words_makes_a_difference() -> None:
    runs = runs_of(["a b c d e f g h", "h g f e d c b a"])
    assert pairs(runs, 0.01) == []


def test_hashes_are_the_same_on_every_machine() -> None:
    (runs,) = runs_of(["one two three four"])
    assert runs.dtype == np.uint64
    assert runs.tolist() == [6371847763114396698]


def test_texts_of_any_length_and_place_have_the_same_runs() -> None:
    rng = random.Random(5)
    texts = [paragraph(rng, 3), "ﷺ " * 9_000, paragraph(rng, 4_000), "one two", paragraph(rng, 40)]
    together = runs_of(texts)
    for text, runs in zip(texts, together, strict=True):
        assert runs.tolist() == runs_of([text])[0].tolist()
        assert len(runs) == len(set(ngrams(words(text), 4))) or len(words(text)) < 4


def test_nothing_is_the_twin_of_what_goes() -> None:
    assert twins(4, [(0, 1, 0.9), (1, 2, 0.9), (1, 3, 0.95), (0, 3, 0.85)]) == {1: 0, 3: 0}
    assert twins(3, [(0, 2, 0.8), (1, 2, 0.9)]) == {2: 1}


def test_no_texts_have_no_pairs() -> None:
    assert pairs(runs_of([])) == []
    assert pairs(runs_of(["", ""])) == []
