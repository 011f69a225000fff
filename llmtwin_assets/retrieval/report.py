"""The retrieval report: how well search answers questions about the author's own documents, what
each of its steps adds, and the questions it answers worst.

Figures are numbers and names of steps, never text, so they may be recorded anywhere. The page holds
questions and beginnings of passages.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from llmtwin_assets.pages import page
from llmtwin_assets.plots import as_data_uri, bars, histogram
from llmtwin_assets.records import Chunk, Passage
from llmtwin_assets.retrieval.questions import Question
from llmtwin_assets.retrieval.scores import FIRST, percentiles, rank, score
from llmtwin_assets.retrieval.search import Steps

WORST = 10  # questions shown
BEGINNING = 240  # characters shown of a passage
SHOWN = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr_at_10", "ndcg_at_10")
AS_SERVED = "as served"

Find = Callable[[str, Steps], list[Passage]]


@dataclass(frozen=True)
class Asked:
    """One question, the passages found for it, the rank of the one that answers, and the time."""

    question: Question
    found: Sequence[Passage]
    rank: int | None
    seconds: float


def ways(steps: Steps) -> dict[str, Steps]:
    """Ways to search that show what each step of ``steps`` adds, the whole last. Parents change
    what is read of a passage, not which one is found."""
    bare = replace(
        steps, self_query=False, variants=0, neighbours=False, documents=False, reranker=None,
        texts=None, chat=None,
    )  # fmt: skip
    found = {
        "by meaning": replace(bare, by_words=False),
        "by words": replace(bare, by_meaning=False),
        "fused": bare,
        "and neighbours": replace(bare, neighbours=True),
        "and documents": replace(bare, neighbours=True, documents=True),
    }
    if steps.chat is not None:
        found["without the chat model"] = replace(steps, texts=None, chat=None, variants=0)
    return found | {AS_SERVED: replace(steps, texts=None)}


def ask(
    questions: Sequence[Question], find: Find, steps: Steps, told: Callable[[int], None]
) -> list[Asked]:
    """Every question asked once; ``told`` hears how many are done."""
    rows = []
    for question in questions:
        began = time.perf_counter()
        found = find(question.text, steps)
        seconds = time.perf_counter() - began
        pairs = [(passage.document_id, passage.chunk_id) for passage in found]
        rows.append(Asked(question, found, rank(question, pairs), seconds))
        told(len(rows))
    return rows


def figures(asked: Mapping[str, Sequence[Asked]]) -> dict[str, Any]:
    """The figures of a report: ``scores`` by kind of question and ``ways`` by way of searching,
    each measure with its interval; ``milliseconds`` of the searches as served."""
    served = asked[AS_SERVED]
    kinds = list(dict.fromkeys(["title", "passage", *(row.question.kind for row in served)]))
    of_kind = {kind: [row for row in served if row.question.kind == kind] for kind in kinds}
    return {
        "scores": {kind: _scores(rows) for kind, rows in of_kind.items()},
        "ways": {way: _scores(rows) for way, rows in asked.items()},
        "milliseconds": percentiles([row.seconds for row in served[1:]]),  # the first loads
    }


def _scores(rows: Sequence[Asked]) -> dict[str, Any]:
    means = score([row.rank for row in rows])
    intervals = {name: [mean.low, mean.high] for name, mean in means.items()}
    values = {name: mean.value for name, mean in means.items()}
    return {"questions": len(rows), **values, "intervals": intervals}


def headline(found: Mapping[str, Any]) -> dict[str, float]:
    """The figures a person reads first."""
    shown = {
        f"{kind} {name.replace('_', ' ')}": round(scores[name], 3)
        for kind, scores in found["scores"].items()
        for name in ("recall_at_10", "mrr_at_10", "ndcg_at_10")
    }
    asked = {f"{kind} questions": scores["questions"] for kind, scores in found["scores"].items()}
    waited = {f"milliseconds {name}": value for name, value in found["milliseconds"].items()}
    return asked | shown | waited


def plots(found: Mapping[str, Any], asked: Sequence[Asked]) -> dict[str, bytes]:
    """Pictures by name."""
    ways_ = found["ways"]
    values = {way: scores["ndcg_at_10"] for way, scores in ways_.items()}
    spread = {way: tuple(scores["intervals"]["ndcg_at_10"]) for way, scores in ways_.items()}
    waited = [1000 * row.seconds for row in asked[1:]]
    return {
        "what_each_step_adds": bars(
            values, "What each step adds", "nDCG@10, 95% interval", spread, AS_SERVED
        ),
        "milliseconds": histogram(waited, "milliseconds", "Time of a search"),
    }


def worst(asked: Sequence[Asked]) -> list[Asked]:
    """The questions answered latest, those that were not answered first."""
    missed = [row for row in asked if row.rank != 1]
    return sorted(missed, key=lambda row: -(row.rank or FIRST + 1))[:WORST]


def html(
    found: Mapping[str, Any], asked: Sequence[Asked], chunks: Sequence[Chunk], title: str
) -> str:
    """The report's page. ``chunks`` are where the passages that answer are looked up."""
    pictures = "".join(
        f'<img src="{as_data_uri(png)}" alt="{escape(name.replace("_", " "))}">'
        for name, png in plots(found, asked).items()
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(summary(found))}</p>',
        "<h2>By kind of question</h2>",
        _table("As served, with 95% intervals", "Kind", found["scores"]),
        "<h2>What each step adds</h2>",
        _table("All questions, with 95% intervals", "Way", found["ways"]),
        f'<div class="pictures">{pictures}</div>',
        "<h2>The questions answered worst</h2>",
        *(_missed(row, chunks) for row in worst(asked)),
    ]
    return page(title, "\n".join(parts))


