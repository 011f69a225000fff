"""Secrets and personal data in a text, replaced by the kind of thing they were: ``[e-mail]``.

Knows shapes, check digits and issuers' ranges, not languages or people: an address or a story
stays, and a name unless somebody who can tell says where it stands. A number that may be anything
stays too, because most texts here are an author's prose. Every pattern reads a text in linear time.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

SECRET, EMAIL, CARD, IBAN, IP, PHONE, SSN, NAME = (
    f"[{kind}]"
    for kind in ("secret", "e-mail", "card", "IBAN", "IP address", "phone", "SSN", "name")
)
_MASKS = re.compile(r"\[(?:secret|e-mail|card|IBAN|IP address|phone|SSN|name)\]")
_ADDRESS = re.compile(r"\w+://\S+|\bwww\.\S+|\]\([^)\s]*\)")
SHORTEST_SECRET = 8  # characters; shorter values stand in too many innocent places

_SECRET_NAME = re.compile(
    r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|_PASS|_PWD)S?(_|$)", re.I
)
# Without possessive groups, which Python 3.11 matches wrongly before 3.11.5. A text is read once
# all the same: what has to follow a repetition cannot begin as the repetition does.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:"
    r"[^-]*(?:-(?!----)[^-]*)*-----END [A-Z0-9 ]{1,40}-----"
    r"|(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{20,})+(?:(?:\s|\\[nr])+[A-Za-z0-9+/=]{1,80})?)"  # cut off
)
_USER_INFO = re.compile(r"(?<=://)(?!git@)[^\s/?#\"'<>]+@(?=[\w\[])")
_KEYS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      sk-(?!ssh-|ecdsa-)(?=[\w-]{0,60}?\d)[\w-]{16,}            # OpenAI, Anthropic and others
    | [spr]k_(?:live|test)_\w{10,}               # Stripe
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}
    | A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?!\w)
    | x(?:ox[a-z]|app)-[A-Za-z0-9-]{10,}         # Slack
    | hf_[A-Za-z0-9]{20,} | AIza[\w-]{30,} | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{30,}
    | lt_(?=[\w-]{0,60}?[\dA-Z])[\w-]{20,}       # ours
    | eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?       # JSON web tokens
    )""",
    re.X,
)
_BEARER = re.compile(r"(?<=[Bb]earer )[\w.~+/=-]{20,}")
# A value in quotes, or a line of a settings file, by the name it is given. A value worth hiding has
# a digit and a letter; a placeholder, a variable or a path does not count.
_ASSIGNED = re.compile(
    r"""((?:passwd|password|passphrase|secret|api_?-?key|access_?-?key|private_?-?key|token)
        (?:_?-?(?:key|id|value|string))?["']?\s{0,3}(?:=>|:=|=|:)\s{0,3}(["']))
        (?=[^"'\s]{0,99}?\d)(?=[^"'\s]{0,99}?[A-Za-z])([^\s"'<>{}$()\[\]]{8,200})(?=\2)""",
    re.X | re.I,
)
_SETTING = re.compile(
    r"""(^[ \t]*(?:export[ ])?[A-Z][A-Z0-9_]{0,40}(?<=[A-Z0-9_])
        (?:(?<=KEY)|(?<=TOKEN)|(?<=SECRET)|(?<=PASSWORD)|(?<=PASSWD))[ ]?=[ ]?)
        (?=\S{0,99}?\d)(?=\S{0,99}?[A-Za-z])([^\s"'<>{}$()\[\]]{8,200})$""",
    re.X | re.M,
)
_PLACEHOLDER = re.compile(r"your|example|change|dummy|xxx|123456|\.\.\.|^/|://", re.I)
_EMAIL = re.compile(
    r"(?<![\w.%+-])(?!git@)\w[\w.%+'’-]{0,99}@"
    r"(?:(?:[\w-]{1,63}\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,24})(?![^\W_]|\()"
    r"|\[[\dA-Fa-f:.]{3,45}\])"
)
_SPELT_EMAIL = re.compile(
    r"(?<![\w.%+-])\w[\w.%+-]{0,63}\s?[(\[]\s?at\s?[)\]]\s?"
    r"[\w-]{1,63}(?:(?:\.|\s?[(\[]\s?dot\s?[)\]]\s?)[\w-]{2,63}){1,4}",
    re.I,
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?=[ \-\u00a0\u202f]?[A-Za-z0-9]{4})")
_DIGITS = re.compile(r"(?<!\w)(?<!\d[.,])\d(?:[ \-\u00a0\u202f]?\d){11,}(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])(?<![A-Za-z]-)(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\w)")
_IPV6 = re.compile(r"(?<![\w:.])[\dA-Fa-f]{0,4}:[\dA-Fa-f:.]{2,44}(?:%\w{1,16})?(?![\w:])")
# Social security numbers as the US administration gives them out (no group of zeros, none that
# begins with 666 or 9), and taxpayer numbers, which begin with 9 and have 50-65, 70-88, 90-92 or
# 94-99 in the middle. Without hyphens only where the text calls it one.
_SSN = re.compile(
    r"(?<![\w-])(?:(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}"
    r"|9\d\d-(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])-\d{4})(?![\w-])"
    r"|(?:(?<=SSN )|(?<=SSN: )|(?<=ecurity number )|(?<=ecurity number: ))"
    r"\d{3} ?\d\d ?\d{4}(?![\w-])"
)
_PHONE = re.compile(
    r"""(?<![\w+)\]])(?<!\d[,:-])(?<!\w[./])(?<![A-Za-z]-)(?:
      (?:\+|00(?=[1-9]\d{0,2}[ ./-]))[1-9]\d{0,3}                        # +44 20 7946 0958
      (?:[ ./\-\u00a0\u202f]?\(?\d{1,12}\)?){0,7}[ ./\-\u00a0\u202f]?\d\d
    | (?:1[-. ])?\([2-9]\d\d\)[ ]?[2-9]\d\d[-. ]\d{4}                  # (555) 234-5678
    | (?:1[-.])?[2-9]\d\d([-.])[2-9]\d\d\1\d{4}                        # 555-234-5678
    | \(0\d{1,4}\)[ -]?\d{2,8}(?:[ -]\d{2,4}){0,3}                      # (030) 1234567
    | 0[1-9](?:\.\d\d){4}(?!\.\d)                                      # 06.12.34.56.78
    | 0[1-9]\d{0,3}[ /\-\u00a0\u202f]\d{2,8}(?:[ \-\u00a0\u202f]\d{2,4}){0,4}  # 0171 1234567
    | 0[1-9]\d{8,9}                                                     # 07700900123
    )(?:[ ]?(?:x|ext\.?[ ]?)\d{1,6})?(?!\w|[.,:/-]\d)""",
    re.X,
)
_NO_PHONE = re.compile(
    r"\+\d{1,3}\.\d{1,8}|\+\d{4}-\d\d-\d\d"  # decimals, dates
    r"|0\d[-/ ](?:0\d|[12]\d|3[01])[-/ ](?:19|20)\d\d.*|0\d{4}-\d{4}|0123456789|0987654321"
)
_CALLED = re.compile(
    r"\b(?:(?:tele)?phone|telefon|tel|tél|fax|mobile|whatsapp)\b"
    r"(?:\s?(?:number|no))?[.:]*\s?(?:(?:is|at)\s)?(\+?\(?\d(?:[ ()./\-\u00a0\u202f]{0,2}\d){5,14})"
    r"(?!\w|[.,:/-]\d)",
    re.I,
)
# What stands before a dotted number that counts editions or chapters rather than machines.
_NUMBERED = re.compile(
    r"(?:(?<![A-Za-z])(?:v|ver|versions?|releases?|rev|revisions?|builds?|sec|sections?|ch|chapters?"
    r"|fig|figures?|tables?|clauses?|art|articles?|steps?|items?|parts?|paragraphs?|appendix"
    r"|oid|object identifiers?|rfc \d{1,5},?)\.?|identifier|version__|§|[=<>~!]=|\^)"
    r"[\s=:(\"'“‘]{0,5}\Z",
    re.I,
)
_HEADING = re.compile(r"(?:\A|\n)[#*\s]*\Z")
_SLICE = re.compile(r"[\w\])]\[[^\]\n]{0,20}\Z")

