import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from llmtwin_assets.evaluation import report
from llmtwin_assets.evaluation.delta import AUTHOR, TooLittleTextError
from resources.reference_writers import ReferenceWriters

HOSTILE = '<script>alert("x")</script> & <img src=x onerror=alert(1)> {style}'


@pytest.fixture(scope="module")
def writers() -> dict[str, list[str]]:
    chosen = ReferenceWriters().load()
    chosen.pop("Theodore Roosevelt")  # the longest by far: the tests are to be quick
    return {name: texts[: 14 if name == "Madison" else 4] for name, texts in chosen.items()}


@pytest.fixture(scope="module")
def answers(writers: dict[str, list[str]]) -> list[dict[str, str]]:
    """A base model that writes like a novelist, and a twin that is the author's own pen."""
    texts = {"base": writers["Emily Brontë"], "twin": writers["Madison"][8:14:2]}
    return [
        {
            "model": model,
            "sample_id": f"s{number}",
            "instruction": f"Write part {number}. {HOSTILE}",
            "author": f"What he wrote. {HOSTILE}",
            "text": " ".join(texts[model][number].split()[:1200]) + HOSTILE,
        }
        for model in ("base", "twin")
        for number in range(3)
    ]


@pytest.fixture(scope="module")
def found(writers: dict[str, list[str]], answers: list[dict[str, str]]) -> dict[str, Any]:
    measured = {"nats": {"base": 3.35, "twin": 2.98}, "tokens": 4_000, "answers": 6}
    own = writers["Madison"]
    return report.figures(measured, answers, own[:8], own[9::2], writers)


def test_the_author_is_nearest_to_the_twin_and_not_to_the_base(found: dict[str, Any]) -> None:
    assert found["nearest"] == {"base": "Emily Brontë", "twin": AUTHOR, "held_out": AUTHOR}
    assert found["delta"]["twin"]["value"] < found["delta"]["base"]["value"]
    for each in found["delta"].values():
        assert each["low"] < each["value"] < each["high"]
    assert found["same_writers"] == ["Madison"]


def test_the_style_gain_is_the_share_of_the_way_gone(found: dict[str, Any]) -> None:
    value = {name: each["value"] for name, each in found["delta"].items()}
    share = (value["base"] - value["twin"]) / (value["base"] - value["held_out"])
    assert found["style_gain"] == pytest.approx(share)
    assert 0.7 < share < 1.3


def test_a_base_that_is_as_near_already_has_no_gain_to_give() -> None:
    delta = {"base": {"value": 0.5}, "twin": {"value": 0.4}, "held_out": {"value": 0.6}}
    assert report.style_gain({"delta": delta}) is None
    assert report.style_gain({"delta": {"held_out": {"value": 0.6}}}) is None


def test_all_sides_are_compared_at_one_length(found: dict[str, Any]) -> None:
    lengths = [each["words"] for each in found["delta"].values()]
    assert max(lengths) - min(lengths) <= 10
    assert min(lengths) > 3_000


def test_a_model_that_fell_silent_does_not_shorten_the_others() -> None:
    written = {"base": ["one two three four"] * 5, "twin": ["word"] + [""] * 4}
    lengths = {
        name: sum(len(text.split()) for text in texts)
        for name, texts in report.equal_lengths(written, ["and so on " * 50]).items()
    }
    assert lengths == {"base": 20, "twin": 1, "held_out": 20}


def test_held_out_pieces_come_from_the_whole_text() -> None:
    text = " ".join(letter * 3 for letter in "abcdefghijklmnopqrst")
    pieces = report.equal_lengths({"base": ["x y"] * 2}, [text])["held_out"]
    assert pieces == ["aaa bbb", "sss ttt"]


def test_figures_are_plain_json_and_hold_no_text(
    found: dict[str, Any], answers: list[dict[str, str]]
) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "script" not in json.dumps(found)


def test_copied_text_is_counted(found: dict[str, Any]) -> None:
    assert found["copied_8grams"]["twin"] < 0.02
    assert found["longest_run"]["base"] < 8
    assert found["health"]["twin"]["empty"] == 0


def test_a_short_author_is_refused(writers: dict[str, list[str]]) -> None:
    measured = {"nats": {}, "tokens": 0, "answers": 0}
    with pytest.raises(TooLittleTextError):
        report.figures(measured, [], ["a few words"], ["more"], writers)


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
def page(found: dict[str, Any], answers: list[dict[str, str]]) -> str:
    return report.html(found, answers, f"A report {HOSTILE}")


def test_the_page_is_well_formed_and_escapes_every_text(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.left_open == []
    assert "script" not in tags.opened
    assert all(set(image) == {"src", "alt"} for image in tags.images)
    assert "&lt;script&gt;" in page


def test_the_page_needs_no_other_file(page: str) -> None:
    assert not re.search(r'(?:src|href)="(?!data:image/png;base64,)', page)
    assert "url(" not in page
    assert len(page) < 200_000


def test_the_page_says_in_words_what_its_pictures_show(page: str, found: dict[str, Any]) -> None:
    tags = Tags()
    tags.feed(page)
    assert len(tags.images) == 3
    assert all(len(image["alt"] or "") > 20 for image in tags.images)
    assert f"Twin {found['delta']['twin']['value']:.2f}" in page


def test_the_page_shows_author_and_models_side_by_side(page: str) -> None:
    assert page.count("<section>") == 3
    assert page.count("<h4>The author</h4>") == page.count("<h4>Twin</h4>") == 3


def test_the_authors_long_text_is_cut_to_the_length_of_the_models(found: dict[str, Any]) -> None:
    row = {"model": "twin", "sample_id": "s", "instruction": "Write.", "text": "three words here"}
    page = report.html(found, [row | {"author": "one\n\ntwo three four five"}], "Title")
    assert "one\n\ntwo three …" in page
    assert "four" not in page.split("<section>")[1]


def test_the_summary_says_what_the_figures_say(found: dict[str, Any]) -> None:
    said = report.summary(found | {"style_gain": 0.75})
    assert "75% of the way" in said
    assert "2.98 nats" in said
    assert "cannot be said" in report.summary(found | {"style_gain": None})
    assert "no nearer" in report.summary(found | {"style_gain": -0.1})


def test_the_headline_has_numbers_only_and_leaves_out_what_is_unknown(
    found: dict[str, Any],
) -> None:
    assert all(isinstance(value, float | int) for value in report.headline(found).values())
    assert report.headline(found)["style gain (Delta)"] == round(found["style_gain"], 3)
    assert "style gain (Delta)" not in report.headline(found | {"style_gain": None})


def test_each_plot_of_the_page_is_there_by_name(found: dict[str, Any]) -> None:
    drawn = report.plots(found)
    assert set(drawn) == {"delta_to_the_author", "nats_per_token", "who_writes_like_whom"}
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())


def test_a_page_without_answers_is_still_a_page(found: dict[str, Any]) -> None:
    assert "<table>" in report.html(found, [], "Nothing was written")
