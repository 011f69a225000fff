import math
from random import Random
from statistics import NormalDist, mean, stdev

import pytest

from llmtwin_assets.evaluation import style
from llmtwin_assets.evaluation.admission import LEAST_AUC
from llmtwin_assets.evaluation.intervals import interval
from llmtwin_assets.evaluation.languages import lists
from llmtwin_assets.evaluation.pieces import equal_lengths, pieces
from llmtwin_assets.evaluation.rhythm import rhythm, sentences
from llmtwin_assets.evaluation.verification import mask
from llmtwin_assets.evaluation.writers import comparable
from llmtwin_assets.features.words import WORD, first_words, words
from llmtwin_assets_tests.evaluation.test_delta import IMITATION
from resources.reference_writers import ReferenceWriters

PROMPTS = 12
NAMES = ("Madison", "Hamilton", "Jay", "Emily Brontë", "William H. Taft", "Woodrow Wilson")
SENTENCES = sentences(IMITATION)


def imitation(number: int) -> str:
    """What an assistant would write, in another order each time."""
    turned = SENTENCES[number % len(SENTENCES) :] + SENTENCES[: number % len(SENTENCES)]
    return " ".join(turned)


@pytest.fixture(scope="module")
def writers() -> dict[str, list[str]]:
    found = ReferenceWriters().load()
    return {name: found[name][:6] for name in NAMES} | {"Madison": found["Madison"]}


@pytest.fixture(scope="module")
def systems(writers: dict[str, list[str]]) -> dict[str, list[str]]:
    unseen = [piece for text in writers["Madison"][11:] for piece in pieces(text, 140)]
    rival = [piece for text in writers["Hamilton"] for piece in pieces(text, 140)]
    return equal_lengths(
        {
            "base": [imitation(number) for number in range(PROMPTS)],
            "rival": rival[:PROMPTS],
            "seen": pieces(writers["Madison"][0], 140)[:PROMPTS],
            "author": unseen[:PROMPTS],
        }
    )


@pytest.fixture(scope="module")
def scorer(writers: dict[str, list[str]], systems: dict[str, list[str]]) -> style.Scorer:
    others = {name: texts for name, texts in writers.items() if name != "Madison"}
    return style.fit(comparable(writers["Madison"][:11], others), {"base": systems["base"]})


@pytest.fixture(scope="module")
def compared(scorer: style.Scorer, systems: dict[str, list[str]]) -> style.Comparison:
    return scorer.compare(systems)


def test_measures_that_tell_the_author_from_others_and_from_an_imitation_are_admitted(
    scorer: style.Scorer,
) -> None:
    assert "verification" in scorer.admitted
    for name in scorer.admitted:
        assert scorer.admissions[name].others >= LEAST_AUC
        assert scorer.admissions[name].imitation >= LEAST_AUC


def test_a_measure_that_cannot_tell_the_author_from_others_is_not(
    writers: dict[str, list[str]],
) -> None:
    sheets = [
        zip(pieces(a, 100), pieces(b, 100), strict=False)
        for a, b in zip(writers["Hamilton"], writers["Woodrow Wilson"], strict=False)
    ]
    mixed = [" ".join(piece for pair in sheet for piece in pair) for sheet in sheets]
    others = {f"one of many {n}": [mixed[n]] for n in range(3)} | {
        "Jay": writers["Jay"], "Emily": writers["Emily Brontë"]
    }  # fmt: skip
    found = style.fit(comparable(mixed[3:], others))
    refused = [each for each in found.admissions.values() if not each.admitted]
    assert refused
    assert all("other writers" in each.because for each in refused)


def test_unseen_text_of_the_author_is_nearer_than_an_imitation(
    scorer: style.Scorer, compared: style.Comparison
) -> None:
    for measure in scorer.admitted:
        found = compared.nearer(measure, "author", "base")
        assert found.low > 0
        gains = {
            name: compared.gain(measure, name, "base", "author") for name in ("base", "author")
        }
        assert gains["base"].value == 0
        assert gains["author"].value == pytest.approx(1)


def test_a_rival_of_the_same_time_and_topic_is_told_from_the_author(
    compared: style.Comparison,
) -> None:
    assert compared.nearer("verification", "author", "rival").low > 0
    assert compared.score("verification", "rival").value < 0.5


def test_where_the_base_is_as_near_as_the_author_there_is_no_way_to_go(
    compared: style.Comparison,
) -> None:
    assert compared.gain("verification", "rival", "author", "author") is None


def test_text_that_was_learned_by_heart_is_no_nearer_than_the_classifier_can_say(
    compared: style.Comparison,
) -> None:
    assert compared.score("verification", "seen").value <= 1
    assert compared.nearer("function words", "seen", "author").value < 0.5


def test_the_interval_is_that_of_a_mean_where_the_figure_is_one() -> None:
    values = [0.1, 0.4, 0.35, 0.8, 0.6]
    without = [mean(values[:row] + values[row + 1 :]) for row in range(len(values))]
    found = interval(mean(values), without, level=0.9)
    assert found.high - found.value == pytest.approx(
        2.1318 * stdev(values) / math.sqrt(5), rel=1e-3
    )
    assert found.high - found.low > 2 * NormalDist().inv_cdf(0.95) * stdev(values) / math.sqrt(5)


