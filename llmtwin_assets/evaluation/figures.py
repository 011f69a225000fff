"""From what systems wrote to the figures of a report: numbers and names of writers and of function
words, never an author's text, so they may be recorded anywhere. Models, files and clocks are not
known here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmtwin_assets.evaluation import style
from llmtwin_assets.evaluation.copying import copied_share, degenerate, longest_run
from llmtwin_assets.evaluation.delta import Delta
from llmtwin_assets.evaluation.pieces import equal_lengths

Figures = dict[str, Any]
Answer = Mapping[str, str]

HELD_OUT = "held_out"  # the author's own unseen text among the systems
BASE, FEW_SHOT, RAG, SFT, TWIN = "base", "few_shot", "rag", "sft", "twin"
TWIN_RAG = "twin_rag"  # as it serves: with passages before the question
DEPLOYED = "deployed"  # the twin that serves now
IMITATORS = (BASE, FEW_SHOT)  # what imitates without training; style has to tell it from the author
UNTRAINED = (BASE, FEW_SHOT, RAG)
QUOTED = re.compile(r"“[^”]*”|\"[^\"\n]*\"|^>.*$", re.MULTILINE)


def figures(
    measured: Mapping[str, Mapping[str, Any]],
    answers: Sequence[Answer],
    train: Sequence[str],
    others: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> Figures:
    """All figures of a report, as JSON values.

    ``measured`` is what the measuring script found by system, ``answers`` its rows; ``train`` are
    the author's documents that the twin learned from, ``others`` the reference writers'. Every
    system's text for a prompt, and the author's own, is cut to one length. Raises what
    ``style.fit`` raises.
    """
    written = texts_by_system(answers)
    compared = equal_lengths(written)
    scorer = style.fit(
        train, others, {name: compared[name] for name in IMITATORS if name in compared}, seed
    )
    delta = Delta.fit(train, others)
    joined = {name: "\n\n".join(texts) for name, texts in compared.items()}
    by_writer = {name: delta.distance(text) for name, text in joined.items()}
    foreign = {name: texts for name, texts in others.items() if name not in scorer.same}
    shown = {name: joined[name] for name in (BASE, TWIN) if name in joined}
    return {
        "systems": {name: dict(found) for name, found in measured.items()},
        "answers": len(answers),
        "words": {name: len(text.split()) for name, text in joined.items()},
        "style": style_figures(scorer, compared),
        "habits": style.habits(train, foreign, shown),
        "nearest": {name: next(iter(found)) for name, found in by_writer.items()},
        "delta_by_writer": by_writer,
        "plane": {name: list(place) for name, place in delta.plane(joined).items()},
        "same_writers": list(scorer.same),
        "language": scorer.language,
        "copied_8grams": {
            name: copied_share(map(unquoted, texts), train) for name, texts in written.items()
        },
        "longest_run": {
            name: longest_run(list(map(unquoted, texts)), train) for name, texts in written.items()
        },
        "health": {name: degenerate(texts) for name, texts in written.items()},
    }


def style_figures(scorer: style.Scorer, compared: Mapping[str, Sequence[str]]) -> Figures:
    """Measures with their admissions; scores and gains by system and measure; and by how much the
    twin is nearer than each other system, on the admitted measures."""
    found = scorer.compare(compared)
    gains = {
        name: {
            measure: gain.plain()
            for measure in scorer.measures
            if (gain := found.gain(measure, name, BASE, HELD_OUT)) is not None
        }
        for name in compared
        if BASE in compared
    }
    against = [name for name in (*UNTRAINED, SFT, DEPLOYED) if name in compared]
    return {
        "measures": {name: vars(admission) for name, admission in scorer.admissions.items()},
        "scores": {
            name: {measure: found.score(measure, name).plain() for measure in scorer.measures}
            for name in compared
        },
        "gains": gains,
        "nearer": {
            name: {
                measure: found.nearer(measure, TWIN, name).plain() for measure in scorer.admitted
            }
            for name in against
            if TWIN in compared
        },
    }


def texts_by_system(answers: Sequence[Answer]) -> dict[str, list[str]]:
    """System -> its texts, by prompt; and, as ``HELD_OUT``, what the author wrote there."""
    found: dict[str, list[str]] = {}
    for row in answers:
        found.setdefault(row["system"], []).append(row["text"])
    first = next(iter(found), None)
    return found | {HELD_OUT: [row["author"] for row in answers if row["system"] == first]}


def unquoted(text: str) -> str:
    """``text`` without what it marks as a quotation: copied words that say so are no theft."""
    return QUOTED.sub(" ", text)


def headline(found: Mapping[str, Any]) -> dict[str, float]:
    """The few figures that are worth a line in a list of twins; those unknown are left out."""
    systems = found["systems"]
    gains = found["style"]["gains"].get(TWIN, {})
    admitted = [name for name, each in found["style"]["measures"].items() if each["admitted"]]
    chosen = {
        **{f"style gain ({name})": gains[name]["value"] for name in admitted if name in gains},
        "nats per token": systems.get(TWIN, {}).get("nats"),
        "nats per token of the base": systems.get(BASE, {}).get("nats"),
        "copied 8-grams": found["copied_8grams"].get(TWIN),
        "longest copied run": found["longest_run"].get(TWIN),
    }
    if {TWIN, BASE} <= systems.keys() and "prose" in systems[TWIN]:
        chosen["forgotten (nats)"] = systems[TWIN]["prose"] - systems[BASE]["prose"]
    knowledge = found.get("knowledge", {}).get(TWIN_RAG)
    if knowledge and knowledge["sound"]:
        chosen["supported sentences"] = knowledge["supported"]["value"]
    return {name: round(value, 3) for name, value in chosen.items() if value is not None}
