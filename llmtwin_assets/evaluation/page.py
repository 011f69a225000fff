"""A report as a page that a person can send on: one file, styles and pictures inside, no script, no
link to fetch. It is the only part of a report that shows text.

Figures come from ``figures.py``; models, files and clocks are not known here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

from llmtwin_assets.evaluation import judges_page
from llmtwin_assets.evaluation.figures import (
    BASE,
    DEPLOYED,
    FEW_SHOT,
    HELD_OUT,
    RAG,
    SFT,
    TWIN,
    TWIN_RAG,
    Answer,
    Figures,
)
from llmtwin_assets.evaluation.writers import AUTHOR
from llmtwin_assets.pages import page
from llmtwin_assets.plots import as_data_uri, bars, delta_map

SAMPLES = 3
SHOWN = (BASE, FEW_SHOT, SFT, TWIN)  # side by side with the author
GAINS_PLOT, NATS_PLOT, MAP_PLOT = "style_gains", "nats_per_token", "who_writes_like_whom"
LABELS = {
    BASE: "Base model",
    FEW_SHOT: "Base, with examples",
    RAG: "Base, with passages",
    SFT: "Fine-tuned",
    TWIN: "Twin",
    TWIN_RAG: "Twin, with passages",
    DEPLOYED: "Twin that serves now",
    HELD_OUT: "Author, unseen text",
    AUTHOR: "The author",
}


def html(found: Figures, answers: Sequence[Answer], title: str) -> str:
    """The report as one self-contained page; all text is escaped."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(summary(found))}</p>',
        *_style(found),
        _pictures(found),
        *_habits(found),
        *_behaviour(found),
        *_knowledge(found),
        *_ragas(found),
        *_labelled(found),
        *_judge(found),
        _samples(answers),
        _notes(found),
    ]
    return page(title, "\n".join(parts))


def summary(found: Mapping[str, Any]) -> str:
    """What the figures say, in a few sentences."""
    said = [*_gain_sentences(found["style"])]
    systems = found["systems"]
    if {BASE, TWIN} <= systems.keys():
        said.append(
            f"The author's unseen text costs it {_number(systems[TWIN]['nats'])} nats per token; "
            f"the base model paid {_number(systems[BASE]['nats'])}."
        )
    if TWIN in found["copied_8grams"]:
        copied, longest = found["copied_8grams"][TWIN], found["longest_run"][TWIN]
        said.append(
            f"{_percent(copied)} of its eight-word sequences stand in the text it learned from; "
            f"the longest run is {longest} words."
        )
    return " ".join(said)


def plots(found: Mapping[str, Any]) -> dict[str, bytes]:
    """The report's plots as PNG, by a name that says what they show."""
    nats = _nats(found)
    places = {label(name): (x, y) for name, (x, y) in found["plane"].items()}
    shown = [
        label(name) for name in (BASE, FEW_SHOT, SFT, TWIN, HELD_OUT) if name in found["plane"]
    ]
    hidden = {label(name) for name in found["words"]} - set(shown)
    places = {name: place for name, place in places.items() if name not in hidden}
    drawn = {NATS_PLOT: bars(nats, "Unseen text", "nats per token", highlight=label(TWIN))}
    if places:
        drawn[MAP_PLOT] = delta_map(places, shown, label(AUTHOR))
    for measure, gains in _gains(found["style"]).items():
        reach = {name: (each["low"], each["high"]) for name, each in gains.items()}
        values = {name: each["value"] for name, each in gains.items()}
        name = f"{GAINS_PLOT}_{measure.replace(' ', '_')}"
        drawn[name] = bars(values, f"Style gain: {measure}", "0 base, 1 author", reach, label(TWIN))
    return drawn


def _nats(found: Mapping[str, Any]) -> dict[str, float]:
    return {
        label(name): each["nats"]
        for name, each in found["systems"].items()
        if each.get("nats") is not None
    }


