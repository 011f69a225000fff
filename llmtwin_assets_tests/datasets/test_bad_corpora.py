"""Corpora that make no twin close a gate; a good one opens all."""

import random
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from llmtwin_assets.datasets import figures, instruct
from llmtwin_assets.datasets.checks import checks
from llmtwin_assets.datasets.quality import Judged, judged
from llmtwin_assets.datasets.topics import topics
from llmtwin_assets.records import Document, InstructSample, to_frame
from llmtwin_assets.steps import JUDGES
from llmtwin_assets_tests.writing import paragraph

# Article 1 of the Universal Declaration of Human Rights, United Nations.
GERMAN = (
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und "
    "Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen, so lange sie leben."
)
CHROME = "Thanks for reading! Subscribe now, share this post, and leave a comment below on part {}."


def document(number: int, text: str, split: str) -> Document:
    return Document(
        id=f"d{number}", kind="article", url="u", title=f"Title {number}", published=None,
        text=text, search=text, raw_hash=f"h{number}",
        split="held-out" if split == "held-out" else "train",
    )  # fmt: skip


def corpus(*texts: str) -> list[Document]:
    """Documents of which the last is held out."""
    splits = ["train"] * (len(texts) - 1) + ["held-out"]
    return [document(n, *each) for n, each in enumerate(zip(texts, splits, strict=True))]


def essays(count: int, paragraphs: int = 5, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return ["\n\n".join(paragraph(rng) for _ in range(paragraphs)) for _ in range(count)]


def closed(documents: Sequence[Document], found: Judged | None = None) -> set[str]:
    """The gates that a data set of these documents closes."""
    if found is None:
        candidates = to_frame(InstructSample, instruct.candidates(documents))
        held_out = [each.text for each in documents if each.split == "held-out"]
        found = judged(candidates, held_out)
    ids = set(found.kept["document_id"])
    used = {place for place, each in enumerate(documents) if each.id in ids}
    about = topics([each.text for each in documents], found.kept["answer"].to_list(), used)
    facts = {"rows": found.kept.height} | figures.facts(found, documents, about)
    assert len(JUDGES["instruct_dataset"]) == len(checks)
    return {judge.__name__ for judge in JUDGES["instruct_dataset"] if not judge(facts).passed}


def spoilt(documents: list[Document], **columns: pl.Expr) -> set[str]:
    """The gates that close when rows are changed behind the filters' back."""
    candidates = to_frame(InstructSample, instruct.candidates(documents))
    found = judged(candidates, [each.text for each in documents if each.split == "held-out"])
    return closed(documents, replace(found, kept=found.kept.with_columns(**columns)))


def test_a_good_corpus_opens_every_gate() -> None:
    assert closed(corpus(*essays(8))) == set()


def test_nothing_and_three_notes_are_too_little() -> None:
    assert closed([]) == {"enough_to_train_on"}
    assert "enough_to_train_on" in closed(corpus("A note.", "Another note.", "A third note."))


def test_a_corpus_of_repeats_is_no_voice() -> None:
    (once,) = essays(1)
    again = [f"{once} And so on, part {n}." for n in range(12)]
    assert "most_is_usable" in closed(corpus(*again, *essays(2, seed=5)))


def test_a_corpus_of_boilerplate_is_no_voice() -> None:
    chrome = ["\n\n".join(CHROME.format(n) * 2 for n in range(4)) for _ in range(6)]
    assert "most_is_usable" in closed(corpus(*chrome, *essays(2)))


def test_held_out_text_in_another_language_measures_nothing() -> None:
    assert "languages_agree" in closed(corpus(*essays(2, 2), GERMAN * 2))


def test_what_the_filters_let_through_closes_a_gate() -> None:
    documents = corpus(*essays(8))
    held = " ".join(documents[-1].text.split()[:12])
    assert spoilt(documents, instruction=pl.lit(held) + pl.col("id")) == {
        "nothing_held_out_in_train"
    }
    assert "answers_are_verbatim" in spoilt(documents, start=pl.col("start") + 1)
    assert "no_answer_twice" in spoilt(documents, instruction=pl.lit("Write."))
    mail = pl.col("instruction") + " ada@lovelace.example"
    assert spoilt(documents, instruction=mail) == {"no_secrets"}