def test_a_single_prompt_proves_nothing_and_is_refused(scorer: style.Scorer) -> None:
    with pytest.raises(style.TooFewPromptsError, match="at least 2 passages"):
        scorer.compare({"base": [imitation(0)], "author": [imitation(1)]})
    with pytest.raises(style.TooFewPromptsError):
        scorer.compare({})


def test_two_prompts_prove_little_but_give_numbers(scorer: style.Scorer) -> None:
    two = {
        "base": [" ".join(SENTENCES[:2]), " ".join(SENTENCES[2:4])],
        "author": [" ".join(SENTENCES[4:7]), " ".join(SENTENCES[7:])],
    }
    found = scorer.compare(two).nearer("function words", "author", "base")
    assert math.isfinite(found.low)
    assert found.low < 0 < found.high


def test_empty_answers_are_far_from_everyone(scorer: style.Scorer) -> None:
    found = scorer.compare({"silent": [""] * 4, "author": [imitation(n) for n in range(4)]})
    assert found.score("verification", "silent").value == 0
    for measure in scorer.measures:
        assert math.isfinite(found.score(measure, "silent").value)


def test_another_topic_changes_nothing_and_the_authors_topic_alone_convinces_nobody(
    scorer: style.Scorer, systems: dict[str, list[str]]
) -> None:
    small = lists()["en"]

    def other_topic(text: str) -> str:
        return WORD.sub(lambda m: m[0] if m[0].casefold() in small else "z" * len(m[0]), text)

    topic = [word for word in words(" ".join(systems["author"])) if word not in small]
    turned = iter(topic * 20)
    dressed = [
        WORD.sub(lambda m: m[0] if m[0].casefold() in small else next(turned), text)
        for text in systems["base"]
    ]
    found = scorer.compare(
        {
            "author": systems["author"],
            "abroad": [other_topic(text) for text in systems["author"]],
            "dressed": dressed,
        }
    )
    for measure in scorer.admitted:
        here, away = (found.score(measure, name).value for name in ("author", "abroad"))
        assert away == pytest.approx(here, abs=0.02)
        assert found.nearer(measure, "author", "dressed").low > 0


def test_the_authors_small_words_in_any_order_are_not_the_author(
    scorer: style.Scorer, systems: dict[str, list[str]]
) -> None:
    chance = Random(0)

    def shuffled(text: str) -> str:
        found = [word for word in words(text) if word in lists()["en"]]
        return " ".join(chance.sample(found, len(found)))

    salad = [shuffled(text) for text in systems["author"]]
    found = scorer.compare({"author": systems["author"], "salad": salad})
    assert any(found.nearer(name, "author", "salad").low > 0 for name in scorer.admitted)
    assert found.nearer("verification", "author", "salad").low > 0


def test_no_text_is_too_odd_to_score(scorer: style.Scorer) -> None:
    odd = ["", " \n\t", "\x00\ud800", "🙂🙂", "a" * 50_000, "﷽ ﷽", "12345 ...", "道可道，非常道。"]
    found = scorer.compare({"odd": odd, "author": [imitation(n) for n in range(len(odd))]})
    for measure in scorer.measures:
        score = found.score(measure, "odd")
        assert math.isfinite(score.low)
        assert math.isfinite(score.high)


def test_the_mask_leaves_function_words_punctuation_and_lengths() -> None:
    known = frozenset({"the", "of", "and", "don't"})
    assert mask("The Union of 13 states, and don’t!", known) == "The ***** of ## ******, and don’t!"
    swapped = mask("The Onion of 13 slates, and don’t!", known)
    assert swapped == mask("The Union of 13 states, and don’t!", known)


def test_rhythm_counts_sentences_that_end_and_their_marks() -> None:
    found = rhythm("Well, he said (twice): no. Then he left; nobody — not one — asked why")
    assert found["words per sentence"] == (5, 1)
    assert found["commas"] == (1, 13)
    assert found["dashes"][0] == 2
    assert rhythm("")["words per sentence"] == (0, 0)


def test_scripts_without_spaces_have_words_sentences_and_pieces() -> None:
    text = "我们不是为了这个来的，但是你可以说。他们在吗？"
    assert rhythm(text)["words per sentence"] == (20, 2)
    assert rhythm(text)["commas"] == (1, 20)
    assert pieces(text, 10) == ["我们不是为了这个来的，", "但是你可以说。他们在吗？"]
    assert mask(text, frozenset("的不")) == "**不******的，******。****？"


def test_pieces_are_spans_of_the_text_and_lose_no_word() -> None:
    text = "one two\nthree, four. five\n\nsix seven"
    assert pieces(text, 3) == ["one two\nthree,", "four. five\n\nsix seven"]
    assert pieces("one", 3) == []
    assert pieces("one", 3, keep_short=True) == ["one"]
    assert first_words(text, 3) == "one two\nthree,"


def test_answers_to_one_prompt_are_cut_to_one_length_but_silence_cuts_nobody() -> None:
    sets = {"a": ["one two three four", "one two three four"], "b": ["one two three", ""],
            "c": ["one two three four five", "one two three"]}  # fmt: skip
    cut = equal_lengths(sets)
    assert {name: [len(text.split()) for text in texts] for name, texts in cut.items()} == {
        "a": [3, 3], "b": [3, 0], "c": [3, 3],
    }  # fmt: skip
