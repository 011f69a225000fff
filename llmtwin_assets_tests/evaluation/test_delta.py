import pytest

from llmtwin_assets.evaluation.delta import Delta
from llmtwin_assets.evaluation.writers import AUTHOR, comparable
from resources.reference_writers import ReferenceWriters

Writers = dict[str, list[str]]

# What an assistant makes of "write as Madison": the subject is his, the small words are not.
IMITATION = """
Here are some of the key points that you should keep in mind when you think about the Union. First,
it's important to remember that factions can be a big problem for any government, and they're not
going to go away on their own. When people get together because they share the same goals, they can
have a lot of power, and that's why we need to make sure that there are checks and balances in
place. Second, a large republic can help us to solve this problem, because there are so many
different groups and they can't all agree on one thing. For example, if one group wants to do
something that's bad for everyone else, the other groups can come together and stop them. Third,
our Constitution is a great way to make sure that our rights are protected. It gives us a strong
government, but it also makes sure that the government doesn't have too much power. Overall, I
think that we can all agree that liberty is something worth fighting for, and I'm proud to be a
part of this. By working together, we can create a better future for ourselves and our children.
In conclusion, the Union is not just about politics, it's about people, and what they want to do
with their lives. Let's make it happen!
"""


@pytest.fixture(scope="module")
def writers() -> Writers:
    chosen = ReferenceWriters().load()
    chosen.pop("Theodore Roosevelt")  # the longest by far: the tests are to be quick
    return {name: texts[:24] for name, texts in chosen.items()}


@pytest.fixture(scope="module")
def madison(writers: Writers) -> Delta:
    return Delta.fit(comparable(writers["Madison"][:11], writers))


def fitted_without(writers: Writers, name: str, held_out: list[str]) -> Delta:
    own = [text for text in writers[name] if text not in held_out]
    others = {each: texts for each, texts in writers.items() if each != name}
    return Delta.fit(comparable(own, others))


@pytest.mark.parametrize(("name", "at_least"), [("Hamilton", 7), ("Madison", 6)])
def test_unseen_essays_go_to_the_one_who_wrote_them(
    writers: Writers, name: str, at_least: int
) -> None:
    held_out = writers[name][:14:2]
    delta = fitted_without(writers, name, held_out)
    nearest = [next(iter(delta.distance(text))) for text in held_out]
    assert nearest.count(AUTHOR) >= at_least


def test_jays_unseen_essay_is_his(writers: Writers) -> None:
    held_out = [writers["Jay"][2]]
    assert next(iter(fitted_without(writers, "Jay", held_out).distance(held_out[0]))) == AUTHOR


def test_the_authors_unseen_text_is_at_six_tenths_and_others_are_farther(
    writers: Writers, madison: Delta
) -> None:
    held_out = madison.distance(" ".join(writers["Madison"][11:]))[AUTHOR]
    assert 0.5 < held_out < 0.75
    for name in writers.keys() - {"Madison"}:
        other = " ".join(" ".join(writers[name]).split()[:8_000])
        assert madison.distance(other)[AUTHOR] > held_out + 0.05, name


def test_the_authors_text_is_nearer_than_an_imitation_of_the_same_length(
    writers: Writers, madison: Delta
) -> None:
    size = len(IMITATION.split())
    for essay in writers["Madison"][11:]:
        own = " ".join(essay.split()[:size])
        assert madison.distance(own)[AUTHOR] < madison.distance(IMITATION)[AUTHOR]


def test_the_same_texts_give_the_same_figures_in_any_order(writers: Writers) -> None:
    few = {name: writers[name][:3] for name in ("Jay", "Hamilton", "Emily Brontë")}
    backwards = dict(reversed(few.items()))
    own = writers["Madison"][:2]
    text = writers["Madison"][5]
    one, other = (Delta.fit(comparable(own, each)) for each in (few, backwards))
    assert one.distance(text) == other.distance(text)


def test_an_empty_text_is_far_from_everyone_and_breaks_nothing(madison: Delta) -> None:
    assert min(madison.distance("").values()) > 1


def test_the_plane_keeps_the_novelists_together_and_apart(writers: Writers, madison: Delta) -> None:
    places = madison.plane({"text": " ".join(writers["Madison"][11:])})
    novelists = [places[name][0] for name in places if "Brontë" in name]
    rest = [place[0] for name, place in places.items() if "Brontë" not in name]
    assert max(novelists) < min(rest) or min(novelists) > max(rest)
    assert set(places) == {*madison.names, "text"}
