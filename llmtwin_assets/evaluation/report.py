"""From measured answers to figures, and from figures to a page that a person can send on.

Figures are numbers and names of writers, never text, so they may be recorded anywhere. The page
holds samples of text and is one file: styles and pictures inside, no script, no link to fetch.
Models, files and clocks are not known here.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from llmtwin_assets.evaluation.copying import copied_share, degenerate, longest_run
from llmtwin_assets.evaluation.delta import AUTHOR, Delta
from llmtwin_assets.features.words import words
from llmtwin_assets.pages import page
from llmtwin_assets.plots import as_data_uri, bars, delta_map

Figures = dict[str, Any]
Answer = Mapping[str, str]

HELD_OUT = "held_out"  # the author's own unseen text among the models
SAMPLES = 3
COLUMNS = (
    "Whose text",
    "Nats per token",
    "Delta to the author (90% interval)",
    "Nearest writer",
    "Copied 8-grams",
    "Longest copied run",
    "New 3-grams",
    "Empty answers",
)
DELTA_PLOT, NATS_PLOT, MAP_PLOT = "delta_to_the_author", "nats_per_token", "who_writes_like_whom"
LABELS = {
    "base": "Base model",
    "sft": "Fine-tuned",
    "twin": "Twin",
    HELD_OUT: "Author, unseen text",
    AUTHOR: "The author",
}


def figures(
    measured: Mapping[str, Any],
    answers: Sequence[Answer],
    train: Sequence[str],
    held_out: Sequence[str],
    others: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> Figures:
    """All figures of a report, as JSON values.

    ``measured`` is the result of the measure script, ``answers`` its rows; ``train`` and
    ``held_out`` are the author's texts, ``others`` the reference writers'. Delta grows as a text
    gets shorter, so every model's answers and the held-out text are cut to about one number of
    words (``delta[…]["words"]``). Raises what ``Delta.fit`` raises.
    """
    written = {name: texts_of(answers, name) for name in measured["nats"]}
    compared = equal_lengths(written, held_out)
    delta = Delta.fit(train, others)
    by_writer = {name: delta.distance("\n".join(texts)) for name, texts in compared.items()}
    places = delta.plane({name: "\n".join(texts) for name, texts in compared.items()})
    found: Figures = {
        "nats": dict(measured["nats"]),
        "tokens": measured["tokens"],
        "answers": measured["answers"],
        "delta": {name: _delta(delta, texts, seed) for name, texts in compared.items()},
        "nearest": {name: next(iter(found)) for name, found in by_writer.items()},
        "delta_by_writer": by_writer,
        "copied_8grams": {name: copied_share(texts, train) for name, texts in compared.items()},
        "longest_run": {name: longest_run(texts, train) for name, texts in compared.items()},
        "health": {name: degenerate(texts) for name, texts in written.items()},
        "same_writers": list(delta.same),
        "plane": {name: list(place) for name, place in places.items()},
    }
    return found | {"style_gain": style_gain(found)}


def style_gain(found: Mapping[str, Any], model: str = "twin") -> float | None:
    """Share of the way in style from the base model to the author's unseen text that ``model`` has
    gone: 1 is all of it, below 0 is away. None when the base is as near already, or was not
    measured."""
    delta = found["delta"]
    if "base" not in delta or model not in delta:
        return None
    start, end = delta["base"]["value"], delta[HELD_OUT]["value"]
    gain: float | None = (start - delta[model]["value"]) / (start - end) if start > end else None
    return gain


def texts_of(answers: Sequence[Answer], model: str) -> list[str]:
    """What ``model`` wrote, in the order of the prompts."""
    return [row["text"] for row in answers if row["model"] == model]


def equal_lengths(
    written: Mapping[str, Sequence[str]], held_out: Sequence[str]
) -> dict[str, list[str]]:
    """The models' texts and, as ``HELD_OUT``, evenly spaced pieces of the author's, each set cut to
    the number of words of the shortest; a model that wrote less than half of the most talkative one
    cuts nobody and keeps what it wrote. Texts come back as words separated by spaces."""
    counted = {name: [words(text) for text in texts] for name, texts in written.items()}
    totals = {name: sum(map(len, texts)) for name, texts in counted.items()}
    most = max(totals.values(), default=0)
    room = min((total for total in totals.values() if 2 * total >= most), default=0)
    pieces = max((len(texts) for texts in counted.values()), default=1)
    counted[HELD_OUT] = _pieces([words(text) for text in held_out], max(room, 1), max(pieces, 1))
    room = min(room, sum(map(len, counted[HELD_OUT])))
    return {name: [" ".join(text) for text in _cut(texts, room)] for name, texts in counted.items()}


def headline(found: Mapping[str, Any]) -> dict[str, float]:
    """The few figures that are worth a line in a list of twins; those unknown are left out."""
    twin = {name: found[name].get("twin") for name in ("nats", "copied_8grams", "longest_run")}
    delta = {name: each["value"] for name, each in found["delta"].items()}
    chosen = {
        "style gain (Delta)": found["style_gain"],
        "Delta of the twin": delta.get("twin"),
        "Delta of the base": delta.get("base"),
        "Delta of unseen text": delta[HELD_OUT],
        "nats per token": twin["nats"],
        "nats per token of the base": found["nats"].get("base"),
        "copied 8-grams": twin["copied_8grams"],
        "longest copied run": twin["longest_run"],
    }
    return {name: round(value, 3) for name, value in chosen.items() if value is not None}


def plots(found: Mapping[str, Any]) -> dict[str, bytes]:
    """The report's plots as PNG, by a name that says what they show."""
    delta = {label(name): each["value"] for name, each in found["delta"].items()}
    reach = {label(name): (each["low"], each["high"]) for name, each in found["delta"].items()}
    nats = {label(name): value for name, value in found["nats"].items()}
    places = {label(name): (x, y) for name, (x, y) in found["plane"].items()}
    ours = label("twin")
    return {
        DELTA_PLOT: bars(delta, "Distance to the author", "Burrows' Delta", reach, ours),
        NATS_PLOT: bars(nats, "Unseen text", "nats per token", highlight=ours),
        MAP_PLOT: delta_map(places, list(delta), label(AUTHOR)),
    }


