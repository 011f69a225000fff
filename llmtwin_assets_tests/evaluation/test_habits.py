import pytest

from llmtwin_assets.evaluation.habits import habits, openers
from llmtwin_assets.evaluation.writers import Writers, comparable
from llmtwin_assets_tests.evaluation.test_delta import IMITATION
from llmtwin_assets_tests.evaluation.test_style import NAMES
from resources.reference_writers import ReferenceWriters


@pytest.fixture(scope="module")
def writers() -> Writers:
    found = ReferenceWriters().load()
    return comparable(found["Madison"][:6], {name: found[name][:3] for name in NAMES[1:]})


def test_habits_name_what_an_imitation_overdoes(writers: Writers) -> None:
    found = habits(writers, {"base": IMITATION})["base"]
    assert "that" in found["over"] or "can" in found["over"] or "can't" in found["over"]
    assert len(found["over"]) + len(found["under"]) >= 8
    assert all(value > 0 for value in found["over"].values())


def test_a_text_whose_sentences_all_open_alike_is_told_so(writers: Writers) -> None:
    texts = {"but": "But it was so. But he went. But they said nothing of it at all. " * 9}
    assert "“but” opening" in habits(writers, texts)["but"]["over"]


def test_openers_count_function_words_at_the_beginning_of_sentences() -> None:
    count = openers(["but", "the"])
    assert count("But he went. “The law, but no more.” Union is all! And then") == {
        "“but” opening": (1, 3),
        "“the” opening": (1, 3),
    }
    assert count("") == {"“but” opening": (0, 0), "“the” opening": (0, 0)}


def test_no_word_of_topic_is_told(writers: Writers) -> None:
    texts = {"topic": "Government is government. Government of the union is union. " * 20}
    named = " ".join(name for side in habits(writers, texts)["topic"].values() for name in side)
    assert "government" not in named
    assert "union" not in named
