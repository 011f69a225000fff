"""Which URLs may be fetched and which network addresses may be connected to.

Only http and https, on their usual ports, to addresses of the public internet; loopback and private
hosts only when the deployment names them. The check is made when connecting, on the very address
that is then used, so a name that changes its address between the two gains nothing. Knows sockets
and nothing of HTTP: ``web.py`` and ``proxy.py`` connect through it.
"""

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import idna

from resources.errors import LlmTwinError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
Dial = Callable[[str, int, float], socket.socket]

PORTS = {"http": 80, "https": 443}
VARIABLE = "LLMTWIN_ALLOW_PRIVATE_HOSTS"

# The special-purpose registries of IANA (RFC 6890 and its updates): nothing in them is a website.
_SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
        "192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 "
        "192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
        "168.63.129.16/32"  # the last is a cloud's metadata service on a public address
    ).split()
)
# IPv6 is the other way round: only 2000::/3 is given out, and these parts of it are special.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20".split()
)
# A network without IPv4 reaches it by these addresses, whose last 32 bits are the IPv4 address.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
# Everything that may stand in a path or query as it is; "%" because escapes are kept.
_SAFE = "/%:@!$&'()*+,;=-._~?[]"


class ForbiddenUrlError(LlmTwinError):
    """A URL of a form that is never fetched."""


class ForbiddenAddressError(LlmTwinError):
    """A host that resolves to an address that is not on the public internet."""


class UnreachableError(LlmTwinError):
    """A host that has no address, or takes no connection."""


class AllowedHostsError(LlmTwinError):
    """An entry of the setting for private hosts that cannot be understood."""


@dataclass(frozen=True)
class Url:
    """A URL taken apart once, so that what is checked is what is used."""

    scheme: str
    host: str  # lower-case ASCII name or address, no brackets
    port: int
    target: str  # path and query, escaped

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL; the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a robots.txt is for."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.target


