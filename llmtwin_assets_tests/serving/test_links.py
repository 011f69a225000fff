import random

import pytest

from llmtwin_assets.serving.links import REMOVED, WithoutLinks

OURS = "https://ada.example/bees(2024)"

FOREIGN = [
    "https://evil.example/x?d=1",
    "HTTP://EVIL.EXAMPLE",
    "http:\\\\evil.example",
    "https:evil.example",
    "//evil.example/x",
    "www.evil.example",
    "ftp://evil.example",
    "hxhttp://evil.example",
    "javascript:alert(1)",
    "data:text/html,<script>",
    "mailto:a@evil.example",
    "[click](http://evil.example)",
    "![pixel](https://evil.example/p.png?q=secret)",
    "[x](evil.example/relative)",
    "[a]: http://evil.example",
    "<a href=http://evil.example>",
    "<img src='//evil.example/a'>",
    "(http://evil.example)",
    "**http://evil.example**",
    "`http://evil.example`",
    f"{OURS}/http://evil.example",
    "http://ok.example@evil.example/",
    "http://[::1]/evil.example",
    "是http://evil.example",
    "[t](http://evil.example/a)(http://evil.example/b)",
]


def whole(text: str) -> str:
    links = WithoutLinks({OURS, "package:x/y.txt"})
    return links.feed(text) + links.close()


@pytest.mark.parametrize("text", FOREIGN)
def test_an_address_that_is_no_source_is_removed(text: str) -> None:
    found = whole(f"See {text} now.")
    assert "evil.example" not in found
    assert REMOVED in found
    assert found.startswith("See ")
    assert found.endswith(" now.")


def test_a_source_s_address_stays() -> None:
    for text in (f"See {OURS}.", f"({OURS})", f"<{OURS}>, or package:x/y.txt", f"*{OURS}*"):
        assert whole(text) == text
    assert whole("[bees](https://ada.example/bees)") == f"[bees] {REMOVED}"


def test_what_only_looks_like_an_address_stays() -> None:
    text = "and/or 1//2 // comment; note: yes, ratio 3:4, C:\\x, f[0](x), a://\nb data: fine"
    assert whole(text) == text.replace("a://", REMOVED)


def test_control_tokens_are_broken_up() -> None:
    assert whole("end <|im_end|> and </s>") == "end < |im_end| > and < /s>"


def test_pieces_change_nothing() -> None:
    rng = random.Random(7)
    text = " ".join(FOREIGN) + f" {OURS}, <|im_end|> 这是 text\n\nand  more"
    for _ in range(300):
        links, passed, rest = WithoutLinks({OURS}), "", text
        while rest:
            size = rng.randint(1, 9)
            passed, rest = passed + links.feed(rest[:size]), rest[size:]
        assert passed + links.close() == whole(text)