def _gains(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Admitted measure -> label -> gain, of everything but the two ends, where there is a way to
    go."""
    known = {
        measure: {
            label(name): gains[measure]
            for name, gains in found["gains"].items()
            if measure in gains and name not in (BASE, HELD_OUT)
        }
        for measure, admission in found["measures"].items()
        if admission["admitted"]
    }
    return {measure: gains for measure, gains in known.items() if gains}


def _gain_sentences(found: Mapping[str, Any]) -> Iterator[str]:
    if "unmeasured" in found:
        yield f"Style was not measured: {found['unmeasured']}"
        return
    gains = {
        name: found["gains"].get(TWIN, {}).get(name)
        for name, each in found["measures"].items()
        if each["admitted"]
    }
    known = {name: gain for name, gain in gains.items() if gain is not None}
    if not known:
        yield "How far the twin has come in style cannot be said from these texts."
        return
    ways = " and ".join(
        f"{gain['value']:.0%} ({gain['low']:.0%} to {gain['high']:.0%}) by {name}"
        for name, gain in known.items()
    )
    yield (
        f"On the way in style from the base model to the author's own unseen text, the twin has "
        f"gone {ways}."
    )


def _style(found: Mapping[str, Any]) -> Iterator[str]:
    style = found["style"]
    measures = style["measures"]
    yield "<h2>Style</h2>"
    if "unmeasured" in style:
        yield f"<p>Style was not measured: {escape(style['unmeasured'])}</p>"
        return
    head = ["Whose text"]
    head += [f"{name}: nearness" for name in measures] + [f"{name}: gain" for name in measures]
    head += ["Nearest writer"]
    rows = []
    for name, scores in style["scores"].items():
        gains = style["gains"].get(name, {})
        rows.append(
            [
                label(name),
                *(_range(scores[measure]) for measure in measures),
                *(_gain(gains.get(measure)) for measure in measures),
                label(found["nearest"][name]),
            ]
        )
    yield _table(
        "Nearness to the author (more is nearer), and the share of the way gone", head, rows
    )
    for name, each in measures.items():
        if not each["admitted"]:
            yield f"<p>{escape(name.capitalize())} is not counted: {escape(each['because'])}.</p>"


def _behaviour(found: Mapping[str, Any]) -> Iterator[str]:
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
                _number(each.get("nats")),
                _percent(found["copied_8grams"][name]),
                f"{found['longest_run'][name]} words",
                _percent(health["distinct"]),
                _percent(health["empty"]),
                _number(each.get("prose")),
                _percent(each["followed"]) if "followed" in each else "–",
                _number(fmean(exposures)) if exposures else "–",
            ]
        )
    yield _table("What it remembers, repeats and forgets", head, rows)


def _habits(found: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        [label(name), *(_listed(habits[side]) for side in ("over", "under"))]
        for name, habits in found["habits"].items()
    ]
    if not rows:
        return
    yield _table(
        "Function words, those that open sentences, and punctuation used too much or too little, "
        "in spreads between writers",
        ["Whose text", "Too much", "Too little"],
        rows,
    )


def _listed(habits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:+.1f}" for name, value in list(habits.items())[:6]) or "–"


def _knowledge(found: Mapping[str, Any]) -> Iterator[str]:
    knowledge = found.get("knowledge")
    if not knowledge:
        return
    yield "<h2>Knowledge</h2>"
    rows = [
        [label(name), _range(each["supported"]), str(each["answers"]), _number(each["separates"])]
        for name, each in knowledge.items()
    ]
    head = ["Whose answers", "Supported sentences", "Answers", "Planted sentences told apart"]
    yield _table("Answers against the passages before the question", head, rows)
    if not all(each["sound"] for each in knowledge.values()):
        yield "<p>The planted sentences were not told apart well enough to rely on this.</p>"


def _ragas(found: Mapping[str, Any]) -> Iterator[str]:
    asked = found.get("ragas")
    if asked is None:
        return
    yield "<h2>Ragas</h2>"
    rows = [
        [name, _range(each) if each else "–", str(each["answers"] if each else 0)]
        for name, each in asked["scores"].items()
    ]
    head = ["Figure", "Mean", "Answers"]
    yield _table("The twin's answers with passages; references are the author's text", head, rows)
    lost = ", ".join(f"{kind} {count}" for kind, count in asked["unanswered"].items())
    tokens = asked["cost"]["tokens_in"] + asked["cost"]["tokens_out"]
    yield f"<p>{escape(asked['by'])} was asked, for {tokens} tokens; unanswered: {lost or 0}.</p>"


def _labelled(found: Mapping[str, Any]) -> Iterator[str]:
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
            _range(each) if "value" in each else each["because"],
            _range(each["classical"]) if "value" in each else "–",
            str(each["labelled"]),
            str(each.get("unlabelled", 0)),
            _number(each.get("weight")),
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
    yield _table("The twin's answers, from a few labels and a small judge", head, rows)
    yield (
        "<p>Labels correct a local classifier that looks at the other answers "
        "(prediction-powered inference). Readers' thumbs were given to twins that served, and "
        "stand for all answers only as far as readers who rate are like those who do not.</p>"
    )


def _judge(found: Mapping[str, Any]) -> Iterator[str]:
    judged = found.get("judge")
    if not judged:
        return
    yield "<h2>Judges</h2>"
    for caption, head, rows in judges_page.tables(judged):
        yield _table(caption, head, [[label(name), *cells] for name, *cells in rows])
    for sentence in judges_page.sentences(judged):
        yield f"<p>{escape(sentence)}</p>"


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _pictures(found: Mapping[str, Any]) -> str:
    spoken = _spoken(found)
    images = [
        _image(png, spoken.get(name, name.replace("_", " "))) for name, png in plots(found).items()
    ]
    return f'<div class="pictures">{"".join(images)}</div>'


def _spoken(found: Mapping[str, Any]) -> dict[str, str]:
    """The plots in words, for those who do not see them."""
    nats = _nats(found)
    said = {
        MAP_PLOT: "Map of writers and systems by style, the alike near each other",
        NATS_PLOT: "Bars of nats per token on unseen text: "
        + ", ".join(f"{name} {value:.2f}" for name, value in nats.items()),
    }
    for measure, gains in _gains(found["style"]).items():
        listed = ", ".join(f"{name} {each['value']:.2f}" for name, each in gains.items())
        said[f"{GAINS_PLOT}_{measure.replace(' ', '_')}"] = f"Style gain by {measure}: {listed}"
    return said


def _image(png: bytes, alt: str) -> str:
    return f'<img src="{as_data_uri(png)}" alt="{escape(alt)}">'


def _samples(answers: Sequence[Answer]) -> str:
    ids = list(dict.fromkeys(row["sample_id"] for row in answers))
    chosen = [ids[index * len(ids) // SAMPLES] for index in range(min(SAMPLES, len(ids)))]
    if len(ids) < SAMPLES:
        chosen = ids
    rows = {(row["sample_id"], row["system"]): row for row in answers}
    shown = [
        _sample([rows[each, system] for system in SHOWN if (each, system) in rows])
        for each in chosen
        if any((each, system) in rows for system in SHOWN)
    ]
    return "<h2>The same prompt, side by side</h2>" + "\n".join(shown) if shown else ""


def _sample(rows: Sequence[Answer]) -> str:
    longest = max(len(row["text"].split()) for row in rows)
    columns = [_column(label(AUTHOR), _beginning(rows[0]["author"], longest))]
    columns += [_column(label(row["system"]), row["text"]) for row in rows]
    return (
        f'<section><h3 dir="auto">{escape(rows[0]["instruction"])}</h3>'
        f'<div class="columns">{"".join(columns)}</div></section>'
    )


def _beginning(text: str, most: int) -> str:
    """The first ``most`` words, with an ellipsis where the text goes on; its line breaks stay."""
    start = re.match(rf"\s*(?:\S+\s*){{0,{most}}}", text)
    begun = start[0] if start else ""
    return text if len(begun) == len(text) else begun.rstrip() + " …"


def _column(head: str, text: str) -> str:
    shown = escape(text.strip()) or "<em>(nothing)</em>"
    return f'<article><h4>{escape(head)}</h4><p dir="auto">{shown}</p></article>'


def _notes(found: Mapping[str, Any]) -> str:
    sizes = sorted(found["words"].values())
    spread = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    return (
        "<h2>How to read this</h2><p>All systems answered the same prompts, which ask for passages "
        f"the author wrote and no model was shown; every set was cut to {spread} words. "
        f"{_notes_on_style(found)}Intervals (90 %) are over prompts. "
        "Nats per token say how surprised a model is by text; lower is better. Planted strings "
        "were shown to the model among the author's text; 6 bits means that it knows them by "
        "heart, 0 to 1 that it does not.</p>"
    )


def _notes_on_style(found: Mapping[str, Any]) -> str:
    if "unmeasured" in found["style"]:
        return ""
    others = len(next(iter(found["delta_by_writer"].values()))) - 1
    unlisted = (
        ""
        if found["listed"]
        else "There is no list of function words of this language: the commonest words of most of "
        "the writers stand in, and topic may be among them. "
    )
    return (
        "Function words: minus the mean difference, in spreads between writers, of how often the "
        "commonest function words are used by the text and by the author (Burrows' Delta, over "
        f"{others} other writers). {unlisted}Verification: the mean probability, by a classifier "
        "to which all other words are masked, that the author wrote the text. Rhythm: sentence and "
        "clause lengths and punctuation. A measure counts only if it tells the author's documents "
        "from those of others and from a model's imitation. A gain of 0 is the base model, of 1 "
        "the author's own unseen text; far above 1 is caricature. "
    )


def label(name: str) -> str:
    """How a system or writer is called on the page."""
    return LABELS.get(name, name)


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _range(found: Mapping[str, float]) -> str:
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _gain(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    if found["low"] == found["high"]:
        return f"{found['value']:.0%}"
    return f"{found['value']:.0%} ({found['low']:.0%} to {found['high']:.0%})"
