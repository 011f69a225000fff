"""Gates are functions of recorded facts: each opens for a good version and closes for a bad one."""

from typing import Any

import pytest

from llmtwin_assets.corpus import checks as corpus
from llmtwin_assets.datasets import checks as datasets
from llmtwin_assets.evaluation import gates as evaluation
from llmtwin_assets.features import checks as features
from llmtwin_assets.retrieval import checks as retrieval
from llmtwin_assets.serving import checks as serving
from llmtwin_assets.training import checks as training

RISING = [[1, 2.0], [2, 2.5], [3, 3.0], [4, 3.5]]
FALLING = [[1, 3.5], [2, 3.0], [3, 2.5], [4, 2.0]]
SEARCH = {"questions": 100, "recall_at_10": 0.9}


def written(wanted: str | None = None, **shares: float) -> dict[str, Any]:
    """Facts of a corpus with these shares of languages."""
    return {"language": wanted, "languages": shares}


def listed(*sources: tuple[int, int]) -> dict[str, Any]:
    """Facts of a raw asset whose sources gave so many items and had so many unreadable ones."""
    return {
        "unreadable": sum(unreadable for _, unreadable in sources),
        "sources": {
            f"source {number}": {"read": read, "unreadable": unreadable}
            for number, (read, unreadable) in enumerate(sources)
        },
    }


def trained(train: int, rows: int) -> dict[str, Any]:
    """Facts of a data set with so many train rows of 85 words each."""
    return {"train": train, "rows": rows, "train_words": 85 * train}


def kept(words: dict[str, int]) -> dict[str, Any]:
    """Facts of a data set of which so many words were kept and dropped."""
    return {"rows": 5, "candidates": 9, "words": words, "dropped": {"boilerplate": 4}}


def languages(train: dict[str, int]) -> dict[str, Any]:
    """Facts of a data set whose held-out words are English."""
    return {"languages": {"train": train, "held-out": {"en": 10}}}


