"""Small plots as PNG bytes, and the Markdown that shows one in an asset's metadata.

Figures go in, pictures come out: no text of an author, no file, no display. All share one size
(600 by 300 pixels, a few kB), one typeface and the colour-blind-safe palette of Okabe and Ito
(2008); colour never says alone what a label does not say too.
"""

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

Points = Sequence[Sequence[float]]  # (x, y) pairs

WIDTH, HEIGHT, DPI = 6.0, 3.0, 100  # inches, inches, pixels per inch
ROW = 0.3  # inches that a further bar adds
ROWS = 7  # bars that fit the usual height
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8A8F98", "#22262B"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E7EB",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "text.parse_math": False,
    "legend.frameon": False,
}


def as_markdown(png: bytes, alt: str) -> str:
    """Markdown that carries the picture within itself. ``alt`` says in words what it shows."""
    plain = " ".join(alt.replace("[", "(").replace("]", ")").split())
    return f"![{plain}]({as_data_uri(png)})"


def as_data_uri(png: bytes) -> str:
    """The picture as a URL that needs no file."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def document_lengths(dates: Sequence[date | None], lengths: Sequence[int]) -> bytes:
    """Each document's length in characters (log scale) over its date. Undated ones are counted in
    the title."""
    dated = [(day, max(length, 1)) for day, length in zip(dates, lengths, strict=True) if day]
    undated = len(lengths) - len(dated)
    note = f", {undated} without a date" if undated else ""
    with _figure(f"{len(lengths)} documents{note}", "", "characters") as (axes, png):
        if not dated:
            _say(axes, "no document has a date")
        else:
            axes.plot(*_columns(dated), "o", ms=4.7, color=BLUE, alpha=0.6, mew=0)
            axes.set_yscale("log")
            _plain_numbers(axes)
            _date_labels(axes)
    return bytes(png)


def histogram(values: Sequence[float], xlabel: str, title: str) -> bytes:
    """How ``values`` are spread, with their median marked."""
    with _figure(title, xlabel, "count") as (axes, png):
        if not values:
            _say(axes, "nothing to show")
        else:
            axes.hist(values, bins=min(30, max(5, len(set(values)))), color=BLUE, edgecolor="white")
            middle = sorted(values)[len(values) // 2]
            axes.axvline(middle, color=ORANGE, linewidth=1.8, label=f"median {middle:,.4g}")
            axes.grid(visible=False, axis="x")
            axes.margins(y=0.15)
            axes.legend(loc="upper right")
    return bytes(png)


def training_loss(points: Points, held_out: Points = ()) -> bytes:
    """Loss in nats per token over training steps: (step, loss) pairs, and those measured on
    held-out text when there are any."""
    with _figure("Training loss", "step", "nats per token") as (axes, png):
        if not points:
            _say(axes, "no step was recorded")
        else:
            _line(axes, points, BLUE, "training", "-")
        if held_out:
            _line(axes, held_out, ORANGE, "held out", "--")
            axes.legend(loc="upper right")
        _whole_steps(axes)
    return bytes(png)


def over_steps(points: Points, title: str, ylabel: str) -> bytes:
    """A figure of every training step: (step, value) pairs."""
    with _figure(title, "step", ylabel) as (axes, png):
        if not points:
            _say(axes, "no step was recorded")
        else:
            _line(axes, points, BLUE, title, "-")
            axes.set_ylim(0, 1.1 * max([1e-9, *(y for _, y in points)]))
        _whole_steps(axes)
    return bytes(png)


def reward_margin(points: Points) -> bytes:
    """By how much the author's text is preferred over the model's (implicit DPO reward, in nats)
    over training steps: (step, margin) pairs. Above 0 the author's is preferred."""
    title = "Preference for the author's text over the model's"
    with _figure(title, "step", "reward margin (nats)") as (axes, png):
        if not points:
            _say(axes, "no step was recorded")
        else:
            axes.axhline(0, color=INK, linewidth=1)
            _line(axes, points, GREEN, "margin", "-")
        _whole_steps(axes)
    return bytes(png)


def bars(
    values: Mapping[str, float],
    title: str,
    ylabel: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    highlight: str | None = None,
) -> bytes:
    """Named scores as horizontal bars, the largest on top, each with its number; ``ylabel`` names
    the score and ``intervals`` (low, high) draw whiskers."""
    names = sorted(values, key=lambda name: (values[name], name))
    height = HEIGHT + ROW * max(0, len(names) - ROWS)
    with _figure(title, ylabel, "", height=height) as (axes, png):
        colours = [ORANGE if name == highlight else BLUE for name in names]
        drawn = axes.barh(
            [_short(name) for name in names],
            [values[name] for name in names],
            color=colours,
            height=0.62,
            xerr=_whiskers(names, values, intervals),
            error_kw={"ecolor": INK, "capsize": 3, "elinewidth": 1.1},
        )
        axes.bar_label(drawn, [_number(values[name]) for name in names], padding=5)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.14)
        if not names:
            _say(axes, "nothing to show")
    return bytes(png)