# ISO 13616, the SWIFT registry, release 101: how many characters an IBAN of each country has.
_IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27"
        " DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28"
        " IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22"
        " MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24"
        " SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    ).split()
}
# ISO/IEC 7812 ranges of the card schemes: first four digits from, to, and how many digits in all.
_CARDS = (
    (4000, 4999, {13, 16, 19}),  # Visa
    (5100, 5599, {16}),  # Mastercard
    (2221, 2720, {16}),
    (3400, 3499, {15}),  # American Express
    (3700, 3799, {15}),
    (3000, 3059, {14, 16}),  # Diners Club
    (3600, 3699, {14, 16}),
    (3800, 3999, {14, 16}),
    (3500, 3599, {16, 17, 18, 19}),  # JCB
    (2131, 2131, {15}),
    (1800, 1800, {15}),
    (6000, 6999, {16, 17, 18, 19}),  # Discover, UnionPay, RuPay, Maestro
    (8100, 8199, {16, 17, 18, 19}),  # UnionPay
    (2200, 2204, {16}),  # Mir
    (5000, 5099, {16, 18, 19}),  # Maestro
    (5600, 5899, set(range(12, 20))),
    *((low, low, set(range(12, 20))) for low in (604, 5018, 5020, 5038, 6304, 6390, 6759)),
    (6761, 6763, set(range(12, 20))),
)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with what is in ``secrets``, keys and passwords of known shapes, e-mail addresses,
    payment cards (Luhn), IBANs (mod 97), IP addresses, phone numbers and US social security numbers
    replaced by their kind."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, SECRET)
    if "-----BEGIN" in text:
        text = _PEM.sub(SECRET, text)
    if "://" in text and "@" in text:
        text = _USER_INFO.sub(f"{SECRET}@", text)
    text = _BEARER.sub(SECRET, _KEYS.sub(SECRET, text))
    text = _SETTING.sub(_assigned, _ASSIGNED.sub(_assigned, text))
    if "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    if "at)" in text or "at]" in text or "at )" in text or "at ]" in text:
        text = _SPELT_EMAIL.sub(EMAIL, text)
    if text.count(":") > 1:
        text = _IPV6.sub(_ipv6, text)
    text = _SSN.sub(SSN, text)
    text = _without_ibans(text)
    text = _DIGITS.sub(_cards, text)
    text = _IPV4.sub(_ipv4, text)
    text = _PHONE.sub(_phone, text)
    return _CALLED.sub(_called, text)


