import pytest

from llmtwin_assets.corpus.bylines import is_by
from llmtwin_assets_tests.corpus.sources import author

ADA = author("ada", "Ada O'Neill-Björk", bylines=("ada_ob", "A. O. Björk"))


@pytest.mark.parametrize(
    "byline",
    [
        "Ada O'Neill-Björk",
        "ADA O’NEILL-BJORK",
        "by Ada O'Neill-Björk",
        "  Ada  O'Neill - Björk ",
        "@ada_ob",
        "ada",
        "A. O. Björk",
        "Ada O'Neill-Björk, A. O. Björk",
    ],
)
def test_the_authors_own_bylines(byline: str) -> None:
    assert is_by(byline, ADA)


@pytest.mark.parametrize(
    "byline",
    [
        "Bob Other",
        "Ada",
        "Ada O'Neill",
        "Ada O'Neill-Björk and Bob Other",
        "Bob Other & Ada O'Neill-Björk",
        "Ada O'Neill-Björk, Bob Other, Eve",
        "",
        "   ",
        "Adamantine Björk",
    ],
)
def test_bylines_of_others_of_several_hands_and_of_nobody(byline: str) -> None:
    assert is_by(byline, ADA) == (byline == "Ada")


def test_a_name_with_and_in_it_is_one_name() -> None:
    assert is_by("Alexandra Anders", author("x", "Alexandra Anders"))
    assert not is_by("Alex", author("x", "Alexandra Anders"))