@dataclass(frozen=True)
class AllowedHost:
    """One exception to the rules: a network or a name, on one port or on all."""

    place: Network | str
    port: int | None

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Whether it excepts a host that resolved to an address, at a port."""
        if self.port not in (None, port):
            return False
        if isinstance(self.place, str):
            return self.place == host
        return address.version == self.place.version and address in self.place


def parse_url(url: str) -> Url:
    """The parts of a URL; raises ``ForbiddenUrlError`` for one that is not plain http or https,
    carries a user name, or has a host that different programs read differently."""
    text = url.strip()
    if _FORBIDDEN_CHARACTERS.search(text.replace(" ", "")):
        raise _forbidden(url, "it holds a control character or a backslash")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _forbidden(url, f"it is not a URL ({error})") from error
    if parts.scheme not in PORTS:
        raise _forbidden(url, f"its scheme is '{parts.scheme}', not http or https")
    if "@" in parts.netloc:
        raise _forbidden(url, "it carries a user name")
    if " " in parts.netloc or not parts.hostname:
        raise _forbidden(url, "it names no host")
    host = _host(parts.hostname, url)
    target = quote(parts.path or "/", _SAFE) + (f"?{quote(parts.query, _SAFE)}" * bool(parts.query))
    if not target.startswith("/"):
        raise _forbidden(url, "its path does not begin with a slash")
    return Url(parts.scheme, host, PORTS[parts.scheme] if port is None else port, target)


def shown(url: str) -> str:
    """A URL for people and logs: without user name, password, query and fragment, which may hold
    secrets, and not endlessly long."""
    scheme, separator, rest = url.strip().partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        rest = authority.rpartition("@")[2] + slash + path
    short = re.split(r"[?#]", scheme + separator + rest, maxsplit=1)[0]
    printable = "".join(character if character.isprintable() else "?" for character in short)
    return printable if len(printable) <= 200 else printable[:200] + "…"


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet, by IANA's registries."""
    plain = embedded(address)
    if isinstance(plain, ipaddress.IPv4Address):
        return not any(plain in network for network in _SPECIAL_V4)
    return plain in _GLOBAL_V6 and not any(plain in network for network in _SPECIAL_V6)


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv4-mapped or NAT64 address stands for; else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine finds for a host, best first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def system_dial(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to a numeric address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect((address, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True)
class Guard:
    """The rule for every connection to an untrusted host, and the only way to make one."""

    allowed: tuple[AllowedHost, ...] = ()
    resolve: Resolver = system_resolver
    dial: Dial = system_dial

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection to one of the host's addresses, all of which were checked.

        Raises ``ForbiddenAddressError`` when one address is not public and not excepted: a host
        that mixes the two is no ordinary website. Raises ``UnreachableError``.
        """
        addresses = self.check(host, port)
        problems = []
        for address in addresses:
            try:
                return self.dial(str(address), port, timeout / len(addresses))
            except OSError as error:
                problems.append(error.strerror or type(error).__name__)
        raise UnreachableError(
            f"{host}:{port}", f"no connection ({problems[-1]})", "Try again later"
        )

    def check(self, host: str, port: int) -> list[Address]:
        """The host's addresses, each one allowed at this port; raises as ``connect`` does."""
        try:
            resolved = self.resolve(host, port)
            addresses: list[Address] = [ipaddress.ip_address(text) for text in resolved]
        except (OSError, ValueError) as error:
            raise UnreachableError(
                host, f"its address was not found ({error})", "Check the name; try again later"
            ) from error
        if not addresses:
            raise UnreachableError(host, "it has no address", "Check the name")
        for address in addresses:
            self._check(host, address, port)
        return addresses

    def excepts(self, host: str, addresses: Sequence[Address], port: int) -> bool:
        """Whether the setting names this host, wherever its addresses are."""
        return all(
            any(exception.covers(host, embedded(address), port) for exception in self.allowed)
            for address in addresses
        )

    def _check(self, host: str, address: Address, port: int) -> None:
        if self.excepts(host, [address], port):
            return
        if not is_public(address):
            raise ForbiddenAddressError(
                f"{host}:{port}",
                f"its address {address} is not on the public internet",
                f"If it is your own server, name it in {VARIABLE}",
            )
        if port not in PORTS.values():
            raise ForbiddenAddressError(
                f"{host}:{port}",
                "its port is neither 80 nor 443",
                f"If it is to be read, name host and port in {VARIABLE}",
            )


def guard_from_environment(environ: Mapping[str, str] = os.environ) -> Guard:
    """The guard with the exceptions that ``LLMTWIN_ALLOW_PRIVATE_HOSTS`` names, separated by
    commas: ``blog.home:8080``, ``127.0.0.1:4000``, ``10.1.0.0/16``, ``[::1]:4000``."""
    entries = [entry.strip() for entry in environ.get(VARIABLE, "").split(",")]
    return Guard(tuple(allowed_host(entry) for entry in entries if entry))


def allowed_host(entry: str) -> AllowedHost:
    """One entry of the setting; raises ``AllowedHostsError``."""
    try:
        return AllowedHost(ipaddress.ip_network(entry.strip("[]")), None)
    except ValueError:
        pass
    host, _, digits = entry.rpartition(":") if re.search(r":\d+$", entry) else (entry, "", "")
    port = int(digits) if digits else None
    try:
        return AllowedHost(ipaddress.ip_network(host.strip("[]")), port)
    except ValueError:
        name = host.lower()
    if not _HOST.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise AllowedHostsError(
            f"{VARIABLE}={entry}",
            "it is not a host, an address or a network",
            "Write host, host:port, address, address:port or network/bits, separated by commas",
        )
    return AllowedHost(name, port)


def _host(host: str, url: str) -> str:
    if ":" in host:
        try:
            if "%" in host:
                raise ValueError("a zone is of this machine")
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _forbidden(url, "its host is not an IPv6 address") from error
    name = host
    if not host.isascii():
        try:
            name = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise _forbidden(url, "its host is not a domain name") from error
    name = name.lower().removesuffix(".")
    if not _HOST.fullmatch(name) or len(name) > 253:
        raise _forbidden(url, "its host is not a domain name")
    # 0x7f.1, 017700000001 and 2130706433 are 127.0.0.1 to some programs and names to others.
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError as error:
            raise _forbidden(url, "its host is a number that is no plain IPv4 address") from error
    return name


def _forbidden(url: str, problem: str) -> ForbiddenUrlError:
    return ForbiddenUrlError(shown(url), problem, "Use a plain http:// or https:// address")
