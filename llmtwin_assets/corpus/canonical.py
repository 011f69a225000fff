"""One address per page: what differs without leading elsewhere is taken off. Fetches nothing.

``clean_url`` is for people: it leads to the page, without the parameters that tell where a reader
came from. ``canonical_url`` is for comparing: two addresses with the same one are the same page.
"""

import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

import idna

# Parameters that tell where a reader came from and not what they read.
TRACKING = re.compile(
    r"utm_.*|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|twclid|ttclid|igshid?|mc_[ce]id|"
    r"mkt_tok|_hs(enc|mi)|__hs.*|vero_(id|conv)|oly_(anon|enc)_id|wickedid|rb_clickid|s_cid|ncid|"
    r"cmpid|_ga|_gl|trk|trkinfo|ref_?src|ref_?url|ref|referrer|at_(medium|campaign)|"
    r"phpsessid|jsessionid|amp|outputtype",
    re.IGNORECASE,
)
# … and those that do so on one platform, and may be a page's name elsewhere.
SUBSTACK = re.compile(
    r"r|s|publication_id|post_id|token|isfreemail|triedredirect|showwelcome.*|triggershare|"
    r"action|comments|redirect|source",
    re.IGNORECASE,
)
MEDIUM = re.compile(r"source|sk|gi|responsesopen|sortby|postpublishedtype", re.IGNORECASE)
# Hosts that show the same pages: on telephones, as AMP.
VARIANT = re.compile(r"(?:www\d?|m|mobile|amp)\.(?=[^.]+\.[^.])")
AMP_CACHE = re.compile(r"/(?:[acv]/)?(?:amp/)?(s/)?([^/]+\.[^/]+)(/.*)?")
INDEX = re.compile(r"/(?:index\.(?:html?|php|asp|aspx))?$")
SESSION = re.compile(r";jsessionid=[^/?]*", re.IGNORECASE)


def clean_url(url: str) -> str:
    """The address without tracking parameters, session, fragment, user name and default port, with
    scheme and host in lower case. What is no http(s) address is returned as it is."""
    parts = _split(url)
    if parts is None:
        return url.strip()
    path = SESSION.sub("", parts.path) or "/"
    return _joined(parts.scheme, parts, parts.hostname or "", path, _query(parts))


def canonical_url(url: str) -> str:
    """A key that addresses of one page share: ``clean_url`` without the differences between http
    and https, www, telephone and AMP variants, trailing slashes, escapes and the order of
    parameters. It may lead nowhere."""
    parts = _split(_out_of_amp_cache(url))
    if parts is None:
        return url.strip()
    host = VARIANT.sub("", _ascii(parts.hostname or ""))
    segments = SESSION.sub("", parts.path).split("/")
    path = "/".join(quote(unquote(segment), safe=":@!$&'()*+,;=~") for segment in segments)
    path = re.sub(r"(?<=/[^/])(.*)(?:/amp|\.amp(?:\.html)?)/?$", r"\1", path)
    path = INDEX.sub("", path)
    return _joined("https", parts, host, path, sorted(_query(parts)))


def same_site(one: str, other: str) -> bool:
    """Whether two addresses are of one host, its variants included."""
    a, b = _split(one), _split(other)
    return a is not None and b is not None and site_of(one) == site_of(other)


def site_of(url: str) -> str:
    """The host of an address without ``www.``, ``m.`` and ``amp.``; with its port, if that is an
    unusual one. Empty for what is no http(s) address."""
    parts = _split(url)
    if parts is None:
        return ""
    return VARIANT.sub("", _ascii(parts.hostname or "")) + _port(parts)


def declared_url(page: str, declared: str | None, own: Collection[str] = ()) -> str:
    """The address of a page that says itself, by ``rel=canonical``, where it belongs.

    What it says is believed when that is on the same site or on one of the author's ``own`` (hosts
    as ``site_of`` gives them), so that no page can pass for another's; and when it does not name
    the front page, which many templates put on every page.
    """
    there = _split(urljoin(page, declared)) if declared else None
    if there is None:
        return clean_url(page)
    address = there.geturl()
    believed = same_site(page, address) or site_of(address) in own
    names_the_front = not (there.path.strip("/") or there.query)
    return clean_url(address if believed and not names_the_front else page)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _query(parts: SplitResult) -> list[tuple[str, str]]:
    """The parameters that may name a page."""
    host = parts.hostname or ""
    return [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not (
            TRACKING.fullmatch(name)
            or (parts.path.startswith("/p/") and SUBSTACK.fullmatch(name))
            or (_of(host, "medium.com") and MEDIUM.fullmatch(name))
        )
    ]


def _joined(
    scheme: str, parts: SplitResult, host: str, path: str, query: list[tuple[str, str]]
) -> str:
    named = f"[{host}]" if ":" in host else host
    return f"{scheme}://{named}{_port(parts)}{path}" + (f"?{urlencode(query)}" if query else "")


def _port(parts: SplitResult) -> str:
    return f":{parts.port}" if parts.port not in (None, 80, 443) else ""


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return host


def _of(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _out_of_amp_cache(url: str) -> str:
    """The address of a page that Google keeps a copy of."""
    parts = _split(url)
    host = (parts.hostname or "") if parts else ""
    if not parts or not (
        _of(host, "cdn.ampproject.org")
        or (host in ("google.com", "www.google.com") and parts.path.startswith("/amp/"))
    ):
        return url
    match = AMP_CACHE.fullmatch(parts.path)
    if not match:
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"http{'s' if match[1] else ''}://{match[2]}{match[3] or '/'}{query}"
