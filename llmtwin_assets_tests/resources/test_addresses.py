import ipaddress
import socket

import pytest

from llmtwin_assets_tests.website import Page, Website, canary, guard
from resources.addresses import (
    AllowedHostsError,
    ForbiddenAddressError,
    ForbiddenUrlError,
    Guard,
    UnreachableError,
    allowed_host,
    guard_from_environment,
    is_public,
    parse_url,
    shown,
)
from resources.errors import LlmTwinError
from resources.web import Web

# One or more of every range that is not the public internet, at the canary's port.
ADDRESSES = """
    127.0.0.1 127.8.9.10 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 100.64.0.1 100.127.255.254
    169.254.1.1 169.254.169.254 172.16.0.1 172.31.255.254 192.0.0.1 192.0.2.7 192.88.99.1
    192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255
    168.63.129.16 [::1] [::] [fe80::1] [fc00::1] [fd12:3456::1] [ff02::1]
    [2001:db8::1] [2001::1] [2002:7f00:1::] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1]
    [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [fd00:ec2::254] localhost localhost.
    127.0.0.1. ①②⑦.⓪.⓪.①
""".split()
# Other ways to write 127.0.0.1, and URLs that programs read differently.
FORMS = [
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\t/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x",
    "//127.0.0.1:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http:///127.0.0.1:{port}/",
]


def test_there_are_sixty_of_them() -> None:
    assert len(ADDRESSES) + len(FORMS) == 60


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_private_or_special_address_is_connected_to(address: str) -> None:
    with canary() as bird, Web(Guard()) as web:
        with pytest.raises(ForbiddenAddressError, match="not on the public internet"):
            web.fetch(f"http://{address}:{bird.port}/")
        assert bird.connections == 0


@pytest.mark.parametrize("form", FORMS)
def test_no_other_form_of_a_url_reaches_loopback(form: str) -> None:
    with canary() as bird, Web(Guard()) as web:
        with pytest.raises(ForbiddenUrlError):
            web.fetch(form.format(port=bird.port))
        assert bird.connections == 0


@pytest.mark.parametrize("hops", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/", "http://[::1]:{port}/", FORMS[0]])
def test_no_redirect_reaches_a_private_address(hops: int, place: str) -> None:
    with canary() as bird, Website({}) as site, Web(guard(site)) as web:
        ends = [f"/{number}" for number in range(1, hops)] + [place.format(port=bird.port)]
        for number, end in enumerate(ends):
            site.pages[f"/{number}"] = Page(status=302, headers={"Location": end})
        with pytest.raises((ForbiddenAddressError, ForbiddenUrlError)):
            web.fetch(site.url("/0"))
        assert len(site.seen) == hops
        assert bird.connections == 0


def test_a_name_that_flips_between_public_and_private_reaches_no_private_address() -> None:
    dialled: list[str] = []
    answers = ["93.184.215.14", "127.0.0.1"]
    asked = 0

    def flip(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return [answers[asked % 2]]

    def dial(address: str, port: int, timeout: float) -> socket.socket:
        dialled.append(address)
        raise OSError("nobody is there")

    with canary() as bird, Web(Guard(resolve=flip, dial=dial)) as web:
        for _ in range(20):
            with pytest.raises((ForbiddenAddressError, UnreachableError)):
                web.fetch("http://rebinding.example/")
        assert asked == 20
        assert set(dialled) == {"93.184.215.14"}
        assert bird.connections == 0


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """The name is looked up once per connection; the connection is made to what was found."""
    with Website({"/": Page("hello")}) as site:
        asked = []

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

        allowed = (allowed_host(f"blog.example:{site.port}"),)
        with Web(Guard(allowed, resolve=resolve)) as web:
            assert web.fetch(f"http://blog.example:{site.port}/").body == b"hello"
        assert asked == ["blog.example"]
        assert site.seen[0].headers["host"] == f"blog.example:{site.port}"


def test_a_host_with_one_private_address_among_public_ones_is_refused() -> None:
    mixed = Guard(resolve=lambda host, port: ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.1"):
        mixed.check("mixed.example", 80)


def test_only_the_usual_ports_of_a_public_host() -> None:
    public = Guard(resolve=lambda host, port: ["93.184.215.14"])
    assert public.check("example.com", 443)
    with pytest.raises(ForbiddenAddressError, match="port"):
        public.check("example.com", 22)


def test_public_addresses_are_public() -> None:
    for text in ("93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        assert is_public(ipaddress.ip_address(text)), text
    # How a network without IPv4 reaches it.
    assert is_public(ipaddress.ip_address("64:ff9b::808:808"))


def test_private_hosts_are_allowed_only_as_the_setting_names_them() -> None:
    named = guard_from_environment(
        {"LLMTWIN_ALLOW_PRIVATE_HOSTS": "127.0.0.1:4000, blog.home, 10.1.0.0/16:80,[::1]:5000"}
    )
    named = Guard(
        named.allowed,
        resolve=lambda host, port: ["192.168.7.7" if host.endswith("home") else host],
    )
    for host, port in [
        ("127.0.0.1", 4000), ("blog.home", 9999), ("10.1.2.3", 80), ("::1", 5000),
        ("::ffff:127.0.0.1", 4000),
    ]:  # fmt: skip
        assert named.check(host, port)
    for host, port in [
        ("127.0.0.1", 4001), ("other.home", 80), ("10.2.2.3", 80), ("10.1.2.3", 443), ("::1", 80),
    ]:  # fmt: skip
        with pytest.raises(ForbiddenAddressError, match="LLMTWIN_ALLOW_PRIVATE_HOSTS"):
            named.check(host, port)


@pytest.mark.parametrize("entry", ["http://x", "a b", "10.0.0.0/99", "0x7f.1", "x:y", "-a"])
def test_an_entry_that_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(AllowedHostsError, match="host"):
        guard_from_environment({"LLMTWIN_ALLOW_PRIVATE_HOSTS": entry})


def test_a_host_without_an_address_says_so() -> None:
    with pytest.raises(UnreachableError, match="no address"):
        Guard(resolve=lambda host, port: []).check("nothing.example", 80)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("http://example.com:80/a b?q=ö#part", "http://example.com/a%20b?q=%C3%B6"),
        ("https://Grüße.example/", "https://xn--gre-6ka8l.example/"),
        ("https://example.com.:443/%7Ea", "https://example.com/%7Ea"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
    ],
)
def test_a_url_is_read_as_it_is_meant(written: str, meant: str) -> None:
    assert str(parse_url(written)) == meant


def test_what_is_shown_of_a_url_holds_no_secret() -> None:
    assert shown("https://ada:secret@example.com/a?token=abc#d") == "https://example.com/a"
    with pytest.raises(LlmTwinError) as refused:
        parse_url("https://ada:secret@example.com/?token=abc")
    assert "secret" not in str(refused.value)
    assert "abc" not in str(refused.value)
