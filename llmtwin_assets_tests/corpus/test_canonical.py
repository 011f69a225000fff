import pytest

from llmtwin_assets.corpus.canonical import (
    canonical_url,
    clean_url,
    declared_url,
    same_site,
    site_of,
)


@pytest.mark.parametrize(
    "variant",
    [
        "https://example.com/on-engines",
        "HTTPS://Example.COM/on-engines",
        "http://www.example.com/on-engines/",
        "https://example.com:443/on-engines#the-part",
        "http://example.com:80/on-engines/index.html",
        "https://m.example.com/on-engines",
        "https://amp.example.com/on-engines",
        "https://example.com/on-engines/amp/",
        "https://example.com/on-engines?amp=1",
        "https://example.com/on-engines.amp.html",
        "https://example.com/on%2Dengines",
        "https://example.com/on-engines?utm_source=a&utm_medium=b&fbclid=c&gclid=d&mc_cid=e&ref=f",
        "https://example.com/on-engines;jsessionid=ABC123",
        "https://www.google.com/amp/s/www.example.com/on-engines/amp",
        "https://example-com.cdn.ampproject.org/c/s/example.com/on-engines",
    ],
)
def test_addresses_of_one_page_have_one_key(variant: str) -> None:
    assert canonical_url(variant) == "https://example.com/on-engines"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a", "https://example.com/b"),
        ("https://example.com/A", "https://example.com/a"),
        ("https://example.com/?p=1", "https://example.com/?p=2"),
        ("https://example.com/show?post_id=1", "https://example.com/show?post_id=2"),
        ("https://example.com/find?s=engines", "https://example.com/find?s=looms"),
        ("https://ada.example.com/a", "https://example.com/a"),
        ("https://example.com:8080/a", "https://example.com/a"),
        ("https://example.com/amp", "https://example.com/"),
        ("https://m.com/a", "https://com/a"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
    ],
)
def test_addresses_of_two_pages_have_two_keys(one: str, other: str) -> None:
    assert canonical_url(one) != canonical_url(other)


def test_parameters_of_a_platform_go_on_that_platform() -> None:
    assert canonical_url("https://ada.substack.com/p/engines?r=1ab&s=w&utm_campaign=x") == (
        "https://ada.substack.com/p/engines"
    )
    assert canonical_url("https://medium.com/@ada/engines-0123456789ab?source=rss----2") == (
        "https://medium.com/@ada/engines-0123456789ab"
    )


def test_the_order_of_parameters_does_not_matter() -> None:
    assert canonical_url("https://e.com/?b=2&a=1") == canonical_url("https://e.com/?a=1&b=2")


def test_a_clean_address_still_leads_to_its_page() -> None:
    assert clean_url("http://ada:x@WWW.Example.com:80/Blog/?utm_source=x&p=7#top") == (
        "http://www.example.com/Blog/?p=7"
    )


@pytest.mark.parametrize("text", ["", "ftp://x.org/a", "not a url", "http://[x", "http://x:0/"])
def test_what_is_no_address_stays_as_it_is(text: str) -> None:
    assert canonical_url(text) == clean_url(text) == text
    assert site_of(text) == ""
    assert not same_site(text, text)


def test_a_key_is_its_own_key() -> None:
    for url in ("https://example.com/on-engines", "https://example.com/ä%20b?q=%C3%B6&r=%2F"):
        assert canonical_url(canonical_url(url)) == canonical_url(url)


def test_a_page_says_its_own_address_only_on_its_own_site() -> None:
    page = "https://www.example.com/a?utm_source=x"
    assert declared_url(page, None) == "https://www.example.com/a"
    assert declared_url(page, "/articles/a") == "https://www.example.com/articles/a"
    assert declared_url(page, "https://example.com/b") == "https://example.com/b"
    assert declared_url(page, "https://victim.org/b") == "https://www.example.com/a"
    assert declared_url(page, "https://blog.ada.org/b", {"blog.ada.org"}) == (
        "https://blog.ada.org/b"
    )
    assert declared_url(page, "https://www.example.com/") == "https://www.example.com/a"
    assert declared_url(page, "javascript:alert(1)") == "https://www.example.com/a"
