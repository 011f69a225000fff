import random
import unicodedata

import numpy as np
import pytest

from llmtwin_assets.features.near_duplicates import pairs
from llmtwin_assets.features.runs import runs_of
from llmtwin_assets.features.words import UNSPACED
from llmtwin_assets_tests.writing import paragraph

PIECES = (
    "a b The WORD lantern don't naïve Straße ΣΊΣΥΦΟΣ привет ﬁne 𝐛𝐨𝐥𝐝 漢字 ひらがな ไทย İstanbul Ⅷ "
    "x2y internationalisation donaudampfschifffahrtsgesellschaft eightlet e\u0301t\u0301 ¼ "
    "— “so” _ 3.14 \ud800 🙂 ǆ K 한국어 ᬅ𪜀"
).split(" ")


def words(text: str) -> list[str]:
    """Runs of letters, one character after the other."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    found = [""]
    for character in plain.casefold():
        alone = bool(UNSPACED.match(character))
        if not character.isalpha() or alone:
            found.append("")
        if character.isalpha():
            found[-1] += character
        if alone:
            found.append("")
    return [word for word in found if word]


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_two_texts_share_the_runs_whose_words_are_the_same(size: int) -> None:
    rng = random.Random(7)
    texts = [
        "".join(rng.choices([*PIECES, " ", " ", "\n"], k=rng.randrange(40))) for _ in range(400)
    ]
    named: dict[tuple[str, ...], int] = {}
    for text, runs in zip(texts, runs_of(texts, size), strict=True):
        told = words(text)
        expected = {tuple(told[at : at + size]) for at in range(max(1, len(told) - size + 1))}
        expected.discard(())
        assert len(runs) == len(expected)
        for run in expected:
            (hash_,) = runs_of([" ".join(run)], max(size, 1))[0].tolist()
            assert named.setdefault(run, hash_) == hash_
            assert hash_ in runs
    assert len(set(named.values())) == len(named) > 100


def test_case_and_line_breaks_make_no_difference_and_short_texts_count() -> None:
    runs = runs_of(["One Two three", "one\ntwo  THREE!", "one two"])
    assert runs[0].tolist() == runs[1].tolist() != runs[2].tolist()
    assert [(a, b) for a, b, _ in pairs(runs)] == [(0, 1)]


def test_hashes_are_the_same_on_every_machine() -> None:
    (runs,) = runs_of(["one two three internationalisation"])
    assert runs.dtype == np.uint64
    assert runs.tolist() == [16317818400833056015]


def test_texts_of_any_length_and_place_have_the_same_runs() -> None:
    rng = random.Random(5)
    texts = [paragraph(rng, 3), "ﷺ " * 9_000, paragraph(rng, 4_000), "one two", paragraph(rng, 40)]
    for text, runs in zip(texts, runs_of(texts), strict=True):
        assert runs.tolist() == runs_of([text])[0].tolist()
        assert (np.diff(runs.astype(object)) > 0).all()


def test_a_word_of_a_megabyte_is_read_to_its_last_letter() -> None:
    word = "a" * 1_000_000
    one, other, same = runs_of([word + "b", word + "c", word.upper() + "B"])
    assert one.tolist() == same.tolist() != other.tolist()
