"""What a data set records about itself: counts that the gates judge and a person reads. They are
counted anew on the rows that are stored, apart from the code that chose them. No text in them."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmtwin_assets.datasets import duplicates, instruct, review, rules
from llmtwin_assets.datasets.quality import Judged
from llmtwin_assets.datasets.topics import Topic, coverage
from llmtwin_assets.features.words import length
from llmtwin_assets.records import Document, InstructSample, from_frame

if TYPE_CHECKING:
    import polars as pl

SAID = ("why", "written_by", "generated", "reviewed", "evolved")  # columns that nobody learns from


def facts(judged: Judged, documents: Sequence[Document], topics: Sequence[Topic]) -> dict[str, Any]:
    """The facts of a judged data set made of these documents."""
    rows = from_frame(InstructSample, judged.kept)
    train = [row for row in rows if row.split == "train"]
    authored = [row for row in rows if row.origin == "author"]
    texts = {document.id: document.text for document in documents}
    words = sum(length(row.answer) for row in train)
    kinds = Counter(row.kind for row in rows)
    evolved = Counter(row.evolved.split(" ")[0] for row in rows if row.evolved)
    return {
        "train": len(train),
        "train_words": words,
        "authored": len(authored),
        "verbatim": sum(_is_verbatim(row, texts) for row in authored),
        "leaking": leaking(train, documents),
        "duplicates": repeated(rows) + len(judged.like.among(judged.kept)),
        "unmasked": int(rules.unmasked(judged.kept).sum()),
        "candidates": judged.kept.height + judged.dropped.height,
        "words": {"kept": _words(judged.kept), "dropped": _words(_unfit(judged.dropped))},
        "dropped": judged.funnel,
        "languages": {
            split: _languages([row for row in rows if row.split == split])
            for split in ("train", "held-out")
        },
        "topics": len(topics),
        "topic_coverage": coverage(topics),
        "figures": {
            "train": len(train),
            "held out": len(rows) - len(train),
            "words to train on": words,
            **{f"kind: {kind}": count for kind, count in sorted(kinds.items())},
            **{f"evolved in {way}": count for way, count in sorted(evolved.items())},
            "candidates": judged.kept.height + judged.dropped.height,
            **{f"dropped: {reason}": count for reason, count in judged.funnel.items()},
            "topics": len(topics),
            "topic coverage": round(coverage(topics), 3),
        },
    }


def learned(rows: "pl.DataFrame") -> str:
    """Names what a model can learn from rows, whatever is said of them: 16 hex digits."""
    found = hashlib.sha256()
    for row in rows.drop(SAID).iter_rows():
        found.update(json.dumps(row).encode("utf-8"))
    return found.hexdigest()[:16]


def leaking(train: Sequence[InstructSample], documents: Sequence[Document]) -> int:
    """How many train rows are of a held-out document, or share eight words in a row with one."""
    held = instruct.held_out_ngrams(documents)
    ids = {document.id for document in documents if document.split == "train"}
    return sum(
        (row.origin == "author" and row.document_id not in ids) or instruct.leaks(row, held)
        for row in train
    )


def repeated(rows: Sequence[InstructSample]) -> int:
    """How many rows have the instruction of another one, or the answer of another span."""
    instructions = {duplicates.plain(row.instruction) for row in rows}
    answers = {(row.document_id, row.start, row.end): row.answer for row in rows}
    different = {duplicates.plain(answer) for answer in answers.values()}
    return len(rows) - len(instructions) + len(answers) - len(different)


def _unfit(dropped: "pl.DataFrame") -> "pl.DataFrame":
    """What was dropped for what it is: what people rejected tells nothing of the sources."""
    return dropped.filter(dropped["reason"] != review.REASON)


def _words(rows: "pl.DataFrame") -> int:
    return sum(length(answer) for answer in rows["answer"])


def _is_verbatim(row: InstructSample, texts: Mapping[str, str]) -> bool:
    return texts.get(row.document_id, "")[row.start : row.end] == row.answer != ""


def _languages(rows: Sequence[InstructSample]) -> dict[str, int]:
    """language -> words, of the rows whose language can be told; an empty name for the others."""
    found: Counter[str] = Counter()
    for row in rows:
        words = length(row.answer)
        if words >= rules.TELLING:
            found[row.language or ""] += words
    return dict(found)
