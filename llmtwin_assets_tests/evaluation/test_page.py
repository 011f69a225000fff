"""A report's figures and its page, from answers to the file that is sent on."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from llmtwin_assets.evaluation import figures, page, pictures
from llmtwin_assets.evaluation.gates import judges, verdicts
from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.evaluation.writers import AUTHOR
from llmtwin_assets_tests.evaluation.test_style import NAMES, imitation
from llmtwin_assets_tests.writing import german
from resources.reference_writers import ReferenceWriters

HOSTILE = '<script>alert("x")</script> & <img src=x onerror=alert(1)> {style}'
PROMPTS = 9


@pytest.fixture(scope="module")
def writers() -> dict[str, list[str]]:
    found = ReferenceWriters().load()
    return {name: found[name][: 14 if name == "Madison" else 4] for name in NAMES}


@pytest.fixture(scope="module")
def answers(writers: dict[str, list[str]]) -> list[dict[str, str]]:
    """A base model that writes like an assistant, and a twin that is the author's own pen."""
    unseen = [piece for text in writers["Madison"][10:] for piece in pieces(text, 150)]
    texts = {
        "base": [imitation(number) for number in range(PROMPTS)],
        "few_shot": [imitation(3 * number) for number in range(PROMPTS)],
        "twin": unseen[:PROMPTS],
    }
    return [
        {
            "system": system,
            "sample_id": f"s{number}",
            "instruction": f"Write part {number}. {HOSTILE}",
            "author": f"{unseen[PROMPTS + number]} {HOSTILE}",
            "text": f"{texts[system][number]} {HOSTILE}",
        }
        for system in texts
        for number in range(PROMPTS)
    ]


@pytest.fixture(scope="module")
def found(writers: dict[str, list[str]], answers: list[dict[str, str]]) -> dict[str, Any]:
    measured = {
        "base": {"nats": 3.35, "tokens": 4000, "prose": 3.3, "followed": 0.6, "exposures": [1.0]},
        "few_shot": {},
        "twin": {"nats": 2.98, "tokens": 4000, "prose": 3.4, "followed": 0.5, "exposures": [6.0]},
    }
    return figures.figures(measured, answers, writers["Madison"][:10], writers)


def test_the_twin_goes_the_way_from_the_base_to_the_author(found: dict[str, Any]) -> None:
    assert found["style"]["measures"]["verification"]["admitted"]
    gain = found["style"]["gains"]["twin"]["verification"]
    assert 0.5 < gain["value"] < 1.5
    assert gain["low"] < gain["value"] < gain["high"]
    for than in ("base", "few_shot"):
        assert found["style"]["nearer"][than]["verification"]["low"] > 0
    assert found["nearest"]["twin"] == AUTHOR
    assert found["same_writers"] == ["Madison"]


def test_all_sides_are_compared_at_one_length(found: dict[str, Any]) -> None:
    assert max(found["words"].values()) - min(found["words"].values()) <= 2 * PROMPTS


def test_figures_are_plain_json_and_hold_no_text(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "script" not in json.dumps(found)


def test_copied_text_is_counted_unless_it_is_marked_as_a_quotation(
    writers: dict[str, list[str]], found: dict[str, Any]
) -> None:
    assert found["copied_8grams"]["twin"] < 0.02
    assert found["longest_run"]["base"] < 8
    quotation = " ".join(writers["Madison"][0].split()[100:130])
    assert figures.unquoted(f"He said: “{quotation}” then.").split() == ["He", "said:", "then."]
    assert figures.unquoted(f"> {quotation}\nWell.").split() == ["Well."]


def test_the_headline_has_numbers_only_and_leaves_out_what_is_unknown(
    found: dict[str, Any],
) -> None:
    line = figures.headline(found)
    assert all(isinstance(value, float | int) for value in line.values())
    gain = found["style"]["gains"]["twin"]["verification"]["value"]
    assert line["style gain (verification)"] == round(gain, 3)
    assert line["forgotten (nats)"] == 0.1
    unknown = {"gains": {}, "measures": {}}
    assert "style gain (verification)" not in figures.headline(found | {"style": unknown})


def unmeasured(
    answers: list[dict[str, str]], train: list[str], writers: dict[str, list[str]]
) -> dict[str, Any]:
    nan = float("nan")
    measured = {
        "base": {"nats": 3.35, "tokens": 4000, "prose": 3.3, "followed": 0.6, "exposures": [nan]},
        "twin": {"nats": nan, "tokens": 4000, "prose": nan, "followed": 0.5},
    }
    return figures.figures(measured, answers, train, writers)


def test_an_author_nobody_can_be_compared_with_has_a_report_that_says_so(
    writers: dict[str, list[str]], answers: list[dict[str, str]]
) -> None:
    found = unmeasured(answers, [german(1), german(2)], writers)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["copied_8grams"]["twin"] == 0
    text = page.html(found, answers, "Title")
    assert text.count("Style was not measured: reference writers: 0 of 6 write the author") == 2
    assert "LLMTWIN_REFERENCE_WRITERS" in text
    assert figures.headline(found)["copied 8-grams"] == 0
    facts = {"found": found, "style_decides": True}
    said = {judge.__name__: judge(facts) for judge in judges}
    verdict = said["sounds_more_like_the_author"]
    assert not verdict.passed
    assert "Set LLMTWIN_REFERENCE_WRITERS to a folder" in verdict.because
    for name in ("predicts_better_than_base", "forgets_little"):
        assert not said[name].passed
        assert "is not a number" in said[name].because
    assert judges[1](facts | {"style_decides": False}).passed


def test_a_single_prompt_gives_a_report_without_style(
    writers: dict[str, list[str]], answers: list[dict[str, str]]
) -> None:
    one = [row for row in answers if row["sample_id"] == "s0"]
    found = unmeasured(one, writers["Madison"][:10], writers)
    json.dumps(found, allow_nan=False)
    assert "held-out prompts: there are 1" in found["style"]["unmeasured"]
    assert page.html(found, one, "Title")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.left_open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "meta"):
            self.left_open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.left_open.pop() == tag


