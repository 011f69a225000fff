"""Ten corpora and models that must not become a twin, each beside a good one that may.

Every bad one closes a blocking gate that says what to do; no gate closes for its good counterpart.
Corpora go through the real assets; models are texts and figures, as the report has them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.datasets.checks import checks as dataset_checks
from llmtwin_assets.evaluation import figures
from llmtwin_assets.evaluation.checks import checks as report_checks
from llmtwin_assets.evaluation.copying import copied_share, degenerate
from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.steps import JUDGES
from llmtwin_assets_tests.evaluation.test_judge import GOOD, judging, likeness, preferring, said
from llmtwin_assets_tests.evaluation.test_style import imitation
from llmtwin_assets_tests.graph import World, closed_gates
from llmtwin_assets_tests.writing import essay, german
from resources.reference_writers import ReferenceWriters

FEATURES = ["raw_articles", "raw_posts", "raw_repositories", "cleaned_documents"]
FOOTER = (
    "\n\nYou get this letter because you signed up for it on our site last year. Share it with all "
    "who may like it, and write to us at any time about anything. If you would rather not have it "
    "any more, you can end your subscription below with one click. We never give addresses away."
)
PROMPTS = 9
Facts = dict[str, Any]


def alone(number: int, paragraphs: int = 4) -> str:
    """An essay without its head."""
    return essay(number, paragraphs).split("---\n\n")[1]


@dataclass(frozen=True)
class Corpus:
    """A bad corpus and its good counterpart, as the texts of their files."""

    name: str
    gate: str
    remedy: str
    bad: list[str]
    good: list[str]
    language: str | None = None


ESSAYS = [alone(number) for number in range(12)]
CORPORA = [
    Corpus("empty", "corpus_is_not_empty", "add writing", [""], [alone(1, 9), alone(2, 9)]),
    Corpus(
        "three notes",
        "corpus_is_not_empty",
        "add writing",
        [f"Note {number}. {alone(number, 1)}" for number in range(3)],
        [alone(number, 7) for number in range(3)],
    ),
    Corpus(
        "wrong language",
        "is_in_the_authors_language",
        "by authors.yaml: take out the sources",
        [german(number) for number in range(4)],
        [*ESSAYS, german(1, 100)],
        language="en",
    ),
    Corpus(
        "90 % duplicates",
        "repeats_itself_little",
        "give each text once",
        ["\n\n".join(chosen) for chosen in combinations(alone(1, 6).split("\n\n"), 3)],
        [*ESSAYS, f"{ESSAYS[0]}\n\n{ESSAYS[1]}"],
    ),
    Corpus(
        "boilerplate",
        "is_not_boilerplate",
        "take footers and notices out",
        [alone(number, 1) + FOOTER * 2 for number in range(12)],
        [alone(number, 6) + FOOTER for number in range(12)],
    ),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Every corpus as an author of one instance."""
    home = tmp_path_factory.mktemp("campaign")
    lines = ["authors:"]
    for number, corpus in enumerate(CORPORA):
        for side, texts in (("bad", corpus.bad), ("good", corpus.good)):
            folder = home / f"{side}-{number}"
            folder.mkdir()
            for place, text in enumerate(texts):
                (folder / f"{place:03}.md").write_text(text, "utf-8")
            lines += [
                f"  - id: {side}-{number}",
                f"    name: {corpus.name}",
                *([f"    language: {corpus.language}"] if corpus.language else []),
                f"    sources: [{{type: folder, path: {folder}}}]",
            ]
    registry = home / "authors.yaml"
    registry.write_text("\n".join(lines) + "\n", "utf-8")
    return World(home / "home", registry, Path("/no/model/is/needed"))


@pytest.mark.parametrize("number", range(len(CORPORA)), ids=[each.name for each in CORPORA])
def test_a_bad_corpus_is_stopped_and_its_good_counterpart_is_not(world: World, number: int) -> None:
    corpus = CORPORA[number]
    stopped = world.materialise(f"bad-{number}", [*FEATURES, "instruct_dataset"])
    assert not stopped.success
    assert corpus.gate in closed_gates(stopped)
    said = {each.check_name: each.description for each in stopped.get_asset_check_evaluations()}
    assert corpus.remedy in said[corpus.gate]
    assert world.artifacts.current(f"bad-{number}", "instruct_dataset") is None
    good = world.materialise(f"good-{number}", [*FEATURES, "instruct_dataset"])
    assert good.success
    assert closed_gates(good) == []


