import pytest

from llmtwin_assets.evaluation.copying import copied_share, degenerate, longest_run
from llmtwin_assets.features.words import words

SOURCE = ["one two three four five six seven eight nine ten eleven twelve", "a b c d e f g h i j"]


def test_words_ignore_case_punctuation_line_breaks_and_quote_marks() -> None:
    assert words("The Union’s\r\n“safety”—IT'S 42.") == ["the", "union's", "safety", "it's"]


def test_scripts_without_spaces_give_a_word_per_character() -> None:
    assert words("法律の下 law") == ["法", "律", "の", "下", "law"]


def test_a_text_of_ones_own_copies_nothing() -> None:
    assert copied_share(["something else entirely was written here by someone today"], SOURCE) == 0
    assert copied_share(["too short"], SOURCE) == 0
    assert copied_share([], SOURCE) == 0


def test_a_copied_passage_is_found_whatever_its_punctuation() -> None:
    text = "Mine: One, two three\nfour FIVE six seven eight."
    assert copied_share([text], SOURCE) == pytest.approx(1 / 2)  # one of two 8-grams
    assert longest_run([text], SOURCE) == 8


def test_no_sequence_runs_over_the_end_of_a_text() -> None:
    across = "nine ten eleven twelve a b c d"
    assert copied_share([across], SOURCE) == 0
    assert longest_run([across], SOURCE) == 4


@pytest.mark.parametrize("length", [0, 1, 2, 7, 12])
def test_the_longest_run_is_exact(length: int) -> None:
    text = " ".join(SOURCE[0].split()[:length]) + " xyz"
    assert longest_run([text, ""], SOURCE) == length


def test_a_loop_and_an_empty_answer_show_in_the_health_figures() -> None:
    looping = degenerate(["again and " * 100])
    healthy = degenerate(["no word of this sentence comes back at any later point"])
    assert looping["distinct"] < 0.05 < healthy["distinct"] == 1.0
    assert degenerate(["", "…", "three words here"]) == {
        "empty": 2 / 3,
        "distinct": 1.0,
        "words": 1.0,
    }


def test_no_texts_at_all_give_figures_too() -> None:
    assert degenerate([]) == {"empty": 0.0, "distinct": 0.0, "words": 0.0}
    assert longest_run([], SOURCE) == 0
