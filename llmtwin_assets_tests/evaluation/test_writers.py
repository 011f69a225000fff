import pytest

from llmtwin_assets.evaluation.writers import (
    TooFewWritersError,
    TooLittleTextError,
    comparable,
)
from llmtwin_assets_tests.writing import german
from resources.reference_writers import ReferenceWriters

Texts = dict[str, list[str]]


@pytest.fixture(scope="module")
def writers() -> Texts:
    chosen = ReferenceWriters().load()
    names = ("Madison", "Hamilton", "Jay", "Emily Brontë", "William H. Taft")
    return {name: chosen[name][:6] for name in names}


def test_a_writer_who_is_the_author_is_left_out(writers: Texts) -> None:
    found = comparable(writers["Madison"], writers)
    assert found.same == ("Madison",)
    assert set(found.others) == writers.keys() - {"Madison"}
    assert found.language == "en"
    others = {"H.": writers["Hamilton"][:3]} | {n: writers[n] for n in writers if n != "Hamilton"}
    assert comparable(writers["Hamilton"], others).same == ("H.",)


def test_a_writer_who_is_there_twice_counts_once(writers: Texts) -> None:
    again = {"another author 1": writers["Hamilton"][2:], "another author 2": writers["Jay"]}
    found = comparable(writers["Madison"], writers | again)
    assert set(found.others) == writers.keys() - {"Madison"}


def test_writers_of_another_language_and_those_of_a_few_words_are_left_out(writers: Texts) -> None:
    others = {"Anna": [german(1)], "Bert": [german(2)], "Note": ["It is only a note of his."]}
    found = comparable(writers["Madison"], writers | others)
    assert not found.others.keys() & others.keys()


def test_an_author_among_writers_of_another_language_is_told_what_to_give(writers: Texts) -> None:
    with pytest.raises(TooFewWritersError) as refused:
        comparable([german(1), german(2)], writers)
    assert "0 of 5 write the author's language (de)" in str(refused.value)
    assert "LLMTWIN_REFERENCE_WRITERS" in str(refused.value)


def test_an_author_among_writers_of_their_own_language_is_compared(writers: Texts) -> None:
    others = {f"writer {seed}": [german(seed)] for seed in (3, 4, 5)}
    found = comparable([german(1), german(2)], writers | others)
    assert found.language == "de"
    assert set(found.others) == others.keys()


def test_a_short_author_and_few_writers_are_refused(writers: Texts) -> None:
    with pytest.raises(TooLittleTextError, match="4 words are too few"):
        comparable(["four words are few"], writers)
    two = {name: writers[name] for name in ("Jay", "Hamilton", "Madison")}
    with pytest.raises(TooFewWritersError, match="2 of 3 write"):
        comparable(writers["Madison"], two)
