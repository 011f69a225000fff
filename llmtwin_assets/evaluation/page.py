"""A report as a page that a person can send on: one file, styles and pictures inside, no script, no
link to fetch. It is the only part of a report that shows text.

Figures come from ``figures.py``; models, files and clocks are not known here.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

from llmtwin_assets.evaluation import sections
from llmtwin_assets.evaluation.cells import number, percent
from llmtwin_assets.evaluation.figures import BASE, TWIN, Answer, Figures
from llmtwin_assets.evaluation.pictures import pictures
from llmtwin_assets.evaluation.side_by_side import side_by_side
from llmtwin_assets.pages import page
from llmtwin_assets.steps import Verdict


def html(
    found: Figures,
    answers: Sequence[Answer],
    title: str,
    verdicts: Mapping[str, Verdict] = MappingProxyType({}),
) -> str:
    """The report as one self-contained page; all text is escaped. ``verdicts`` are what the gates
    say of it, by name."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(summary(found))}</p>',
        *_gates(verdicts),
        *sections.style(found),
        pictures(found),
        *sections.habits(found),
        *sections.behaviour(found),
        *sections.knowledge(found),
        *sections.ragas(found),
        *sections.labelled(found),
        *sections.judge(found),
        side_by_side(answers),
        _notes(found),
    ]
    return page(title, "\n".join(parts))


def _gates(verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """Whether the twin may serve, and what to do where it may not; the shut gates first."""
    if not verdicts:
        return
    shut = sum(not each.passed for each in verdicts.values())
    yield "<h2>May it serve?</h2>"
    if shut:
        yield (
            f"<p>No: {shut} of {len(verdicts)} gates {'is' if shut == 1 else 'are'} shut. A twin "
            "that serves already goes on serving. What to do stands with each shut gate: another "
            "training is another recipe (<code>llmtwin recipes</code> lists them), more writing is "
            "another source in <code>authors.yaml</code>.</p>"
        )
    else:
        yield f"<p>Yes: all {len(verdicts)} gates are open.</p>"
    rows = "".join(
        f'<li class="{"open" if each.passed else "shut"}"><strong>'
        f"{'Open' if each.passed else 'Shut'}: {escape(name.replace('_', ' '))}</strong> "
        f"{escape(each.because[:1].upper() + each.because[1:])}.</li>"
        for name, each in sorted(verdicts.items(), key=lambda item: item[1].passed)
    )
    yield f'<ul class="gates">{rows}</ul>'


def summary(found: Mapping[str, Any]) -> str:
    """What the figures say, in a few sentences."""
    said = [*_gain_sentences(found["style"])]
    systems = found["systems"]
    if {BASE, TWIN} <= systems.keys():
        said.append(
            f"The author's unseen text costs it {number(systems[TWIN]['nats'])} nats per token; "
            f"the base model paid {number(systems[BASE]['nats'])}."
        )
    if TWIN in found["copied_8grams"]:
        copied, longest = found["copied_8grams"][TWIN], found["longest_run"][TWIN]
        said.append(
            f"{percent(copied)} of its eight-word sequences stand in the text it learned from; "
            f"the longest run is {longest} words."
        )
    return " ".join(said)


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
