"""The sensor of feeds, sites and repositories, as Dagster evaluates it, against servers on
loopback."""

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from llmtwin_assets.automation.sensors import feeds_and_sites, read_cursor
from llmtwin_assets.definitions import build_defs
from llmtwin_assets.settings import from_environment
from llmtwin_assets_tests.corpus.test_feeds import conditional, item, rss, xml
from llmtwin_assets_tests.corpus.test_sites import urlset
from llmtwin_assets_tests.git_server import GitSite, Work
from llmtwin_assets_tests.website import Page, Website
from resources.hosts import Hosts, RobotsFile

QUARTER, DAY = 900.0, 86_400.0  # seconds


class Sensor:
    """The sensor, its cursor, and the time that passes between its ticks."""

    def __init__(self, folder: Path) -> None:
        self.registry, self.home = folder / "authors.yaml", folder / "home"
        environment = {"LLMTWIN_HOME": str(self.home), "LLMTWIN_AUTHORS": str(self.registry)}
        self.defs = build_defs(from_environment(environment))
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None

    def robots_known(self, site: Website) -> None:
        """Remember that the site has no robots.txt, so that no pause follows asking for it."""
        for origin in (site.url(""), by_name(site, "")):
            Hosts(self.home / "sources" / "hosts").keep_robots(
                origin, RobotsFile(404, b"", time.time() + DAY)
            )

    def authors(self, **sources: str | list[str]) -> None:
        """Write the registry: author=source or sources, each as YAML; Dagster knows them all."""
        lines = ["authors:"]
        for author, entries in sources.items():
            lines += [f"  - id: {author}", f"    name: {author.title()} Writer", "    sources:"]
            lines += [f"      - {e}" for e in ([entries] if isinstance(entries, str) else entries)]
        self.registry.write_text("\n".join(lines))
        self.instance.add_dynamic_partitions("author", list(sources))

    def tick(self, later: float = 0.0) -> list[dg.RunRequest]:
        """What a tick asks for, so many seconds after the last one; its cursor is kept."""
        self.pass_time(later)
        context = dg.build_sensor_context(
            self.instance, self.cursor, definitions=self.defs, resources=self.defs.resources
        )
        with partition_loading_context(dynamic_partitions_store=self.instance):
            data = feeds_and_sites.evaluate_tick(context)
        self.cursor = data.cursor
        return list(data.run_requests or [])

    def keys(self, later: float = 0.0) -> list[str]:
        """The run keys of a tick."""
        return sorted(request.run_key or "" for request in self.tick(later))

    def pass_time(self, seconds: float) -> None:
        """Let what was remembered have been remembered so much earlier."""
        for path in self.home.glob("sources/*/pages.sqlite"):
            with sqlite3.connect(path) as db:
                db.execute("UPDATE pages SET checked = checked - ?", (seconds,))
        for path in self.home.glob("sources/*/repositories/*.head"):
            then = path.stat().st_mtime - seconds
            os.utime(path, (then, then))
        for path in self.home.glob("sources/hosts/hosts.sqlite"):
            with sqlite3.connect(path) as db:
                db.execute("UPDATE hosts SET free_at = free_at - ?", (seconds,))
                db.execute("UPDATE robots SET fetched = fetched - ?", (seconds,))


@pytest.fixture
def sensor(tmp_path: Path) -> Sensor:
    return Sensor(tmp_path)


