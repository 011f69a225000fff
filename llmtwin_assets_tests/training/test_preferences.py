import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from llmtwin_assets.records import Document, InstructSample
from llmtwin_assets.training.preferences import (
    Dropped,
    NoPairsFileError,
    choose,
    equal_length,
    fault,
    from_file,
    given,
    marked,
    pairs,
)
from llmtwin_assets_tests.writing import paragraph


def sample(number: int, split: str = "train") -> InstructSample:
    answer = paragraph(random.Random(number), 6)
    return InstructSample(
        id=f"s{number}", document_id=f"d{number}", kind="write", instruction=f"Write {number}",
        answer=answer, start=10, end=10 + len(answer), origin="author", written_by="rules",
        split="train" if split == "train" else "held-out",
    )  # fmt: skip


def reasons(dropped: list[Dropped]) -> Counter[str]:
    return Counter(each.reason for each in dropped)


def test_both_sides_have_the_same_number_of_words() -> None:
    chosen, rejected = equal_length("a b c d e f", "one two three", 5)
    assert (chosen, rejected) == ("a b c", "one two three")
    assert equal_length("a b c", "one two three four", 2) == ("a b", "one two")
    assert equal_length("a b c", "", 9) == ("", "")
    assert equal_length("山高月小，水落石出。", "天地玄黃。", 9) == ("山高月小，", "天地玄黃。")


def test_chosen_stays_a_verbatim_span() -> None:
    samples = [sample(n) for n in range(10)]
    texts = {s.id: paragraph(random.Random(100 + n), 3) for n, s in enumerate(samples)}
    made, dropped = pairs(samples, texts, 8, 96)
    assert len(made) == 8
    assert not dropped
    for pair in made:
        source = next(s for s in samples if s.id == pair.sample_id)
        assert source.answer.startswith(pair.chosen)
        assert pair.end - pair.start == len(pair.chosen)
        assert len(pair.chosen.split()) == len(pair.rejected.split()) <= 72


def test_pairs_that_teach_nothing_are_dropped_with_a_reason() -> None:
    own = sample(1)
    texts = {"s1": own.answer, "s2": "word " * 60, "s3": "Too short.", "s4": ""}
    samples = [own, sample(2), sample(3), sample(4), sample(5)]
    made, dropped = pairs(samples, texts, 9, 96)
    assert made == []
    assert reasons(dropped) == {"too alike": 1, "repetition": 1, "too short": 3}


def test_a_text_of_another_subject_has_no_fault() -> None:
    assert fault(paragraph(random.Random(1)), paragraph(random.Random(2))) is None


@pytest.mark.parametrize(
    ("rejected", "why"),
    [
        ("1 2 3 4 5 6 7 8 9 10 11 12 of 13", "no prose"),
        ("the lantern weighs it and so " * 9, "repetition"),
        ("Indeed, that is so.", "too short"),
    ],
)
def test_degenerate_texts_are_faults(rejected: str, why: str) -> None:
    assert fault(paragraph(random.Random(1)), rejected) == why


def test_the_same_words_in_another_order_or_with_one_changed_are_too_alike() -> None:
    text = "No patient engine carries the narrow lantern, and the silver orchard crosses it."
    assert fault(text, text.replace("silver", "golden")) == "too alike"
    assert fault(text, " ".join(reversed(text.split()))) == "too alike"


def test_rows_that_are_not_the_authors_are_not_asked_about() -> None:
    samples = [replace(sample(n), origin="author" if n % 2 else "general") for n in range(9)]
    assert {s.id for s in choose(samples, 9)} == {"s1", "s3", "s5", "s7"}


def test_only_train_samples_are_asked_about_evenly_spaced() -> None:
    samples = [sample(n, "held-out" if n % 5 == 0 else "train") for n in range(100)]
    chosen = choose(samples, 12)
    assert len(chosen) == 16
    assert {s.split for s in chosen} == {"train"}
    assert len({s.id for s in chosen}) == 16
    assert int(chosen[-1].id[1:]) > 80
    assert len(choose(samples[:4], 12)) == 3
    assert choose([replace(samples[1], split="held-out")], 12) == []


def document(number: int, split: str = "train") -> Document:
    text = paragraph(random.Random(number), 6)
    return Document(
        id=f"d{number}", kind="article", url="", title="", published=None, text=text, search=text,
        raw_hash="", split="train" if split == "train" else "held-out",
    )  # fmt: skip


def test_pairs_of_a_file_are_kept_when_the_chosen_text_is_the_authors(tmp_path: Path) -> None:
    documents = [document(1), document(2), document(3, "held-out")]
    other = paragraph(random.Random(9), 4)
    rows = [
        {"instruction": "Write.", "chosen": documents[0].text[:200], "rejected": other},
        {"instruction": "Write.", "chosen": documents[0].text[:200], "rejected": other},
        {"instruction": "Write.", "chosen": documents[2].text[:200], "rejected": other},
        {"instruction": "Write.", "chosen": other, "rejected": documents[0].text},
        {"instruction": 3, "chosen": documents[1].text, "rejected": other},
        {"instruction": "Write.", "chosen": documents[1].text},
        [],
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), "{cut", ""]))
    made, dropped = from_file(path, documents, 10)
    [pair] = made
    assert documents[0].text[pair.start : pair.end] == pair.chosen
    assert len(pair.chosen.split()) == len(pair.rejected.split())
    assert reasons(dropped) == {
        "twice in the file": 1,
        "not the author's words": 2,
        "not a pair": 4,
    }


def test_a_missing_file_of_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoPairsFileError, match=r"none\.jsonl"):
        given(str(tmp_path / "none.jsonl"))


def test_a_file_of_pairs_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NoPairsFileError, match="UTF-8"):
        from_file(tmp_path / "pairs.jsonl", [document(1)], 4)


def test_pairs_that_a_judge_marks_down_are_dropped_and_the_others_stay() -> None:
    texts = {f"s{n}": paragraph(random.Random(100 + n), 3) for n in range(5)}
    rows = pairs([sample(n) for n in range(5)], texts, 9, 60)[0]
    marks = [(4.0, 2.0), (2.0, 1.0), (2.5, 4.0), (3.0, 4.0), None]
    kept, dropped = marked(rows, marks)
    assert kept == [rows[0], rows[3], rows[4]]
    assert {each.chosen: each.reason for each in dropped} == {
        rows[1].chosen: "low marks",
        rows[2].chosen: "the rejected text has better marks",
    }