def _delta(delta: Delta, texts: Sequence[str], seed: int) -> dict[str, float]:
    low, high = delta.interval(texts, seed)
    value = delta.distance("\n".join(texts))[AUTHOR]
    return {"value": value, "low": low, "high": high, "words": sum(len(t.split()) for t in texts)}


def _pieces(texts: Sequence[list[str]], room: int, count: int) -> list[list[str]]:
    """``count`` pieces of ``room / count`` words, evenly spaced over all texts; fewer when the
    texts are shorter than that."""
    size = -(-room // count)
    everything = [word for text in texts for word in text]
    starts = list(range(0, len(everything), size))
    if len(starts) > count:
        spare = len(everything) - size  # where the last whole piece begins
        starts = [index * spare // max(count - 1, 1) for index in range(count)]
    return [everything[start : start + size] for start in starts]


def _cut(texts: Sequence[list[str]], room: int) -> list[list[str]]:
    """The longest texts shortened to one length, so that together they have at most ``room``
    words and none is dropped for standing last."""
    shortest, beyond = 0, max(map(len, texts), default=0) + 1
    while beyond - shortest > 1:
        middle = (shortest + beyond) // 2
        fits = sum(min(len(text), middle) for text in texts) <= room
        shortest, beyond = (middle, beyond) if fits else (shortest, middle)
    return [text[:shortest] for text in texts]


def html(found: Figures, answers: Sequence[Answer], title: str) -> str:
    """The report as one self-contained page; all text is escaped."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(summary(found))}</p>',
        _table(found),
        _pictures(found),
        _samples(answers, list(found["nats"])),
        _notes(found),
    ]
    return page(title, "\n".join(parts))


def summary(found: Mapping[str, Any]) -> str:
    """What the figures say, in two or three sentences."""
    said = [_style_sentence(found["style_gain"])]
    nats = found["nats"]
    if "base" in nats and "twin" in nats:
        said.append(
            f"The author's unseen text costs it {nats['twin']:.2f} nats per token; "
            f"the base model paid {nats['base']:.2f}."
        )
    if "twin" in found["copied_8grams"]:
        copied, longest = found["copied_8grams"]["twin"], found["longest_run"]["twin"]
        said.append(
            f"{_percent(copied)} of its eight-word sequences stand in the text it learned from; "
            f"the longest run is {longest} words."
        )
    return " ".join(said)


def _style_sentence(gain: float | None) -> str:
    if gain is None:
        return "How far the twin has come in style cannot be said from these texts."
    if gain >= 1:
        return "In style, the twin is as near to the author as the author's own unseen text is."
    if gain <= 0:
        return "In style, the twin is no nearer to the author than the base model is."
    return (
        f"The twin has gone {gain:.0%} of the way in style from the base model to the author's own "
        "unseen text."
    )


def _table(found: Mapping[str, Any]) -> str:
    rows = "\n".join(_row(found, name) for name in found["delta"])
    head = "".join(f'<th scope="col">{each}</th>' for each in COLUMNS)
    return (
        '<div class="wide"><table><caption>What was measured, smaller Delta is nearer to the author'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(found: Mapping[str, Any], name: str) -> str:
    delta, health = found["delta"][name], found["health"].get(name)
    nats = found["nats"].get(name)
    cells = [
        f"{nats:.2f}" if nats is not None else "–",
        f"{delta['value']:.2f} ({delta['low']:.2f}–{delta['high']:.2f})",
        label(found["nearest"][name]),
        _percent(found["copied_8grams"][name]),
        f"{found['longest_run'][name]} words",
        _percent(health["distinct"]) if health else "–",
        _percent(health["empty"]) if health else "–",
    ]
    values = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(label(name))}</th>{values}</tr>'


def _pictures(found: Mapping[str, Any]) -> str:
    drawn = plots(found)
    images = [_image(drawn[name], spoken) for name, spoken in _spoken(found).items()]
    return f'<div class="pictures">{"".join(images)}</div>'


def _spoken(found: Mapping[str, Any]) -> dict[str, str]:
    """The plots in words, for those who do not see them."""
    delta = ", ".join(f"{label(name)} {each['value']:.2f}" for name, each in found["delta"].items())
    nats = ", ".join(f"{label(name)} {value:.2f}" for name, value in found["nats"].items())
    return {
        DELTA_PLOT: f"Bars of the Delta to the author: {delta}",
        MAP_PLOT: "Map of writers and models by style, the alike near each other",
        NATS_PLOT: f"Bars of nats per token on unseen text: {nats}",
    }


def _image(png: bytes, alt: str) -> str:
    return f'<img src="{as_data_uri(png)}" alt="{escape(alt)}">'


def _samples(answers: Sequence[Answer], models: Sequence[str]) -> str:
    ids = list(dict.fromkeys(row["sample_id"] for row in answers))
    chosen = [ids[index * len(ids) // SAMPLES] for index in range(min(SAMPLES, len(ids)))]
    if len(ids) < SAMPLES:
        chosen = ids
    rows = {(row["sample_id"], row["model"]): row for row in answers}
    shown = [
        _sample([rows[each, model] for model in models if (each, model) in rows]) for each in chosen
    ]
    return "<h2>The same prompt, side by side</h2>" + "\n".join(shown) if shown else ""


def _sample(rows: Sequence[Answer]) -> str:
    longest = max(len(row["text"].split()) for row in rows)
    columns = [_column(label(AUTHOR), _beginning(rows[0]["author"], longest))]
    columns += [_column(label(row["model"]), row["text"]) for row in rows]
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
    sizes = sorted({each["words"] for each in found["delta"].values()})
    spread = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    others = len(next(iter(found["delta_by_writer"].values()))) - 1
    return (
        "<h2>How to read this</h2><p>Burrows' Delta compares how often a text uses the commonest "
        f"words with how often the author and {others} other writers do; 0 is the same. Each set "
        f"of texts has {spread} words: short texts look farther from everyone, so compare only "
        "within this page. Nats per token say how surprised a model is by text of the author that "
        f"it was never shown ({found['tokens']:,} tokens); lower is better. Models with different "
        "tokenizers cannot be compared by it. New 3-grams fall when a text runs in circles.</p>"
    )


def label(name: str) -> str:
    """How a model or writer is called on the page."""
    return LABELS.get(name, name)


def _percent(share: float) -> str:
    return f"{share:.1%}"