def mask_names(text: str, names: Iterable[tuple[int, int]], own: str) -> str:
    """``text`` with the spans ``names`` masked, but for those that are (a part of) the ``own`` name
    and those in an address."""
    ours = set(re.findall(r"\w+", own.casefold()))
    addresses = [found.span() for found in _ADDRESS.finditer(text)]
    kept, done = [], 0
    for start, end in sorted(names):
        words = re.findall(r"\w+", text[start:end].casefold())
        linked = any(first < end and start < last for first, last in addresses)
        if start >= done and words and not linked and not ours.issuperset(words):
            kept += [text[done:start], NAME]
            done = end
    return "".join([*kept, text[done:]])


def masks(text: str) -> int:
    """How many masks a text has."""
    return len(_MASKS.findall(text))


def mask_all(value: Any, secrets: Iterable[str] = ()) -> Any:
    """``value`` with every text in it masked, in mappings (keys too) and sequences however deep.

    Mappings come back as ``dict``, sequences and sets as ``list``, the rest as it is.
    """
    secrets = tuple(secrets)
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, Mapping):
        return {mask_all(key, secrets): mask_all(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_all(item, secrets) for item in value]
    return value


def _assigned(match: re.Match[str]) -> str:
    value = match[match.lastindex or 0]
    return match[0] if _PLACEHOLDER.search(value) else match[1] + SECRET


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """What must never be shown: the values of variables whose names say KEY, TOKEN, SECRET,
    PASSWORD or the like, and the passwords in URLs. Longest first; no short ones, no numbers."""
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name):
            found.add(value.strip())
        found |= _passwords(value)
    telling = (
        value
        for value in found
        if len(value) >= SHORTEST_SECRET and not (value.isdigit() and len(value) < 12)
    )
    return tuple(sorted(telling, key=len, reverse=True))


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}


