from dataclasses import replace

import pytest

from llmtwin_assets import prompts
from llmtwin_assets.records import Passage
from llmtwin_assets.retrieval.fitting import QuestionTooLongError, estimate, fit
from llmtwin_assets_tests.writing import essay

TEXT = essay(3).split("---\n")[2].strip().split("\n\n")


def passages(*texts: str) -> list[Passage]:
    return [
        Passage(n, f"c{n}", f"d{n}", f"Essay {n}", f"u{n}", text, 10, 10 + len(text), 1.0)
        for n, text in enumerate(texts, start=1)
    ]


def test_what_fits_is_the_prompt_of_training() -> None:
    given = passages(*TEXT[:3])
    fitted = fit("Ada", "What of it?", given, (), 160)
    assert fitted.chat == prompts.messages("Ada", "What of it?", given)
    assert (fitted.passages, fitted.notes, fitted.max_tokens) == (given, [], 160)


def test_passages_are_shortened_where_a_sentence_ends_and_it_is_said() -> None:
    fitted = fit("Ada", "What of it?", passages(*TEXT[:3]), (), 100, window=450)
    assert len(fitted.passages) == 3
    assert fitted.notes == ["Three passages were shortened to fit."]
    for passage, text in zip(fitted.passages, TEXT, strict=False):
        assert text.startswith(passage.text)
        assert passage.text.endswith(".")
        assert passage.end == passage.start + len(passage.text)
    assert fitted.tokens + fitted.max_tokens <= 450


def test_of_a_grown_passage_what_was_found_stays_and_is_not_called_shortened() -> None:
    text = "\n\n".join(TEXT)
    for sought in (TEXT[0], TEXT[1], TEXT[-1]):
        begin = text.index(sought)
        found = (10 + begin, 10 + begin + len(sought))
        (whole,) = passages(text)
        grown = replace(whole, found=found)
        fitted = fit("Ada", "What of it?", [grown], (), 100, window=600)
        (cut,) = fitted.passages
        assert sought in cut.text
        assert cut.text == text[cut.start - 10 : cut.end - 10] != text
        assert fitted.notes == []
        assert fitted.tokens + fitted.max_tokens <= 600
        (small,) = fit("Ada", "What of it?", [grown], (), 100, window=230).passages
        assert sought.startswith(small.text)


def test_a_short_passage_leaves_its_room_to_the_long_ones() -> None:
    fitted = fit("Ada", "What of it?", passages("Short.", TEXT[0], TEXT[1]), (), 100, window=420)
    assert fitted.passages[0].text == "Short."
    assert fitted.notes == ["Two passages were shortened to fit."]


def test_when_little_room_is_left_passages_are_dropped_the_worst_first() -> None:
    fitted = fit("Ada", "What of it?", passages(*TEXT[:3]), (), 100, window=215)
    assert [p.number for p in fitted.passages] == [1]
    assert "Two passages were left out to fit." in fitted.notes


def test_a_passage_is_never_longer_than_its_room_whatever_it_is_made_of() -> None:
    for text in ("x" * 3000, "这" * 900, "a b " * 900, "?!" * 900, "\n" * 2000, "word. " * 500):
        for window in (200, 300, 500, 900):
            fitted = fit("Ada", "Why?", passages(text, text), (), 60, window)
            assert fitted.tokens + fitted.max_tokens <= window


def test_turns_are_dropped_oldest_first_and_it_is_said() -> None:
    history = [
        {"role": role, "content": f"{role} {n} says that the lantern is bright tonight"}
        for n in range(20)
        for role in ("user", "assistant")
    ]
    fitted = fit("Ada", "What of it?", passages(TEXT[0]), history, 100, window=600)
    kept = fitted.chat[1:-1]
    assert kept == history[-len(kept) :]
    assert kept[0]["role"] == "user"
    assert fitted.notes == [f"The {40 - len(kept)} oldest turns were left out to fit."]
    assert len(fitted.passages) == 1
    assert fitted.tokens + fitted.max_tokens <= 600


def test_a_question_that_does_not_fit_says_how_long_it_may_be() -> None:
    question = "Why is the lantern so bright? " * 200
    with pytest.raises(QuestionTooLongError, match=r"at most ([\d,]+) characters") as refused:
        fit("Ada", question, (), (), 160, window=512)
    allowed = int("".join(filter(str.isdigit, refused.value.remedy)))
    fitted = fit("Ada", question[:allowed], (), (), 160, window=512)
    assert allowed > 500
    assert fitted.notes == [f"The answer is limited to {fitted.max_tokens} tokens to fit."]


def test_an_engine_s_own_count_makes_the_prompt_shorter() -> None:
    given = passages(*TEXT[:3])
    before = fit("Ada", "What of it?", given, (), 160, window=900)
    after = fit("Ada", "What of it?", given, (), 160, window=900, factor=2.0)
    assert after.tokens * 2 + after.max_tokens <= 900 < before.tokens * 2 + before.max_tokens


def test_tokens_are_rather_over_than_underestimated() -> None:
    for text in ["powers delegated", "Why?", "x1 = 23;", "naïve “quotes”", "\n\n", "", "这"]:
        assert estimate(text) >= len(text.split())
    assert estimate("1787") == 4
    assert estimate("government") == 3
