"""The sections of a report's page: style, habits, memory and health, knowledge, what people and
judges say. Each is empty where its figures are."""

from collections.abc import Iterator, Mapping
from html import escape
from statistics import fmean
from typing import Any

from llmtwin_assets.evaluation import judges_page
from llmtwin_assets.evaluation.cells import gained, label, number, percent, reach, table


def style(found: Mapping[str, Any]) -> Iterator[str]:
    """How near every system comes to the author, by measure."""
    style = found["style"]
    measures = style["measures"]
    yield "<h2>Style</h2>"
    if "unmeasured" in style:
        yield f"<p>Style was not measured: {escape(style['unmeasured'])}</p>"
        return
    head = ["Whose text"]
    gained_by = [name for name in measures if any(name in each for each in style["gains"].values())]
    head += [f"{name}: nearness" for name in measures] + [f"{name}: gain" for name in gained_by]
    head += ["Nearest writer"]
    rows = []
    for name, scores in style["scores"].items():
        gains = style["gains"].get(name, {})
        rows.append(
            [
                label(name),
                *(reach(scores[measure]) for measure in measures),
                *(gained(gains.get(measure)) for measure in gained_by),
                label(found["nearest"][name]),
            ]
        )
    yield table(
        "Nearness to the author (more is nearer), and the share of the way gone", head, rows
    )
    for name, each in measures.items():
        if not each["admitted"]:
            yield f"<p>{escape(name.capitalize())} is not counted: {escape(each['because'])}.</p>"


def _tasks(systems: Mapping[str, Any]) -> Iterator[str]:
    """lm-eval's tasks, the base model beside the twin, and why some were not run."""
    told = {name: each["tasks"] for name, each in systems.items() if each.get("tasks")}
    scores = {
        name: {
            (task, metric): value
            for task, score in tasks.items()
            for metric, value in score.get("metrics", {}).items()
        }
        for name, tasks in told.items()
    }
    rows = [
        [f"{task}: {metric}", *(_with_error(each.get((task, metric))) for each in scores.values())]
        for task, metric in dict.fromkeys(key for each in scores.values() for key in each)
    ]
    if rows:
        asked = {s["questions"] for ts in told.values() for s in ts.values() if "questions" in s}
        most = f"at most {max(asked)} questions of each"
        yield table(f"lm-eval's tasks, {most}, with standard errors",
                    ["Task", *map(label, told)], rows)  # fmt: skip
    for because in dict.fromkeys(
        score["because"]
        for tasks in told.values()
        for score in tasks.values()
        if "because" in score
    ):
        yield f"<p>{escape(because)}</p>"


def _with_error(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    error = (
        ""
        if found["error"] is None
        else f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{found['error']:.3f}"
    )
    return f"{number(found['value'])}{error}"


def habits(found: Mapping[str, Any]) -> Iterator[str]:
    """Words used too much and too little."""
    rows = [
        [label(name), *(_listed(habits[side]) for side in ("over", "under"))]
        for name, habits in found["habits"].items()
    ]
    if not rows:
        return
    yield table(
        "Function words, those that open sentences, and punctuation used too much or too little, "
        "in spreads between writers",
        ["Whose text", "Too much", "Too little"],
        rows,
    )


def _listed(habits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:+.1f}" for name, value in list(habits.items())[:6]) or "–"


def behaviour(found: Mapping[str, Any]) -> Iterator[str]:
    """What each system copies, repeats, loses and knows by heart."""
    yield "<h2>Memory, health, forgetting</h2>"
    head = [
        "Whose text",
        "Nats per token",
        "Copied 8-grams",
        "Longest copied run",
        "New 3-grams",
        "Empty answers",
        "Nats on plain prose",
        "Instructions followed",
        "Planted strings (bits)",
    ]
    rows = []
    for name, health in found["health"].items():
        each = found["systems"].get(name, {})
        exposures = [bits for bits in each.get("exposures", ()) if bits is not None]
        rows.append(
            [
                label(name),
                number(each.get("nats")),
                percent(found["copied_8grams"][name]),
                f"{found['longest_run'][name]} words",
                percent(health["distinct"]),
                percent(health["empty"]),
                number(each.get("prose")),
                percent(each["followed"]) if "followed" in each else "–",
                number(fmean(exposures)) if exposures else "–",
            ]
        )
    yield table("What it remembers, repeats and forgets", head, rows)
    yield from _tasks(found["systems"])


def knowledge(found: Mapping[str, Any]) -> Iterator[str]:
    """How far passages support the answers."""
    knowledge = found.get("knowledge")
    if not knowledge:
        return
    yield "<h2>Knowledge</h2>"
    rows = [
        [label(name), reach(each["supported"]), str(each["answers"]), number(each["separates"])]
        for name, each in knowledge.items()
    ]
    head = ["Whose answers", "Supported sentences", "Answers", "Planted sentences told apart"]
    yield table("Answers against the passages before the question", head, rows)
    if not all(each["sound"] for each in knowledge.values()):
        yield "<p>The planted sentences were not told apart well enough to rely on this.</p>"


def ragas(found: Mapping[str, Any]) -> Iterator[str]:
    """Ragas' figures, where it was asked."""
    asked = found.get("ragas")
    if asked is None:
        return
    yield "<h2>Ragas</h2>"
    rows = [
        [name, reach(each) if each else "–", str(each["answers"] if each else 0)]
        for name, each in asked["scores"].items()
    ]
    head = ["Figure", "Mean", "Answers"]
    yield table("The twin's answers with passages; references are the author's text", head, rows)
    lost = ", ".join(f"{kind} {count}" for kind, count in asked["unanswered"].items())
    tokens = asked["cost"]["tokens_in"] + asked["cost"]["tokens_out"]
    yield f"<p>{escape(asked['by'])} was asked, for {tokens} tokens; unanswered: {lost or 0}.</p>"


def labelled(found: Mapping[str, Any]) -> Iterator[str]:
    """Shares of good answers, from people's labels."""
    labelled = found.get("labelled")
    if labelled is None:
        return
    yield "<h2>Answers that people judged</h2>"
    if "because" in labelled:
        yield f"<p>{escape(labelled['because'])}.</p>"
        return
    rows = [
        [
            kind.capitalize(),
            reach(each) if "value" in each else each["because"],
            reach(each["classical"]) if "value" in each else "–",
            str(each["labelled"]),
            str(each.get("unlabelled", 0)),
            number(each.get("weight")),
        ]
        for kind, each in labelled.items()
    ]
    head = [
        "Answers",
        "Share (95 %)",
        "By labels alone",
        "Labelled",
        "Others",
        "Weight of the judge",
    ]
    yield table("The twin's answers, from a few labels and a small judge", head, rows)
    yield (
        "<p>Labels correct a local classifier that looks at the other answers "
        "(prediction-powered inference). Readers' thumbs were given to twins that served, and "
        "stand for all answers only as far as readers who rate are like those who do not.</p>"
    )


def judge(found: Mapping[str, Any]) -> Iterator[str]:
    """What language models said, where they were asked."""
    judged = found.get("judge")
    if not judged:
        return
    yield "<h2>Judges</h2>"
    for caption, head, rows in judges_page.tables(judged):
        yield table(caption, head, [[label(name), *cells] for name, *cells in rows])
    for sentence in judges_page.sentences(judged):
        yield f"<p>{escape(sentence)}</p>"
