from pathlib import Path

import pytest

from llmtwin_assets_tests.corpus.exports import (
    FORBIDDEN,
    LONG,
    TWEETS,
    script,
    tweet,
    x_archive,
    zipped,
)
from llmtwin_assets_tests.corpus.reading_archives import listed, texts


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zipped(tmp_path / "twitter-1.zip", x_archive())


def test_letters_and_links_are_those_a_reader_sees(archive: Path) -> None:
    assert texts(listed(archive))["1001"] == "Copper & tin <3 https://ada.org/tin"


def test_a_thread_is_one_document_at_its_first_post(archive: Path) -> None:
    thread = next(d for d in listed(archive).documents if d.external_id == "1004")
    assert thread.text == "A thread about copper.\n\nIts second part.\n\nIts third part."
    assert thread.url == "https://x.com/ada/status/1004"
    assert thread.language == "en"
    assert thread.created is not None
    assert thread.updated is not None
    assert thread.created < thread.updated


def test_reposts_and_answers_to_others_stay_out_and_are_counted(archive: Path) -> None:
    listing = listed(archive)
    assert set(texts(listing)) == {"1001", "1004", "1007", "1009"}
    assert listing.left_out == {"reposts of others": 1, "replies to others": 2}
    answered = texts(listed(archive, replies=True))
    assert answered["1003"] == "I agree with you\n\nafter the answer to Bob"


def test_a_long_post_is_joined_by_its_second_and_its_beginning(archive: Path) -> None:
    assert texts(listed(archive))["1007"] == LONG.strip()


def test_no_private_file_is_opened(archive: Path, opened: list[str]) -> None:
    listing = listed(archive)
    assert set(opened) == {"data/manifest.js", "data/tweets.js", "data/note-tweet.js"}
    assert FORBIDDEN not in "".join(d.text for d in listing.documents)
    assert listing.quarantined == {}


def test_a_count_other_than_the_manifests_is_told(tmp_path: Path) -> None:
    listing = listed(zipped(tmp_path / "x.zip", x_archive(count=99)))
    assert "holds 9 items where the manifest says 99" in listing.quarantined["data/tweets.js"]
    assert len(listing.documents) == 4


@pytest.mark.parametrize("name", ["tweet.js", "data/tweet.js", "data/tweets-part1.js"])
def test_old_and_large_archives_are_read_without_wrapper_and_manifest(
    tmp_path: Path, name: str
) -> None:
    listing = listed(zipped(tmp_path / "x.zip", {name: script("tweet", TWEETS)}))
    # Without the account's number, an answer to a deleted post of one's own is one to somebody.
    assert {"1001", "1004"} <= set(texts(listing))
    assert next(d for d in listing.documents).url.startswith("https://x.com/i/status/")


def test_parts_of_a_large_archive_are_one(tmp_path: Path) -> None:
    files = x_archive() | {
        "data/tweets.js": script("tweets", [{"tweet": t} for t in TWEETS[:5]]),
        "data/tweets-part1.js": script("tweets", [{"tweet": t} for t in TWEETS[5:]]),
    }
    assert texts(listed(zipped(tmp_path / "x.zip", files)))["1004"].count("\n\n") == 2


def test_a_script_is_read_and_never_run(tmp_path: Path) -> None:
    evil = "window.YTD.tweets.part0 = [__import__('os').system('touch /tmp/ran')]"
    files = x_archive() | {"data/tweets.js": evil}
    assert (
        "not whole JSON" in listed(zipped(tmp_path / "x.zip", files)).quarantined["data/tweets.js"]
    )


def test_a_cut_file_gives_what_stands_before_the_cut(tmp_path: Path) -> None:
    whole = str(x_archive()["data/tweets.js"])
    files = x_archive() | {"data/tweets.js": whole[: whole.index('"1006"')]}
    listing = listed(zipped(tmp_path / "x.zip", files))
    assert "1001" in texts(listing)
    assert "data/tweets.js" in listing.quarantined


def test_posts_that_answer_one_another_in_a_circle_do_not_hang(tmp_path: Path) -> None:
    circle = [
        tweet(1, "a", in_reply_to_status_id_str="2"),
        tweet(2, "b", in_reply_to_status_id_str="1"),
    ]
    files = {"data/tweets.js": script("tweets", [{"tweet": t} for t in circle])}
    assert texts(listed(zipped(tmp_path / "x.zip", files))) == {"1": "a\n\nb"}