@pytest.fixture(scope="module")
def text(found: dict[str, Any], answers: list[dict[str, str]]) -> str:
    return page.html(found, answers, f"A report {HOSTILE}")


def test_the_page_is_well_formed_and_escapes_every_text(text: str) -> None:
    tags = Tags()
    tags.feed(text)
    assert tags.left_open == []
    assert "script" not in tags.opened
    assert all(set(image) == {"src", "alt"} for image in tags.images)
    assert "&lt;script&gt;" in text


def test_the_page_needs_no_other_file(text: str) -> None:
    assert not re.search(r'(?:src|href)="(?!data:image/png;base64,)', text)
    assert "url(" not in text
    assert len(text) < 200_000


def test_the_page_says_in_words_what_its_pictures_show(text: str, found: dict[str, Any]) -> None:
    tags = Tags()
    tags.feed(text)
    assert len(tags.images) == len(pictures.plots(found)) >= 3
    assert all(len(image["alt"] or "") > 20 for image in tags.images)
    assert f"Twin {found['style']['gains']['twin']['verification']['value']:.2f}" in text


def test_the_page_shows_author_and_systems_side_by_side(text: str) -> None:
    assert text.count("<section>") == 3
    assert text.count("<h4>The author</h4>") == text.count("<h4>Twin</h4>") == 3


def test_the_authors_long_text_is_cut_to_the_length_of_the_models(found: dict[str, Any]) -> None:
    row = {"system": "twin", "sample_id": "s", "instruction": "Write.", "text": "three words here"}
    text = page.html(found, [row | {"author": "one\n\ntwo three four five"}], "Title")
    assert "one\n\ntwo three …" in text
    assert "four" not in text.split("<section>")[1]


def test_the_summary_says_what_the_figures_say(found: dict[str, Any]) -> None:
    gain = found["style"]["gains"]["twin"]["verification"]["value"]
    assert f"{gain:.0%}" in page.summary(found)
    assert "2.98 nats" in page.summary(found)
    nothing = {"style": {"gains": {}, "measures": {}}}
    assert "cannot be said" in page.summary(found | nothing)


def test_a_measure_that_does_not_count_is_named_with_its_reason(found: dict[str, Any]) -> None:
    measures = found["style"]["measures"] | {
        "rhythm": {"admitted": False, "because": "it does not tell the author from others (0.61)"}
    }
    text = page.html(found | {"style": found["style"] | {"measures": measures}}, [], "Title")
    assert "Rhythm is not counted: it does not tell the author from others (0.61)." in text


def test_the_page_says_which_gates_are_shut_and_what_to_do(found: dict[str, Any]) -> None:
    facts = {"found": found, "style_decides": True}
    everything = page.html(found, [], "The twin", verdicts(facts))
    assert f"Yes: all {len(judges)} gates are open" in everything
    thief = found | {"copied_8grams": found["copied_8grams"] | {"twin": 0.4}}
    text = page.html(thief, [], "The twin", verdicts(facts | {"found": thief}))
    assert f"No: 1 of {len(judges)} gates is shut" in text
    first = text.partition('<ul class="gates">')[2].partition("</li>")[0]
    assert "Shut: copies little" in first
    assert "train on fewer passes, or at a lower rate." in first
    assert "May it serve?" not in page.html(found, [], "The twin")


def test_a_page_without_answers_is_still_a_page(found: dict[str, Any]) -> None:
    assert "<table>" in page.html(found, [], "Nothing was written")


def test_the_page_shows_judges_by_the_names_it_gives_to_systems(found: dict[str, Any]) -> None:
    cost = {"calls": 9, "tokens_in": 200, "tokens_out": 70, "money": None}
    share = {"value": 0.75, "low": 0.6, "high": 0.85, "pairs": 12}
    mark = {"value": 2.5, "low": 2.1, "high": 2.9}
    said = {
        "scores": {"twin over base": share},
        "marks": {"twin": {"accuracy": mark, "style": mark, "answers": 12}},
    }
    one = {"name": HOSTILE, "void": False, "because": "it passed", "unanswered": {"budget": 3},
           "estimate": cost, "cost": cost, **said}  # fmt: skip
    panel = {"void": False, "because": "it passed", "judges": [one], "agreement": {}, **said}
    text = page.html(found | {"judge": panel}, [], "The twin")
    section = text.partition("<h2>Judges</h2>")[2]
    assert "<td>0.75 (0.60 to 0.85)</td>" in section
    assert '<th scope="row">Twin</th><td>2.50 (2.10 to 2.90)</td>' in section
    assert "budget 3" in section
    assert "<script" not in text