def _without_ibans(text: str) -> str:
    kept, done = [], 0
    for match in _IBAN.finditer(text):
        end = _iban_end(text, match.start())
        if match.start() >= done and end:
            kept += [text[done : match.start()], IBAN]
            done = end
    return "".join([*kept, text[done:]])


def _iban_end(text: str, start: int) -> int:
    """Where the IBAN that starts here ends; 0 when none does."""
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    letters, position = "", start
    while len(letters) < length and position < len(text):
        char = text[position]
        if char.isascii() and char.isalnum():
            letters += char
        elif char not in " -\u00a0\u202f" or not text[position - 1].isalnum():
            return 0
        position += 1
    if len(letters) < max(length, 1) or text[position : position + 1].isalnum():
        return 0
    digits = "".join(str(int(char, 36)) for char in letters[4:] + letters[:4])
    return position if int(digits) % 97 == 1 else 0


def _cards(match: re.Match[str]) -> str:
    """The run of digits with every card number in it masked, whatever digits stand beside it."""
    groups = re.split(r"([ \-\u00a0\u202f])", match[0])
    shown, first = "", 0
    while first < len(groups):
        last = next((last for last in _ends(groups, first)), None)
        shown += CARD if last is not None else groups[first]
        after = first if last is None else last
        shown += groups[after + 1] if after + 1 < len(groups) else ""
        first = after + 2
    return shown


def _ends(groups: list[str], first: int) -> Iterable[int]:
    """Indices of the groups with which a card number that begins with group ``first`` may end."""
    digits = ""
    for last in range(first, len(groups), 2):
        digits += groups[last]
        # In groups, a card begins with four digits and ends with at most five.
        if len(digits) > 19 or (last > first and len(groups[first]) != 4):
            return
        grouped = last == first or (
            len(groups[last]) <= 5
            and len(set(groups[first + 1 : last : 2])) == 1
            and all(4 <= len(group) <= 6 for group in groups[first + 2 : last : 2])
        )
        if len(digits) >= 12 and grouped and _is_card(digits):
            yield last


def _is_card(digits: str) -> bool:
    if not any(
        low <= int(digits[:4]) <= high and len(digits) in sizes for low, high, sizes in _CARDS
    ):
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def _ipv4(match: re.Match[str]) -> str:
    octets = [int(part) for part in match[0].split(".")]
    nobody = octets[0] in (0, 127, 255)
    before = match.string[max(match.start() - 24, 0) : match.start()]
    after = match.string[match.end() : match.end() + 2]
    chapter = (
        all(1 <= octet <= 20 for octet in octets)
        and (match.start() < 24 or "\n" in before)
        and _HEADING.search(before)
        and after[:1] == " "
        and after[1:].isalpha()
    )
    if max(octets) > 255 or nobody or chapter or _NUMBERED.search(before):
        return match[0]
    return IP


def _ipv6(match: re.Match[str]) -> str:
    found = match[0].rstrip(".")
    if found.endswith(":") and not found.endswith("::"):
        found = found[:-1]
    before = match.string[max(match.start() - 24, 0) : match.start()]
    parts = [part for part in found.partition("%")[0].split(":") if part]
    longest = max(map(len, parts), default=0)
    telling = longest >= (4 if len(parts) == 1 else 3) and any(map(str.isdigit, found))
    if not telling or _SLICE.search(before):
        return match[0]
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return match[0]
    return IP + match[0][len(found) :]


def _phone(match: re.Match[str]) -> str:
    number = match[0]
    while (digits := sum(map(str.isdigit, number.partition("x")[0]))) > 15 and " " in number:
        number = number.rpartition(" ")[0]
    least = {"+": 8, "00": 11}.get(number[: 1 + (number[0] == "0")], 9)
    groups = [int(group) for group in re.findall(r"\d+", number)]
    counting = len(groups) > 2 and groups == list(range(groups[0], groups[0] + len(groups)))
    if not least <= digits <= 15 or counting or _NO_PHONE.fullmatch(number):
        return match[0]
    return PHONE + match[0][len(number) :]


def _called(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match[1])
    if all(re.fullmatch(r"1[5-9]\d\d|20\d\d", group) for group in groups):
        return match[0]
    return match[0][: match.start(1) - match.start()] + PHONE
