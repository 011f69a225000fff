from collections import Counter

import pytest

from llmtwin_assets.evaluation.delta import function_words, language
from llmtwin_assets.evaluation.languages import language_of, lists

SAID = {
    "en": "It is for all of us to see that the work is kept as it was when we came to it.",
    "de": "Wir haben das nicht so gemeint, aber es ist auch so, und die anderen sind noch da.",
    "fr": "Nous ne sommes pas venus pour cela, mais il y a des choses que l’on ne peut pas dire.",
    "es": "No hemos venido a esto, pero hay cosas que no se pueden decir sin que nos oigan.",
    "it": "Non siamo venuti per questo, ma ci sono cose che non si possono dire se sono qui.",
    "nl": "Wij zijn hier niet voor gekomen, maar er zijn dingen die je niet kunt zeggen.",
    "sv": "Vi har inte kommit för det, men det finns saker som man inte kan säga när de är här.",
    "ru": "Мы не для этого пришли, но есть вещи, которых нельзя сказать, если все они были здесь.",
    "zh": "我们不是为了这个来的，但是有的话他们在的时候我们不能说。",
}


@pytest.mark.parametrize("code", SAID)
def test_a_sentence_shows_its_language(code: str) -> None:
    assert language([SAID[code]]) == code


@pytest.mark.parametrize("text", ["", "   ", "zorb flim quax zint morp yull frob", "12 34 🙂"])
def test_what_no_list_covers_has_no_language(text: str) -> None:
    assert language([text]) is None
    assert language_of(Counter()) is None


def test_words_of_topic_are_no_function_words_however_common() -> None:
    texts = {name: [f"{name} and the union of the states is a {name}. " * 50] for name in "xyz"}
    found = function_words(texts)
    assert {"the", "of", "and", "is", "a"} <= set(found)
    assert "union" not in found


def test_without_a_list_words_that_most_writers_use_stand_in() -> None:
    texts = {name: [f"zorb flim {name * 4} quax " * 50] for name in "bcd"}
    assert set(function_words(texts)) == {"zorb", "flim", "quax"}


def test_the_lists_hold_words_as_texts_are_read() -> None:
    assert len(lists()) > 30
    assert all(word == word.casefold() for listed in lists().values() for word in listed)