def report(**changes: Any) -> dict[str, Any]:
    """Facts of a good report; a change names a value by its path."""
    ahead = {"value": 0.4, "low": 0.2, "high": 0.6}
    health = {"empty": 0.0, "distinct": 0.9, "words": 100.0}
    facts: dict[str, Any] = {
        "style_decides": True,
        "found": {
            "systems": {
                "base": {"nats": 3.4, "prose": 3.3, "followed": 0.6},
                "twin": {"nats": 3.1, "prose": 3.4, "followed": 0.5},
            },
            "style": {
                "nearer": {
                    name: {"function words": dict(ahead), "verification": dict(ahead)}
                    for name in ("base", "few_shot", "deployed")
                }
            },
            "copied_8grams": {"twin": 0.001},
            "health": {"twin": dict(health), "held_out": dict(health)},
            "judge": {"void": False, "because": "two judges agree"},
        },
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        place = facts["found"]
        for step in way:
            place = place[step.replace("_words", " words")]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return facts


NO_STYLE = {name: {} for name in ("base", "few_shot")}


@pytest.mark.parametrize(
    ("judge", "good", "bad"),
    [
        (corpus.little_is_unreadable, listed((1, 4), (40, 10)), listed((900, 0), (1, 9))),
        (corpus.little_is_unreadable, listed(), listed((0, 5))),
        (features.corpus_is_not_empty, {"rows": 2, "words": 1000}, {"rows": 0, "words": 0}),
        (features.corpus_is_not_empty, {"rows": 9, "words": 9000}, {"rows": 3, "words": 60}),
        (features.is_in_the_authors_language, written(en=0.8, de=0.2), written(en=0.6, de=0.4)),
        (features.is_in_the_authors_language, written("de", de=1.0), written("de", en=1.0)),
        (features.is_in_the_authors_language, written("de"), written("fr", de=0.5, fr=0.5)),
        (features.repeats_itself_little, {"repeated": 0.2}, {"repeated": 0.9}),
        (features.is_not_boilerplate, {"boilerplate": 0.2}, {"boilerplate": 0.6}),
        (features.nothing_lost_in_cleaning, {"kept_share": 1.0}, {"kept_share": 0.99}),
        (features.something_is_held_out, {"held_out": 1, "rows": 9}, {"held_out": 0, "rows": 9}),
        (features.nothing_lost_in_chunking, {"coverage": 1.0}, {"coverage": 0.97}),
        (
            features.no_chunk_over_the_limit,
            {"longest": 254, "limit": 254},
            {"longest": 255, "limit": 254},
        ),
        (features.points_equal_chunks, {"points": 5, "chunks": 5}, {"points": 4, "chunks": 5}),
        (
            retrieval.search_finds_passages,
            {"scores": {"passage": SEARCH}},
            {"scores": {"passage": SEARCH | {"recall_at_10": 0.1}}},
        ),
        (
            datasets.answers_are_verbatim,
            {"verbatim": 5, "authored": 5},
            {"verbatim": 4, "authored": 5},
        ),
        (datasets.no_secrets, {"unmasked": 0}, {"unmasked": 1}),
        (
            datasets.most_is_usable,
            kept({"kept": 500, "dropped": 400}),
            kept({"kept": 400, "dropped": 500}),
        ),
        (datasets.languages_agree, languages({"en": 9, "": 1}), languages({"": 10})),
        (datasets.languages_agree, languages({"en": 5, "de": 5}), languages({"de": 10})),
        (
            datasets.topics_are_covered,
            {"topic_coverage": 0.9, "topics": 7},
            {"topic_coverage": 0.7, "topics": 7},
        ),
        (
            datasets.nothing_held_out_in_train,
            {"leaking": 0, "train": 5},
            {"leaking": 1, "train": 5},
        ),
        (datasets.no_answer_twice, {"duplicates": 0}, {"duplicates": 2}),
        (datasets.enough_to_train_on, trained(8, 9), trained(3, 4)),
        (datasets.enough_to_train_on, trained(8, 9), trained(9, 9)),
        (training.loss_decreased, {"loss": FALLING}, {"loss": RISING}),
        (training.loss_decreased, {"loss": FALLING}, {"loss": [*FALLING, [5, float("nan")]]}),
        (
            training.chosen_is_verbatim,
            {"verbatim": 5, "authored": 5},
            {"verbatim": 4, "authored": 5},
        ),
        (training.sides_differ, {"same": 0, "duplicates": 0}, {"same": 56, "duplicates": 0}),
        (training.sides_differ, {"same": 0, "duplicates": 0}, {"same": 0, "duplicates": 1}),
        (
            training.length_decides_nothing,
            {"words_chosen": 70.0, "words_rejected": 69.0},
            {"words_chosen": 90.0, "words_rejected": 60.0},
        ),
        (training.no_held_out_pairs, {"held_out": 0}, {"held_out": 1}),
        (training.enough_pairs, {"rows": 4}, {"rows": 3}),
        (
            training.preferences_were_learned,
            {"loss": FALLING, "margins": [[1, 0.0], [2, 0.4]]},
            {"loss": FALLING, "margins": [[1, 0.0], [2, -0.4]]},
        ),
        (
            training.quantisation_costs_little,
            {"nats": 3.01, "nats_before": 3.0},
            {"nats": 3.2, "nats_before": 3.0},
        ),
        (
            training.quantisation_saves_room,
            {"bytes": 53, "bytes_before": 100},
            {"bytes": 130, "bytes_before": 100},
        ),
        (evaluation.predicts_better_than_base, report(), report(systems__twin__nats=3.5)),
        (
            evaluation.sounds_more_like_the_author,
            report(),
            report(style__nearer__base__function_words__high=-0.01),
        ),
        (
            evaluation.sounds_more_like_the_author,
            report() | {"style_decides": False},
            report(
                style__nearer__base__verification__low=-0.2,
                style__nearer__base__function_words__low=-0.1,
            ),
        ),
        (evaluation.sounds_more_like_the_author, report(), report(style__nearer=NO_STYLE)),
        (
            evaluation.sounds_more_like_the_author,
            report(style__nearer__few_shot__verification__low=-0.1),
            report(style__nearer__few_shot__verification__value=-0.1),
        ),
        (evaluation.copies_little, report(), report(copied_8grams__twin=0.02)),
        (evaluation.is_not_degenerate, report(), report(health__twin__distinct=0.3)),
        (evaluation.is_not_degenerate, report(), report(health__twin__empty=0.5)),
        (evaluation.forgets_little, report(), report(systems__twin__prose=4.2)),
        (evaluation.forgets_little, report(), report(systems__twin__followed=0.0)),
        (
            evaluation.not_worse_than_deployed,
            report(),
            report(style__nearer__deployed__verification__high=-0.05),
        ),
        (
            evaluation.not_worse_than_deployed,
            report(style__nearer__deployed=None),
            report(style__nearer__deployed__function_words__high=-0.1),
        ),
        (
            evaluation.judge_is_sound,
            report(judge=None),
            report(judge__void=True, judge__because="the judge gives every text the top mark"),
        ),
        (
            serving.serves_what_was_evaluated,
            {"twin": "a", "evaluated": "a"},
            {"twin": "a", "evaluated": "b"},
        ),
    ],
)
def test_a_gate_opens_for_the_good_and_closes_for_the_bad(judge, good, bad) -> None:
    assert judge(good).passed
    verdict = judge(bad)
    assert not verdict.passed
    assert verdict.because


def test_too_little_to_train_on_says_how_much_more_the_author_needs() -> None:
    assert "add about 500 words of prose" in datasets.enough_to_train_on(trained(3, 4)).because
    assert "add about 950 words" in datasets.enough_to_train_on(trained(0, 0)).because
    assert "add a document" in datasets.enough_to_train_on(trained(9, 9)).because