def summary(found: Mapping[str, Any]) -> str:
    """What the figures say, in two sentences."""
    scores = found["ways"][AS_SERVED]
    low, high = scores["intervals"]["recall_at_10"]
    waited = found["milliseconds"].get("p95")
    time_ = f" 95% of the searches take less than {waited:.0f} ms." if waited else ""
    return (
        f"{scores['recall_at_10']:.0%} of {scores['questions']} questions find their answer among "
        f"the first {FIRST} passages (95% interval {low:.0%} to {high:.0%}).{time_}"
    )


def _table(caption: str, first: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    names = [name.replace("_at_", "@").replace("mrr", "MRR").replace("ndcg", "nDCG")
             for name in SHOWN]  # fmt: skip
    head = "".join(f'<th scope="col">{name}</th>' for name in [first, "Questions", *names])
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{scores["questions"]}</td>'
        + "".join(f"<td>{_with_interval(scores, name)}</td>" for name in SHOWN)
        + "</tr>"
        for label, scores in rows.items()
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    low, high = scores["intervals"][name]
    return f"{scores[name]:.2f} ({low:.2f}–{high:.2f})"


def _missed(row: Asked, chunks: Sequence[Chunk]) -> str:
    """A question with the passage that answers it beside the one found first."""
    key = "document_id" if row.question.kind == "title" else "id"
    wanted = next((chunk for chunk in chunks if getattr(chunk, key) == row.question.answer), None)
    first = row.found[0] if row.found else None
    where = f"found at rank {row.rank}" if row.rank else f"not among the first {FIRST}"
    columns = [
        _column(f"Answers, {where}", wanted.title if wanted else "", wanted.text if wanted else ""),
        _column("Found first", first.title if first else "nothing", first.text if first else ""),
    ]
    return f'<h3>{escape(row.question.text)}</h3><div class="columns">{"".join(columns)}</div>'


def _column(head: str, title: str, text: str) -> str:
    short = text if len(text) <= BEGINNING else text[: BEGINNING - 1].rstrip() + "…"
    return f"<article><h4>{escape(head)}: {escape(title)}</h4><p>{escape(short)}</p></article>"
