import random
import unicodedata

import pytest

from llmtwin_assets.features.clean import clean, search_form, visible
from llmtwin_assets_tests.writing import paragraph

WRAPPED = (
    "This line was wrapped to the width of a page by some\n"
    "tool or other, as was this one, which goes on and on\nuntil it ends."
)


def test_punctuation_case_and_symbols_stay() -> None:
    text = 'He said: "No — never!" (See §3; cost: €5/day.) https://a.example/b?c=d#e_f *emphasis*'
    assert clean(text) == text


def test_hard_wrapped_paragraphs_become_one_line_each() -> None:
    assert clean(f"{WRAPPED}\n\n{WRAPPED}").count("\n") == 2
    assert "some tool or" in clean(WRAPPED)


def test_a_hyphen_at_the_wrap_joins_its_word() -> None:
    wrapped = (
        "A sentence about the state of the art in post-\ntraining, which goes on for a good while."
    )
    assert "post-training" in clean(wrapped)


@pytest.mark.parametrize(
    "text",
    [
        "- a list item that is long enough to look wrapped to somebody\n- another such item here",
        "1. one item that is long enough to look wrapped to somebody who\n2. two",
        "    code = that_is_indented_and_long_enough_to_look_wrapped()\n    more = code_here()",
        "```\nfenced_code_that_is_long_enough_to_look_wrapped = 1\n\nstays = as_it_is\n```",
        "> a quote that is long enough to look as if it had been wrapped\n> by some tool",
        "| a table | that is long enough to look wrapped | by some tool |\n| - | - | - |",
        "Roses are red,\nviolets are blue,\nthis is verse,\nand stays so.",
        "# A heading that is long enough to look as if it had been wrapped\nText below it.",
    ],
)
def test_lines_that_mean_something_stay_lines(text: str) -> None:
    assert clean(text) == text


def test_line_ends_and_invisible_characters_go() -> None:
    assert clean("a\r\nb\u200bc\ufeff\u00ad \n\n\n\nd\u00a0e\x00") == "a\nbc\n\nd e"


def test_cleaning_is_idempotent_and_loses_no_visible_character() -> None:
    rng = random.Random(3)
    pieces = [WRAPPED, "- item\n- item", "    code()\n\n    more()", "", "𝗕𝗼𝗹𝗱 text", "x\u200by"]
    for _ in range(200):
        parts = [rng.choice([*pieces, paragraph(rng, 2)]) for _ in range(rng.randrange(1, 8))]
        text = rng.choice(["\n\n", "\n", "\r\n\r\n"]).join(parts)
        once = clean(text)
        assert clean(once) == once
        assert visible(once) == visible(text)


def test_bold_letters_can_be_searched_as_letters() -> None:
    assert search_form("𝗕𝗼𝗹𝗱 ﬁsh") == "Bold fish"
    assert unicodedata.is_normalized("NFKC", search_form("ﬃ ①"))
