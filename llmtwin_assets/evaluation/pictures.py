"""The pictures of a report: for its page, with the same in words, and for the UI."""

from collections.abc import Mapping
from html import escape
from typing import Any

from llmtwin_assets.evaluation.cells import label
from llmtwin_assets.evaluation.figures import BASE, FEW_SHOT, HELD_OUT, SFT, TWIN
from llmtwin_assets.evaluation.writers import AUTHOR
from llmtwin_assets.plots import as_data_uri, bars, delta_map

GAINS_PLOT, NATS_PLOT, MAP_PLOT = "style_gains", "nats_per_token", "who_writes_like_whom"


def pictures(found: Mapping[str, Any]) -> str:
    """All plots, beside each other where there is room."""
    spoken = _spoken(found)
    images = [
        _image(png, spoken.get(name, name.replace("_", " "))) for name, png in plots(found).items()
    ]
    return f'<div class="pictures">{"".join(images)}</div>'


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


def _image(png: bytes, alt: str) -> str:
    return f'<img src="{as_data_uri(png)}" alt="{escape(alt)}">'