@pytest.fixture
def site(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    with Website({}) as site:
        hosts = f"{site.host},localhost:{site.port}"
        monkeypatch.setenv("LLMTWIN_ALLOW_PRIVATE_HOSTS", hosts)
        sensor.robots_known(site)
        yield site


def by_name(site: Website, path: str) -> str:
    """An address of the site at another host, whose turn is its own."""
    return f"http://localhost:{site.port}{path}"


def feed(site: Website, path: str = "/feed") -> str:
    return f"{{type: feed, url: '{site.url(path)}'}}"


def feed_by_name(site: Website, path: str = "/feed") -> str:
    return f"{{type: feed, url: '{by_name(site, path)}'}}"


def dated(text: str, when: str) -> Page:
    """A feed that names no version of itself, and its last change by header."""
    return xml(text, **{"Last-Modified": when})


def test_a_feed_that_did_not_change_costs_a_conditional_request_and_no_run(
    sensor: Sensor, site: Website
) -> None:
    site.pages["/feed"] = conditional(rss(item("a")), '"1"')
    sensor.authors(ada=feed(site))
    (first,) = sensor.tick()
    assert (first.partition_key, first.run_key) == (
        "ada",
        read_cursor(sensor.cursor)["ada"].key("ada"),
    )
    before, cursor = len(site.seen), sensor.cursor
    assert sensor.tick(QUARTER) == []
    assert [seen.path for seen in site.seen[before:]] == ["/feed"]
    assert site.seen[-1].headers["if-none-match"] == '"1"'
    assert sensor.cursor == cursor


def test_a_server_that_knows_dates_only_is_asked_by_date(sensor: Sensor, site: Website) -> None:
    when = "Tue, 05 Mar 2024 10:00:00 GMT"
    site.pages["/feed"] = dated(rss(item("a")), when)
    sensor.authors(ada=feed(site))
    sensor.tick()
    assert sensor.tick(QUARTER) == []
    assert site.seen[-1].headers["if-modified-since"] == when


def test_a_changed_feed_is_asked_for_once_though_its_tick_is_begun_again(
    sensor: Sensor, site: Website
) -> None:
    site.pages["/feed"] = conditional(rss(item("a")), '"1"')
    sensor.authors(ada=feed(site), eve=feed_by_name(site))
    sensor.tick()
    cursor = sensor.cursor
    site.pages["/feed"] = conditional(rss(item("b"), item("a")), '"2"')
    first = sensor.keys(QUARTER)
    sensor.cursor = cursor  # the tick was killed before its cursor was written
    asked = site.asked("/feed")
    assert sensor.keys() == first
    assert site.asked("/feed") == asked
    assert [key.split(":")[:2] for key in first] == [["ada", "2"], ["eve", "2"]]
    assert sensor.keys(QUARTER) == []


def test_a_feed_that_is_dated_anew_at_every_request_has_nothing_new(
    sensor: Sensor, site: Website
) -> None:
    def at(hour: int, *items: str) -> Page:
        made = f"<lastBuildDate>Tue, 05 Mar 2024 {hour}:00:00 GMT</lastBuildDate>"
        return xml(rss(made, *items))

    site.pages["/feed"] = at(10, item("a"))
    sensor.authors(ada=feed(site))
    assert len(sensor.keys()) == 1
    site.pages["/feed"] = at(11, item("a"))
    assert sensor.keys(QUARTER) == []
    site.pages["/feed"] = at(12, item("a").replace("On a", "On a, edited"))
    assert len(sensor.keys(QUARTER)) == 1


@pytest.mark.parametrize("down", [Page(status=0), Page("", 500), Page("", 404)])
def test_a_server_in_trouble_asks_for_no_run_and_keeps_no_other_author_waiting(
    sensor: Sensor, site: Website, down: Page
) -> None:
    for path in ("/ada", "/eve"):
        site.pages[path] = conditional(rss(item("a")), '"1"')
    sensor.authors(ada=feed(site, "/ada"), eve=feed_by_name(site, "/eve"))
    sensor.tick()
    before = read_cursor(sensor.cursor)
    whole = site.pages["/ada"]
    site.pages |= {"/ada": down, "/eve": conditional(rss(item("b")), '"2"')}
    asked = site.asked("/ada")
    (request,) = sensor.tick(QUARTER)
    assert request.partition_key == "eve"
    assert site.asked("/ada") == asked + 1  # once in a look
    assert read_cursor(sensor.cursor)["ada"] == before["ada"]
    site.pages["/ada"] = whole
    assert sensor.keys(QUARTER) == []  # it is up again, and as it was


def test_a_host_that_asks_to_be_left_alone_is_left_alone_and_not_waited_for(
    sensor: Sensor, site: Website
) -> None:
    site.pages["/feed"] = Page("", 503, {"Retry-After": "2000"})
    sensor.authors(ada=feed(site))
    assert sensor.keys() == []
    for asked in (1, 1):
        assert sensor.keys(QUARTER) == []
        assert site.asked("/feed") == asked
    site.pages["/feed"] = xml(rss(item("a")))
    assert len(sensor.keys(QUARTER)) == 1


def test_a_sitemap_likewise(sensor: Sensor, site: Website) -> None:
    hour = 4 * QUARTER + 60
    site.pages["/sitemap.xml"] = urlset(site, "/1", **{"1": "2024-03-05"})
    sensor.authors(ada=f"{{type: site, url: '{site.url()}'}}")
    assert len(sensor.keys()) == 1
    asked = site.asked("/sitemap.xml")
    assert sensor.keys(QUARTER) == []
    assert site.asked("/sitemap.xml") == asked
    assert sensor.keys(hour) == []
    assert site.asked("/sitemap.xml") == asked + 1
    site.pages["/sitemap.xml"] = urlset(site, "/1", **{"1": "2024-03-06"})
    cursor = sensor.cursor
    first = sensor.keys(hour)
    sensor.cursor = cursor
    assert sensor.keys() == first != []
    assert {seen.path for seen in site.seen} == {"/sitemap.xml"}  # and no page
    before, whole = sensor.cursor, site.pages["/sitemap.xml"]
    for down in (Page(status=0), Page("", 500), xml("<urlset/>"), xml("<broken")):
        site.pages["/sitemap.xml"] = down
        assert sensor.keys(hour) == []
        assert sensor.cursor == before
    site.pages["/sitemap.xml"] = whole
    assert sensor.keys(hour) == []


def test_a_repository_likewise(
    sensor: Sensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(tmp_path / "work")
    work.commit(README_dot_md="# Engine\n")
    with GitSite(tmp_path / "served") as forge:
        monkeypatch.setenv("LLMTWIN_ALLOW_PRIVATE_HOSTS", forge.host)
        sensor.authors(ada=f"{{type: repository, url: {forge.publish(work)}}}")
        assert len(sensor.keys()) == 1
        assert sensor.keys(QUARTER) == []
        answer, forge.pages.answer = forge.pages.answer, lambda h: Website.answer(h, Page("", 500))
        assert sensor.keys(QUARTER) == []
        forge.pages.answer = answer
        (note,) = sensor.home.glob("sources/ada/repositories/*.head")
        note.write_text("")  # as a look that was killed while it wrote leaves it
        assert sensor.keys() == []
        work.commit(mine_dot_py="x = 1\n")
        forge.publish(work)
        cursor = sensor.cursor
        first = sensor.keys(QUARTER)
        sensor.cursor = cursor
        assert sensor.keys() == first != []


def test_an_author_whom_dagster_does_not_know_yet_keeps_nobody_waiting(
    sensor: Sensor, site: Website
) -> None:
    site.pages["/feed"] = xml(rss(item("a")))
    sensor.authors(ada=feed(site), eve=feed_by_name(site))
    sensor.instance.delete_dynamic_partition("author", "eve")
    assert [request.partition_key for request in sensor.tick()] == ["ada"]
    sensor.instance.add_dynamic_partitions("author", ["eve"])
    assert [request.partition_key for request in sensor.tick(QUARTER)] == ["eve"]
