"""What a set of preference pairs records about itself: counts for the gates, and a page to read the
pairs on. The counts are taken anew on what is stored. No text of the author is in the facts."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from statistics import fmean
from typing import Any

from llmtwin_assets.datasets.instruct import held_out_ngrams
from llmtwin_assets.features.words import length, ngrams, words
from llmtwin_assets.pages import page
from llmtwin_assets.records import Document, PreferenceSample
from llmtwin_assets.training.preferences import Dropped

SHOWN = 12  # pairs, and dropped ones of each reason


def facts(
    rows: Sequence[PreferenceSample], dropped: Sequence[Dropped], documents: Sequence[Document]
) -> dict[str, Any]:
    """The facts of these pairs of an author with these documents."""
    by_id = {document.id: document for document in documents}
    authored = [row for row in rows if row.origin == "author"]
    reasons = Counter(each.reason for each in dropped)
    lengths = [(length(row.chosen), length(row.rejected)) for row in rows]
    chosen, rejected = map(fmean, zip(*lengths, strict=True)) if lengths else (0.0, 0.0)
    return {
        "authored": len(authored),
        "verbatim": sum(
            by_id[row.document_id].text[row.start : row.end] == row.chosen for row in authored
        ),
        "held_out": held_out(rows, documents),
        "same": sum(words(row.chosen) == words(row.rejected) for row in rows),
        "duplicates": len(rows) - len({(row.instruction, row.chosen) for row in rows}),
        "words_chosen": chosen,
        "words_rejected": rejected,
        "figures": {
            "pairs": len(rows),
            "offered": len(rows) + len(dropped),
            **{
                f"origin: {origin}": count
                for origin, count in sorted(Counter(row.origin for row in rows).items())
            },
            "words, chosen": round(chosen, 1),
            "words, rejected": round(rejected, 1),
            **{f"dropped: {reason}": count for reason, count in reasons.most_common()},
        },
    }


def held_out(rows: Sequence[PreferenceSample], documents: Sequence[Document]) -> int:
    """How many pairs are of a held-out document, or prefer eight words in a row of one."""
    train = {document.id for document in documents if document.split == "train"}
    held = held_out_ngrams(documents)
    return sum(
        (row.origin == "author" and row.document_id not in train)
        or not held.isdisjoint(ngrams(words(row.chosen)))
        for row in rows
    )


def pair_page(rows: Sequence[PreferenceSample], dropped: Sequence[Dropped]) -> str:
    """An HTML page; every text in it is escaped."""
    counts = Counter(each.reason for each in dropped)
    body = (
        f'<h1>What the twin prefers</h1><p class="lead">{len(rows)} pairs: on the left the text to '
        f"prefer, on the right the one to leave, cut to the same number of words.</p>"
        + "".join(_pair(f"by {r.origin}", r) for r in rows[:SHOWN])
        + f"<h2>Dropped ({len(dropped)})</h2>"
    )
    for reason, count in counts.most_common():
        group = [each for each in dropped if each.reason == reason]
        body += f"<h3>{escape(reason)} ({count})</h3>"
        body += "".join(_pair(reason, each) for each in group[:SHOWN])
    return page("What the twin prefers", body)


def _pair(title: str, pair: PreferenceSample | Dropped) -> str:
    sides = "".join(f"<article><p>{escape(t)}</p></article>" for t in (pair.chosen, pair.rejected))
    return (
        f"<h4>{escape(title)}</h4><p>{escape(pair.instruction)}</p>"
        f'<div class="columns">{sides}</div>'
    )