def delta_map(
    places: Mapping[str, tuple[float, float]], texts: Sequence[str], author: str = "author"
) -> bytes:
    """Writers (grey dots), the ``author`` among them (blue square) and the named ``texts`` (orange
    diamonds) by style, as ``Delta.plane`` places them: near each other is alike, the axes have no
    unit."""
    with _figure("Who writes like whom", "", "", height=HEIGHT + 1.2) as (axes, png):
        for name, (x, y) in places.items():
            marker, size, colour = "o", 24, GREY
            if name == author:
                marker, size, colour = "s", 46, BLUE
            if name in texts:
                marker, size, colour = "D", 46, ORANGE
            axes.scatter([x], [y], s=size, marker=marker, color=colour, zorder=3)
        _label_dots(axes, places, {author, *texts})
        axes.set_xticklabels([])
        axes.set_yticklabels([])
        axes.tick_params(length=0)
        axes.margins(0.1)
    return bytes(png)


@contextmanager
def _figure(
    title: str, xlabel: str, ylabel: str, height: float = HEIGHT
) -> "Iterator[tuple[Axes, bytearray]]":
    """Axes to draw on; the bytes are filled with the picture when the block ends."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    png = bytearray()
    with matplotlib.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        yield axes, png
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
        png.extend(_fewer_colours(file.getvalue()))


def _fewer_colours(png: bytes) -> bytes:
    """The same picture with a palette of 64 colours: a third of the bytes, no visible change."""
    from PIL import Image

    file = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(64, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _line(axes: "Axes", points: Points, colour: str, label: str, dashes: str) -> None:
    marker = "o" if len(points) <= 60 else ""
    axes.plot(*_columns(points), dashes, color=colour, marker=marker, markersize=3, label=label)


def _columns(pairs: Sequence[Sequence[Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _say(axes: "Axes", sentence: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", color=GREY)


def _short(name: str, most: int = 28) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _whole_steps(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _plain_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    steps = (1.0,) if high / low > 100 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _date_labels(axes: "Axes") -> None:
    from matplotlib import dates

    typed: Any = dates  # its constructors carry no annotations
    locator = typed.AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(typed.ConciseDateFormatter(locator))


def _whiskers(
    names: Sequence[str],
    values: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]] | None,
) -> list[list[float]] | None:
    if not intervals:
        return None
    ends = [intervals.get(name, (values[name], values[name])) for name in names]
    below = [max(values[name] - low, 0.0) for name, (low, _) in zip(names, ends, strict=True)]
    above = [max(high - values[name], 0.0) for name, (_, high) in zip(names, ends, strict=True)]
    return [below, above]


def _label_dots(
    axes: "Axes", places: Mapping[str, tuple[float, float]], bold: Collection[str]
) -> None:
    """Names beside their dots, towards the middle, moved up (with a thin line to the dot) where
    they would cover one that stands already."""
    left, width = _range([x for x, _ in places.values()])
    line = 0.05 * _range([y for _, y in places.values()])[1]
    taken = list(places.values())
    for name, (x, y) in sorted(places.items(), key=lambda item: (item[1][1], item[0])):
        side = -1 if x > left + width / 2 else 1
        start, height = x + side * 0.035 * width, y
        end = start + side * 0.014 * width * len(_short(name, 20))
        near, far = sorted((start, end))
        while any(near < a < far and abs(height - b) < line for a, b in taken):
            height += line / 4
        taken += [(start + (end - start) * step / 8, height) for step in range(1, 8)]
        axes.plot([x, start - side * 0.005 * width], [y, height], color=GREY, linewidth=0.6)
        axes.text(
            start,
            height,
            _short(name, 20),
            ha="right" if side < 0 else "left",
            va="center",
            fontsize=8,
            fontweight="bold" if name in bold else "normal",
        )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The least of the values and how far the greatest is from it (1 when they are all equal)."""
    return min(values, default=0.0), (max(values, default=1.0) - min(values, default=0.0)) or 1.0


def _number(value: float) -> str:
    counted = isinstance(value, int) or abs(value) >= 100
    return f"{value:,.0f}" if counted else f"{value:,.2f}"
