import pytest

from llmtwin_assets.evaluation.languages import function_words, language, lists

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


def test_texts_agree_on_a_language_by_their_length_and_an_odd_one_changes_nothing() -> None:
    assert language([]) is None
    assert language([SAID["de"] * 9, SAID["en"], SAID["fr"]]) == "de"
    assert language([SAID["en"] * 30, "12 34", ""] * 9) == "en"


def test_what_the_lists_call_otherwise_is_called_so() -> None:
    norwegian = "Vi har ikke kommet hit for det, men det er noe jeg må si dere før dere går hjem."
    assert language([norwegian]) in lists()


def test_function_words_are_small_words_and_nobody_counts_for_writing_more() -> None:
    texts = {"ann": ["the law of the land " * 500], "bob": ["a tale and a song"]}
    assert function_words(texts, "en", 2) == ("a", "the")  # both two in five: by the alphabet
    assert function_words(texts, "en") == ("a", "the", "and", "of")  # no law, land, tale or song


def test_words_of_topic_are_no_function_words_however_common() -> None:
    texts = {name: [f"{name} and the union of the states is a {name}. " * 50] for name in "xyz"}
    found = function_words(texts, "en")
    assert {"the", "of", "and", "is", "a"} <= set(found)
    assert "union" not in found


def test_without_a_list_words_that_most_writers_use_stand_in() -> None:
    texts = {name: [f"zorb flim {name * 4} quax " * 50] for name in "bcd"}
    assert set(function_words(texts, None)) == {"zorb", "flim", "quax"}


def test_the_lists_hold_words_as_texts_are_read() -> None:
    assert len(lists()) > 30
    assert all(word == word.casefold() for listed in lists().values() for word in listed)
