import polars as pl
import pytest

from llmtwin_assets.features.repetition import languages, repetition
from llmtwin_assets_tests.writing import essay

ESSAYS = [essay(number).split("---\n\n")[1] for number in range(10)]
FOOTER = "\n\nYou get this letter because you signed up for it on our site. Unsubscribe below it."


def shares(*texts: str) -> dict[str, float]:
    return repetition(pl.Series(texts, dtype=pl.String))


def test_texts_that_differ_say_nothing_again() -> None:
    assert shares(*ESSAYS) == {"repeated": 0.0, "boilerplate": 0.0}


def test_of_copies_all_but_the_first_repeat() -> None:
    found = shares(*[f"Copy {number} of many others.\n\n{ESSAYS[0]}" for number in range(10)])
    assert found["repeated"] == pytest.approx(0.9, abs=0.01)
    assert found["boilerplate"] == 0.0


def test_a_document_put_together_from_earlier_ones_repeats_them() -> None:
    found = shares(*ESSAYS, "\n\n".join(ESSAYS))
    assert found["repeated"] == pytest.approx(0.5, abs=0.01)


def test_a_footer_is_boilerplate_and_a_quotation_is_not() -> None:
    footers = shares(*[text + FOOTER for text in ESSAYS])["boilerplate"]
    expected = len(FOOTER) / (len(FOOTER) + sum(map(len, ESSAYS)) / len(ESSAYS))
    assert footers == pytest.approx(expected, rel=0.1)
    quoted = [text + FOOTER if number < 2 else text for number, text in enumerate(ESSAYS)]
    assert shares(*quoted)["boilerplate"] == 0.0


@pytest.mark.parametrize("texts", [(), ("",), ("a b c",), ("...!?", "\n\n")])
def test_nothing_repeats_nothing(texts: tuple[str, ...]) -> None:
    assert shares(*texts) == {"repeated": 0.0, "boilerplate": 0.0}


def test_languages_are_those_of_prose_by_length() -> None:
    documents = pl.DataFrame(
        {
            "kind": ["article", "post", "post", "repository", "article"],
            "language": ["de", "en", None, "python", "en"],
            "text": ["x" * 10, "x" * 20, "x" * 99, "x" * 500, "x" * 70],
        }
    )
    assert languages(documents) == {"en": 0.9, "de": 0.1}
    assert languages(documents.filter(pl.col("kind") == "repository")) == {}
