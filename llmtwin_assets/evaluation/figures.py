"""From what systems wrote to the figures of a report: numbers and names of writers and of function
words, never an author's text, so they may be recorded anywhere. Models, files and clocks are not
known here.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmtwin_assets.evaluation import habits, style
from llmtwin_assets.evaluation.copying import copied_share, degenerate, longest_run
from llmtwin_assets.evaluation.delta import Delta
from llmtwin_assets.evaluation.languages import lists
from llmtwin_assets.evaluation.pieces import equal_lengths
from llmtwin_assets.evaluation.writers import StyleNotMeasurableError, comparable
from llmtwin_assets.features.words import length

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
    """All figures of a report, as JSON values; what is no number is None.

    ``measured`` is what the measuring script found by system, ``answers`` its rows; ``train`` are
    the author's documents that the twin learned from, ``others`` other writers'. Every system's
    text for a prompt, and the author's own, is cut to one length. Where style cannot be measured,
    ``style`` says why as ``unmeasured``, and the figures that hang on it are empty.
    """
    written = texts_by_system(answers)
    compared = equal_lengths(written)
    found: Figures = {
        "systems": {name: dict(each) for name, each in measured.items()},
        "answers": len(answers),
        "words": {name: sum(map(length, texts)) for name, texts in compared.items()},
        "copied_8grams": {
            name: copied_share(map(unquoted, texts), train) for name, texts in written.items()
        },
        "longest_run": {
            name: longest_run(list(map(unquoted, texts)), train) for name, texts in written.items()
        },
        "health": {name: degenerate(texts) for name, texts in written.items()},
    }
    try:
        found |= _by_style(compared, train, others, seed)
    except StyleNotMeasurableError as refusal:
        found |= _without_style(str(refusal), compared)
    plain: Figures = finite(found)
    return plain


def _by_style(
    compared: Mapping[str, Sequence[str]],
    train: Sequence[str],
    others: Mapping[str, Sequence[str]],
    seed: int,
) -> Figures:
    """The figures that need other writers to compare with; raises ``StyleNotMeasurableError``."""
    style.check_prompts(len(next(iter(compared.values()), [])))
    writers = comparable(train, others)
    imitations = {name: compared[name] for name in IMITATORS if name in compared}
    delta = Delta.fit(writers)
    joined = {name: "\n\n".join(texts) for name, texts in compared.items()}
    by_writer = {name: delta.distance(text) for name, text in joined.items()}
    shown = {name: joined[name] for name in (BASE, TWIN) if name in joined}
    return {
        "style": style_figures(style.fit(writers, imitations, seed), compared),
        "habits": habits.habits(writers, shown),
        "nearest": {name: next(iter(found)) for name, found in by_writer.items()},
        "delta_by_writer": by_writer,
        "plane": {name: list(place) for name, place in delta.plane(joined).items()},
        "same_writers": list(writers.same),
        "language": writers.language,
        "listed": writers.language in lists(),
    }


def _without_style(because: str, compared: Mapping[str, Sequence[str]]) -> Figures:
    against = [name for name in (*UNTRAINED, SFT, DEPLOYED) if name in compared]
    return {
        "style": {
            "unmeasured": because,
            "measures": {},
            "scores": {name: {} for name in compared},
            "gains": {},
            "nearer": {name: {} for name in against if TWIN in compared},
        },
        "habits": {},
        "nearest": {},
        "delta_by_writer": {},
        "plane": {},
        "same_writers": [],
    }


def finite(value: Any) -> Any:
    """``value`` with None for every number that JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
        costs = [systems[name]["prose"] for name in (TWIN, BASE)]
        chosen["forgotten (nats)"] = None if None in costs else costs[0] - costs[1]
    knowledge = found.get("knowledge", {}).get(TWIN_RAG)
    if knowledge and knowledge["sound"]:
        chosen["supported sentences"] = knowledge["supported"]["value"]
    return {name: round(value, 3) for name, value in chosen.items() if value is not None}
