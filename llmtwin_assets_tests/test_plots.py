import base64
import io
from collections.abc import Callable
from datetime import date

import pytest

from llmtwin_assets import plots

DAYS = [date(2024, 1, day) for day in range(1, 29)]
PLACES = {"author": (1.0, 1.0), "twin": (0.9, 1.0), "Jay": (0.9, 1.01), "Emily": (-2.0, 0.0)}

EXAMPLES: dict[str, Callable[[], bytes]] = {
    "lengths": lambda: plots.document_lengths([*DAYS, None], range(1, 30)),
    "histogram": lambda: plots.histogram([1, 2, 2, 3, 40], "tokens", "Chunks of $me_^"),
    "loss": lambda: plots.training_loss([[1, 3.4], [2, 3.1]], [[2, 3.2]]),
    "margin": lambda: plots.reward_margin([(1, -0.1), (2, 0.4)]),
    "bars": lambda: plots.bars({"base": 0.96, "twin": 0.7}, "Delta", "Delta", {"twin": (0.6, 0.8)}),
    "map": lambda: plots.delta_map(PLACES, ["twin"]),
}
EMPTY: dict[str, Callable[[], bytes]] = {
    "lengths": lambda: plots.document_lengths([], []),
    "undated": lambda: plots.document_lengths([None], [3]),
    "histogram": lambda: plots.histogram([], "tokens", "Chunks"),
    "loss": lambda: plots.training_loss([]),
    "margin": lambda: plots.reward_margin([]),
    "bars": lambda: plots.bars({}, "Delta", "Delta"),
    "map": lambda: plots.delta_map({}, []),
    "point": lambda: plots.delta_map({"author": (0.0, 0.0)}, []),
}


def size(png: bytes) -> tuple[int, int]:
    from PIL import Image

    return Image.open(io.BytesIO(png)).size


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_plot_is_a_small_picture_of_the_common_width(name: str) -> None:
    png = EXAMPLES[name]()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 30_000
    width, height = size(png)
    assert width == 600
    assert 300 <= height <= 420


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_figures_give_the_same_bytes(name: str) -> None:
    assert EXAMPLES[name]() == EXAMPLES[name]()


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_show_is_said_and_not_an_error(name: str) -> None:
    assert size(EMPTY[name]())[0] == 600


def test_many_bars_make_the_picture_taller() -> None:
    many = {f"writer {number}": float(number) for number in range(20)}
    assert size(plots.bars(many, "Delta", "Delta"))[1] > 500


def test_different_figures_give_different_pictures() -> None:
    assert plots.training_loss([(1, 3.0), (2, 2.0)]) != plots.training_loss([(1, 3.0), (2, 2.9)])


def test_markdown_carries_the_picture_and_its_words() -> None:
    markdown = plots.as_markdown(b"\x89PNG", "Loss [nats]\nover steps")
    words, _, address = markdown.partition("](data:image/png;base64,")
    assert words == "![Loss (nats) over steps"
    assert base64.b64decode(address.removesuffix(")")) == b"\x89PNG"
