import random

from llmtwin_assets.datasets.topics import coverage, labels, topics

SEA = "harbour anchor sailor rigging tide lighthouse cargo captain voyage mast keel rudder".split()
FARM = "orchard plough barley harvest meadow cattle tractor stable fence furrow seed barn".split()
FILLER = "there were those which have been their about with from".split()


def text(subject: list[str], number: int) -> str:
    rng = random.Random(number)
    return " ".join(rng.choice(subject if rng.random() < 0.4 else FILLER) for _ in range(400))


def test_two_subjects_make_topics_named_by_their_words() -> None:
    texts = [text(SEA, n) for n in range(4)] + [text(FARM, n) for n in range(4)]
    found = topics(texts, [text(SEA, 40), text(FARM, 41), text(SEA, 42)])
    sea = [topic for topic in found if set(topic.words) <= set(SEA)]
    farm = [topic for topic in found if set(topic.words) <= set(FARM)]
    assert len(sea) + len(farm) == len(found)
    assert [sum(topic.pieces for topic in each) for each in (sea, farm)] == [8, 8]
    assert [sum(topic.rows for topic in each) for each in (sea, farm)] == [2, 1]


def test_each_answer_has_the_words_of_the_topic_it_is_about() -> None:
    texts = [text(SEA, n) for n in range(4)] + [text(FARM, n) for n in range(4)]
    sea, farm, again = labels(texts, [text(SEA, 40), text(FARM, 41), text(SEA, 42)])
    assert set(sea) <= set(SEA)
    assert set(farm) <= set(FARM)
    assert set(again) <= set(SEA)
    assert labels(texts, []) == []
    assert labels(["A short note."], ["A short note."]) == [()]


def test_a_subject_that_no_row_is_about_is_not_covered() -> None:
    texts = [text(SEA, n) for n in range(4)] + [text(FARM, n) for n in range(4)]
    assert coverage(topics(texts, [text(SEA, 40)], used={0, 1, 2, 3})) == 0.5
    assert coverage(topics(texts, [text(SEA, 40)], used=range(8))) == 1
    assert coverage(topics(texts, [])) == 0


def test_a_footer_under_every_text_leaves_no_topic_uncovered() -> None:
    footer = " Share this letter with everybody who might like reading such letters too." * 3
    texts = [text(SEA + FARM, n) + footer for n in range(8)]
    found = topics(texts, [text(SEA + FARM, n) for n in range(8)], used=range(8))
    assert coverage(found) == 1


def test_too_little_text_has_no_topics() -> None:
    assert topics(["A short note.", ""], ["A short note."]) == []
    assert coverage([]) == 1


def test_topics_are_the_same_on_every_run() -> None:
    texts = [text(SEA + FARM, n) for n in range(9)]
    assert topics(texts, texts) == topics(texts, texts)
