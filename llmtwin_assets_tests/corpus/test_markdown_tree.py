from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets_tests.corpus.exports import unpacked
from llmtwin_assets_tests.corpus.reading_archives import listed, texts


def tree(tmp_path: Path, **files: str) -> Path:
    """A tree of one file per keyword; ``__`` in a name is a slash."""
    named = {name.replace("__", "/") + ".md": text for name, text in files.items()}
    return unpacked(tmp_path / "tree", named)


@pytest.mark.parametrize(
    "head",
    [
        '---\ntitle: "Copper: soft"\ndate: 2024-03-05\ntags: a b\n---\n',
        "---\ntitle: 'Copper: soft'\ndate: 2024-03-05 10:00:00\ntags: [a, b]\n---\n",
        "---\ntitle: 'Copper: soft'\ndate: '2024-03-05T10:00:00+01:00'\n---\n",
        '+++\ntitle = "Copper: soft"\ndate = 2024-03-05T10:00:00Z\ndraft = false\n+++\n',
        '+++\ntitle = "Copper: soft"\ndate = 2024-03-05\n+++\n',
        '{"title": "Copper: soft", "date": "2024-03-05"}\n',
    ],
)
def test_front_matter_of_every_kind_gives_title_and_date(tmp_path: Path, head: str) -> None:
    (piece,) = listed(tree(tmp_path, a=head + "\nThe text.\n")).documents
    assert (piece.title, piece.published, piece.text) == (
        "Copper: soft",
        date(2024, 3, 5),
        "The text.",
    )


def test_what_is_not_out_stays_out(tmp_path: Path) -> None:
    listing = listed(
        tree(
            tmp_path,
            a="---\ndraft: true\n---\nx",
            b="---\npublished: false\n---\nx",
            c="---\ndate: 2999-01-01\n---\nx",
            d="+++\ndraft = true\n+++\nx",
            _drafts__e="x",
            f="---\ndraft: 'yes'\n---\nx",
            g="Out.",
        )
    )
    assert texts(listed(tmp_path / "tree")) == {"g.md": "Out."}
    assert listing.left_out == {"drafts": 6}


def test_a_date_without_zeros_in_a_file_name_is_read(tmp_path: Path) -> None:
    files = {"_posts/2023-7-9-on-copper.md": "Text.", "_config.yml": "title: x"}
    (piece,) = listed(unpacked(tmp_path / "t", files)).documents
    assert (piece.title, piece.published) == ("on copper", date(2023, 7, 9))


def test_tags_of_templates_go_and_code_stays(tmp_path: Path) -> None:
    body = (
        "Text {{ site.baseurl }}more.\n\n{% include x.html %}\n\n"
        "{% highlight python %}\nx = '{{ kept }}'\n{% endhighlight %}\n\n"
        '{{< figure src="a.png" caption="What it shows" >}}\n\n'
        "{{% notice %}}Inside.{{% /notice %}}\n\n{: .class}\n"
        "{% comment %}not out{% endcomment %}<!-- nor this -->\n\n"
        "```jinja\n{{ kept too }}\n```\n"
    )
    text = texts(listed(tree(tmp_path, a=body)))["a.md"]
    assert "Text more." in text
    assert "```python\nx = '{{ kept }}'\n```" in text
    assert "What it shows" in text
    assert "Inside." in text
    assert "```jinja\n{{ kept too }}\n```" in text
    for gone in ("include", "notice", "not out", "nor this", "baseurl", ".class"):
        assert gone not in text


def test_pieces_by_others_stay_out(tmp_path: Path) -> None:
    listing = listed(
        tree(
            tmp_path,
            a="---\nauthor: Bob Other\n---\nx",
            b="---\nauthor: Ada Writer\n---\nMine.",
            c="---\nauthors: [Ada Writer, Bob Other]\n---\nx",
            d="---\nauthor: {name: ada writer}\n---\nMine too.",
        )
    )
    assert texts(listing) == {"b.md": "Mine.", "d.md": "Mine too."}
    assert listing.left_out == {"pieces by others": 2}


def test_files_of_the_generator_and_of_the_repository_are_left(tmp_path: Path) -> None:
    listing = listed(
        tree(
            tmp_path,
            README="x",
            themes__nice__docs="x",
            node_modules__y__a="x",
            archetypes__default="x",
            content__post__index="Mine.",
        )
    )
    assert texts(listing) == {"content/post/index.md": "Mine."}
    assert listing.documents[0].title == "post"


ALIASES = "a: &a [x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (f"---\n{ALIASES}---\n", "aliases"),
        ("---\n- a\n- list\n---\n", "not a mapping"),
        ("---\na: [\n---\n", "not YAML"),
        ("---\na: !!python/object/apply:os.system ['touch /tmp/ran']\n---\n", "not YAML"),
        ("---\na: " + "[" * 50_000 + "\n---\n", "not YAML"),
        ("---\na: " + "x" * 200_000 + "\n---\n", "more than 100000 characters"),
        ("+++\na = \n+++\n", "not TOML"),
    ],
)
def test_a_head_that_cannot_be_read_loses_no_other(tmp_path: Path, head: str, reason: str) -> None:
    listing = listed(tree(tmp_path, bad=f"{head}text", good="Good."))
    assert texts(listing) == {"good.md": "Good."}
    assert reason in listing.quarantined["bad.md"]


def test_a_permalink_is_an_address_on_the_site(tmp_path: Path) -> None:
    path = tree(
        tmp_path,
        a="---\npermalink: /copper/\n---\nx",
        b="---\ncanonical_url: https://else.org/b\n---\ny",
    )
    found = {d.external_id: d.url for d in listed(path, url="https://ada.org").documents}
    assert found == {"a.md": "https://ada.org/copper/", "b.md": "https://else.org/b"}