def closed(asset: str, facts: Facts) -> dict[str, str]:
    """Gate -> what it said, of the gates of an asset that these facts close."""
    verdicts = {judge_.__name__: judge_(facts) for judge_ in JUDGES[asset]}
    return {name: verdict.because for name, verdict in verdicts.items() if not verdict.passed}


def test_a_leaking_split_is_stopped(world: World) -> None:
    world.materialise("good-1", [*FEATURES, "instruct_dataset"])
    made = world.artifacts.current("good-1", "instruct_dataset")
    assert made is not None
    good = dict(made.facts)
    assert closed("instruct_dataset", good) == {}
    found = closed("instruct_dataset", good | {"leaking": 2})
    assert set(found) == {"nothing_held_out_in_train"}
    assert "2 of" in found["nothing_held_out_in_train"]
    assert "materialise cleaned_documents" in found["nothing_held_out_in_train"]


@pytest.fixture(scope="module")
def madison() -> list[str]:
    return ReferenceWriters().load()["Madison"]


@pytest.fixture(scope="module")
def report(madison: list[str], tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """A good twin that is the author's own pen; the twin that serves writes as the base does."""
    names = ("Hamilton", "Jay", "Emily Brontë", "William H. Taft")
    found = ReferenceWriters().load()
    unseen = [piece for text in madison[10:] for piece in pieces(text, 150)]
    texts = {
        "base": [imitation(number) for number in range(PROMPTS)],
        "few_shot": [imitation(3 * number) for number in range(PROMPTS)],
        "twin": unseen[:PROMPTS],
        "deployed": [imitation(5 * number + 1) for number in range(PROMPTS)],
    }
    answers = [
        {"system": system, "sample_id": f"s{n}", "instruction": f"Write part {n}.",
         "author": unseen[PROMPTS + n], "text": texts[system][n]}
        for system in texts
        for n in range(PROMPTS)
    ]  # fmt: skip
    measured = {
        "base": {"nats": 3.35, "tokens": 4000, "prose": 3.3, "followed": 0.6},
        "twin": {"nats": 2.98, "tokens": 4000, "prose": 3.4, "followed": 0.5},
        "few_shot": {},
        "deployed": {"nats": 3.0, "tokens": 4000},
    }
    others = {name: found[name][:3] for name in names}
    plain = figures.figures(measured, answers, madison[:10], others)
    judged = said(tmp_path_factory.mktemp("good judge"), GOOD)
    return {"style_decides": True, "found": plain | {"judge": judged}}


def loops(found: Facts, train: list[str], folder: Path) -> None:
    found["health"]["twin"] = degenerate(["It is so and it is so, " * 40] * PROMPTS)


def recites(found: Facts, train: list[str], folder: Path) -> None:
    found["copied_8grams"]["twin"] = copied_share(pieces(train[0], 150)[:PROMPTS], train)


def falls_behind(found: Facts, train: list[str], folder: Path) -> None:
    """The twin that serves and the new one change places."""
    against = found["style"]["nearer"]
    against["deployed"] = {
        measure: {"value": -each["value"], "low": -each["high"], "high": -each["low"]}
        for measure, each in against["deployed"].items()
    }


def is_judged_by_a_flatterer(found: Facts, train: list[str], folder: Path) -> None:
    """The judge knows who is nearer to the author, but every text gets the top mark."""
    top = judging(preferring(likeness), lambda messages: '{"accuracy": 3, "style": 3}')
    found["judge"] = said(folder, top)


MODELS = [
    (is_judged_by_a_flatterer, "judge_is_sound", "choose a stronger one"),
    (loops, "is_not_degenerate", "train at a lower rate"),
    (recites, "copies_little", "train on fewer passes"),
    (falls_behind, "not_worse_than_deployed", "that one stays: train on more writing"),
]


def test_a_good_twin_passes_every_gate(report: Facts) -> None:
    assert closed("eval_report", report) == {}


@pytest.mark.parametrize(("worsen", "gate", "remedy"), MODELS, ids=[m[1] for m in MODELS])
def test_a_bad_model_is_stopped(
    report: Facts,
    madison: list[str],
    tmp_path: Path,
    worsen: Callable[..., None],
    gate: str,
    remedy: str,
) -> None:
    bad = copy.deepcopy(report)
    worsen(bad["found"], madison[:10], tmp_path)
    found = closed("eval_report", bad)
    assert set(found) == {gate}
    assert remedy in found[gate]


def test_the_campaign_has_ten_rows_and_their_gates_block() -> None:
    assert len(CORPORA) + len(MODELS) + 1 == 10  # and the leaking split
    for definition in (*dataset_checks, *report_checks):
        assert all(spec.blocking for spec in definition.check_specs)
