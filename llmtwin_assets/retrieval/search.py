"""From a question to numbered passages of one author, in small steps.

    self-query -> expansion -> search by meaning and by words -> fusion -> neighbours
               -> documents -> reranking -> parents

Each step is a module that can be read and measured alone, and a field of ``Steps`` that switches
it. The author is the first argument and has no default; nothing in the question can change it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice

from llmtwin_assets.features.clean import search_form
from llmtwin_assets.records import Passage
from llmtwin_assets.retrieval import expansion, fusion, parents, self_query
from llmtwin_assets.retrieval.chat import Chat
from resources.embedder import Embedder
from resources.reranker import Reranker
from resources.vectors import Dates, Hit, Query, VectorStore

CANDIDATES = 100  # passages that each search brings
RERANKED = 30  # of them that the cross-encoder reads: a second on two cores
VARIANT = 0.5  # weight of a variant beside the question's own 1
VARIANTS = 3  # that a chat model writes


@dataclass(frozen=True)
class Steps:
    """What a search does. The defaults are what earns its place (``benchmarks/retrieval.py``)
    without a model beyond the embedder."""

    self_query: bool = True
    variants: int = 0
    by_meaning: bool = True
    by_words: bool = True
    neighbours: bool = True
    documents: bool = True
    reranker: Reranker | None = None
    texts: parents.Texts | None = None  # with them, passages grow to their parents
    chat: Chat | None = None
    today: Callable[[], date] = date.today


DEFAULT = Steps()


def steps_for(reranker: str, chat: Chat | None = None, texts: parents.Texts | None = None) -> Steps:
    """The steps of a deployment: with the cross-encoder it names, or none for "", with the chat
    model it has, and with the texts that passages grow in."""
    return Steps(
        reranker=Reranker(reranker) if reranker else None,
        chat=chat,
        variants=VARIANTS if chat else 0,
        texts=texts,
    )


@dataclass(frozen=True)
class Understood:
    """A question as it is searched: its wordings, its own first, and the documents it asks for."""

    wordings: tuple[str, ...]
    aim: self_query.Aim


def understand(question: str, steps: Steps = DEFAULT) -> Understood:
    """What can be said of a question before searching. Waits for the chat model, where there is
    one; its steps are asked at once."""
    asked = search_form(question)

    def wordings() -> tuple[str, ...]:
        return (asked, *expansion.variants(asked, steps.variants, steps.chat))

    def aim() -> self_query.Aim:
        if not steps.self_query:
            return self_query.Aim()
        return self_query.read(asked, steps.today(), steps.chat)

    if steps.chat is None:
        return Understood(wordings(), aim())
    with ThreadPoolExecutor(1) as beside:
        meant = beside.submit(aim)
        return Understood(wordings(), meant.result())


def retrieve(
    author: str,
    question: str,
    limit: int,
    vectors: VectorStore,
    embedder: Embedder,
    split: str | None = None,
    steps: Steps = DEFAULT,
) -> list[Passage]:
    """The author's ``limit`` best passages, best first, numbered from 1.

    ``split`` keeps only documents of that split, for an evaluation that must not see the others.
    Raises ``NoIndexError``.
    """
    return find(author, understand(question, steps), limit, vectors, embedder, split, steps)


def find(
    author: str,
    understood: Understood,
    limit: int,
    vectors: VectorStore,
    embedder: Embedder,
    split: str | None = None,
    steps: Steps = DEFAULT,
) -> list[Passage]:
    """``retrieve`` for a question that has been understood; asks no chat model."""
    queries = _queries(understood.wordings, embedder, steps)
    only: dict[str, str | Dates] = {"split": split} if split else {}
    aim = understood.aim.where()
    hits = _ranked(author, queries, vectors, {**only, **aim}, steps)
    if aim and len(hits) < limit:
        # What the question says of the documents may be meant otherwise: the rest comes after.
        known = {hit.id for hit in hits}
        rest = _ranked(author, queries, vectors, only, steps)
        hits += [hit for hit in rest if hit.id not in known]
    if steps.reranker is not None:
        hits = rerank(understood.wordings[0], hits, steps.reranker)
    passages = (_passage(number, hit) for number, hit in enumerate(hits, start=1))
    if steps.texts:
        return parents.expand(author, passages, steps.texts, limit)
    return list(islice(passages, limit))


def rerank(question: str, hits: Sequence[Hit], reranker: Reranker) -> list[Hit]:
    """The first hits in the order of the cross-encoder, the others after them as they were."""
    read, rest = hits[:RERANKED], hits[RERANKED:]
    scores = reranker.score(question, [search_form(str(hit.payload["text"])) for hit in read])
    scored = [replace(hit, score=score) for hit, score in zip(read, scores, strict=True)]
    below = [replace(hit, score=0.0) for hit in rest]
    return sorted(scored, key=lambda hit: (-hit.score, hit.id)) + below


@dataclass(frozen=True)
class _Asked:
    """A query and how its answers count."""

    query: Query
    weight: float
    zero: float | None


def _queries(wordings: Sequence[str], embedder: Embedder, steps: Steps) -> list[_Asked]:
    """The question and its variants, each by meaning and by words."""
    weights = [1.0] + [VARIANT] * (len(wordings) - 1)
    queries: list[_Asked] = []
    if steps.by_meaning:
        for vector, weight in zip(embedder.embed(wordings), weights, strict=True):
            queries.append(_Asked(vector.tolist(), weight * fusion.MEANING, None))
    if steps.by_words:
        for wording, weight in zip(wordings, weights, strict=True):
            queries.append(_Asked(wording, weight * (1 - fusion.MEANING), 0.0))
    return queries


def _ranked(
    author: str,
    queries: Sequence[_Asked],
    vectors: VectorStore,
    where: Mapping[str, str | Dates],
    steps: Steps,
) -> list[Hit]:
    """What all queries find in one call, fused."""
    found = vectors.search(author, [asked.query for asked in queries], CANDIDATES, where or None)
    hits = fusion.fuse(
        fusion.Found(hits, asked.weight, asked.zero)
        for hits, asked in zip(found, queries, strict=True)
    )
    if steps.neighbours:
        hits = fusion.with_neighbours(hits)
    return fusion.with_documents(hits) if steps.documents else hits


def _passage(number: int, hit: Hit) -> Passage:
    return Passage(
        number=number,
        chunk_id=hit.id,
        document_id=hit.payload["document_id"],
        title=hit.payload["title"],
        url=hit.payload["url"],
        text=hit.payload["text"],
        start=hit.payload["start"],
        end=hit.payload["end"],
        score=hit.score,
    )
