"""The raw assets of an author with a feed, an archive and a repository, as Dagster runs them."""

import random
from pathlib import Path

import pytest

from llmtwin_assets_tests.corpus.exports import medium, zipped
from llmtwin_assets_tests.corpus.test_feeds import conditional, item, rss
from llmtwin_assets_tests.git_server import BOB, GitSite, Work
from llmtwin_assets_tests.graph import World, failure, rebuilt
from llmtwin_assets_tests.website import Page, Website
from llmtwin_assets_tests.writing import paragraph
from resources.documents import open_documents

RAW = ["raw_articles", "raw_posts", "raw_repositories"]


def written(world: World, kind: str) -> dict[str, str]:
    store = open_documents(world.settings.documents_url)
    return {d["title"]: d["text"] for d in store.documents("ada", kind)}


def text(name: str) -> str:
    return paragraph(random.Random(name))


def entry(name: str) -> str:
    return item(name, f"<p>{text(name)}</p>")


def test_an_author_with_a_feed_an_archive_and_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(tmp_path / "medium.zip", medium())
    work = Work(tmp_path / "work")
    work.commit(BOB, theirs_dot_py="a = 1\nb = 2\nc = 3\n")
    work.commit(mine_dot_py="def f():\n    return  1\n\nx = f()\n",
                README_dot_md=f"# Engine\n\n{text('engine')}\n")  # fmt: skip
    registry = tmp_path / "authors.yaml"
    world = World(tmp_path / "home", registry, tmp_path / "no-model")
    with Website({}) as site, GitSite(tmp_path / "served") as forge:
        monkeypatch.setenv("LLMTWIN_ALLOW_PRIVATE_HOSTS", f"{site.host},{forge.host}")
        site.pages["/feed"] = conditional(rss(entry("looms"), entry("cards")), '"1"')
        registry.write_text(
            "authors:\n  - id: ada\n    name: Ada Writer\n    sources:\n"
            f"      - {{type: feed, url: '{site.url('/feed')}'}}\n"
            "      - {type: archive, path: medium.zip}\n"
            f"      - url: {forge.publish(work)}\n"
        )
        result = world.materialise("ada", RAW)
        assert result.success, failure(result)
        articles = written(world, "article")
        assert {"On looms", "On cards", "Engine"} <= set(articles)
        assert len(articles) > 3  # and those of the archive
        assert articles["On looms"] == text("looms")
        code = "```python\ndef f():\n    return  1\n\nx = f()\n```"
        assert written(world, "repository") == {"mine.py": code}

        assert rebuilt(world.materialise("ada", RAW)) == dict.fromkeys(RAW, False)
        assert site.seen[-1].headers["if-none-match"] == '"1"'
        assert site.asked("/robots.txt") == 1

        site.pages["/feed"] = conditional(rss(entry("punches"), entry("looms")), '"2"')
        work.commit(mine_dot_py=None, other_dot_py="y = 1\nz = 2\nw = 3\n")
        forge.publish(work)
        world.materialise("ada", RAW)
        assert {"On looms", "On cards", "On punches"} <= set(written(world, "article"))
        # Half of what the repository held is gone, which is not believed unasked.
        assert set(written(world, "repository")) == {"mine.py", "other.py"}

        site.pages["/feed"] = Page("", 404)
        forge.pages.answer = lambda handler: Website.answer(handler, Page("", 503))
        failed = world.materialise("ada", RAW[:1])
        assert not failed.success
        assert {"On looms", "On cards", "On punches"} <= set(written(world, "article"))
