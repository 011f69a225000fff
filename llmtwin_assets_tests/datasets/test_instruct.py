import random
from collections.abc import Iterable
from datetime import date

import pytest

from llmtwin_assets.datasets.instruct import candidates, held_out_ngrams, leaks
from llmtwin_assets.datasets.passages import FEWEST_WORDS, MOST_WORDS, passages, prose
from llmtwin_assets.datasets.quality import judged
from llmtwin_assets.features.words import length, ngrams, words
from llmtwin_assets.records import Document, InstructSample, from_frame, to_frame
from llmtwin_assets_tests.writing import paragraph


def document(number: int, text: str, split: str = "train") -> Document:
    return Document(
        id=f"doc-{number}", kind="article", url="u", title=f"Title {number}",
        published=date(2024, 1, 1), text=text, search=text, raw_hash=f"h{number}",
        split="held-out" if split == "held-out" else "train",
    )  # fmt: skip


def samples(documents: Iterable[Document]) -> list[InstructSample]:
    return kept(candidates(documents := list(documents)), documents)


def kept(found: list[InstructSample], documents: list[Document]) -> list[InstructSample]:
    held_out = [document.text for document in documents if document.split == "held-out"]
    return from_frame(InstructSample, judged(to_frame(InstructSample, found), held_out).kept)


def corpus() -> list[Document]:
    rng = random.Random(11)
    texts = ["\n\n".join(paragraph(rng, rng.randrange(3, 30)) for _ in range(6)) for _ in range(8)]
    return [document(n, t, "held-out" if n == 7 else "train") for n, t in enumerate(texts)]


def test_every_answer_is_a_verbatim_span_of_its_document() -> None:
    documents = {d.id: d for d in corpus()}
    made = samples(documents.values())
    assert len(made) > 40
    for sample in made:
        assert documents[sample.document_id].text[sample.start : sample.end] == sample.answer
        assert sample.split == documents[sample.document_id].split
        assert (sample.origin, sample.written_by) == ("author", "rules")


def test_passages_are_long_enough_to_learn_from_and_short_enough_to_answer_with() -> None:
    for document_ in corpus():
        for span in passages(document_.text):
            count = len(document_.text[span.start : span.end].split())
            assert FEWEST_WORDS <= count <= MOST_WORDS + 20


def test_passages_are_cut_in_scripts_without_blanks_too() -> None:
    text = "".join(
        f"第{number}天，我們走過長長的山路，看見了清清的河水。"
        for number in "一二三四五六七八九十" * 2
    )
    found = [text[span.start : span.end] for span in passages(text)]
    assert "".join(found) == text
    assert len(found) > 1
    assert all(FEWEST_WORDS <= length(each) <= MOST_WORDS for each in found)
    assert all(each.endswith("。") for each in found)


def test_almost_all_of_the_prose_is_used() -> None:
    for document_ in corpus():
        used = sum(len(document_.text[s.start : s.end].split()) for s in passages(document_.text))
        assert used >= 0.95 * len(document_.text.split())


@pytest.mark.parametrize(
    "block",
    [
        "    code = indented(and_, long, enough)\n" * 12,
        "```python\n" + "call(this, that)\n" * 20 + "```",
        "```\n" + "\n\n".join(["some prose within the fence " * 9] * 3) + "\n```",
        "| a | b |\n" * 30,
        "# " + "Heading " * 40,
        "12 34 56 78 90 " * 20,
    ],
)
def test_what_is_not_prose_is_no_answer(block: str) -> None:
    rng = random.Random(2)
    text = f"{paragraph(rng)}\n\n{block}\n\n{paragraph(rng)}"
    answers = [sample.answer for sample in samples([document(1, text)])]
    assert len(answers) == 2
    assert block.strip() not in "".join(answers)


def test_code_is_no_prose() -> None:
    text = "Some of it.\n\n```py\ncall(me)\n```\n\n    indented = code\n\nMore of it."
    assert prose(text).split() == "Some of it. More of it.".split()


def test_a_short_post_is_one_answer() -> None:
    text = "A short note on copper harbours."
    (sample,) = samples([document(1, text)])
    assert sample.answer == text


def test_a_train_sample_that_quotes_held_out_text_is_left_out() -> None:
    rng = random.Random(4)
    held = paragraph(rng, 8)
    quoting = paragraph(rng, 3) + " " + " ".join(held.split()[3:14]) + " indeed."
    documents = [
        document(1, quoting),
        document(2, paragraph(rng, 8)),
        document(3, held, "held-out"),
    ]
    made = samples(documents)
    assert {sample.document_id for sample in made} == {"doc-2", "doc-3"}
    grams = held_out_ngrams(documents)
    assert not any(leaks(sample, grams) for sample in made if sample.split == "train")


def test_the_same_answer_stands_only_once() -> None:
    text = paragraph(random.Random(5))
    made = samples([document(1, text), document(2, text.upper()), document(3, text + " ")])
    assert len(made) == 1


def test_an_opening_question_is_the_instruction_and_no_part_of_the_answer() -> None:
    text = "What is a harbour for? " + paragraph(random.Random(6), 6)
    (sample,) = samples([document(1, text)])
    assert (sample.kind, sample.instruction) == ("answer", "What is a harbour for?")
    assert "What is a harbour for?" not in sample.answer
    assert text[sample.start : sample.end] == sample.answer


def test_the_instruction_does_not_hold_the_answer() -> None:
    for sample in samples(corpus()):
        answer = set(ngrams(words(sample.answer)))
        assert answer.isdisjoint(ngrams(words(sample.instruction)))


def test_samples_are_the_same_on_every_run() -> None:
    assert samples(corpus()) == samples(corpus())


def test_a_passage_can_be_asked_for_in_several_ways() -> None:
    documents = corpus()
    one, three = candidates(documents), candidates(documents, per_passage=3)
    assert one == [row for row in three if row.id in {each.id for each in one}]
    asked: dict[tuple[str, int], set[str]] = {}
    for row in three:
        asked.setdefault((row.document_id, row.start), set()).add(row.instruction)
    assert {len(each) for each in asked.values()} == {3}
    assert len({row.id for row in three}) == len(three) == 3 * len(one)
    assert {"write", "continue"} <= {row.kind for row in three}
    good = kept(three, documents)
    assert len(good) > 2.5 * len(samples(documents))


def test_candidates_of_unchanged_documents_are_taken_over() -> None:
    documents = corpus()
    before = candidates(documents)
    unchanged = {d.id for d in documents[1:]}
    again = candidates(documents, unchanged, before)
    assert again == before
    taken = {id(sample) for sample in before}
    assert all(id(s) in taken for s in again if s.document_id in unchanged)
    assert kept(again, documents) == samples(documents)
