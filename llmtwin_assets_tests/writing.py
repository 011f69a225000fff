"""Small corpora, the same on every run: sentences drawn from word lists by a seeded generator."""

import random
from pathlib import Path

NOUNS = (
    "engine lantern harbour orchard ledger copper meadow compass river shutter kettle bridge "
    "anchor violin granite feather market window garden signal winter thread mirror station"
).split()
VERBS = "carries measures repairs forgets follows gathers divides answers weighs crosses".split()
ADJECTIVES = (
    "patient narrow silver distant quiet crooked honest heavy early salted hollow bright "
    "careless northern borrowed wooden tidy bitter"
).split()
GERMAN = (
    "und die der das nicht sich mit dem auch ein eine ist es auf für von den im zu als an nach wie "
    "wir aber aus durch wenn nur war noch werden bei so sind oder um haben einer mir über ihm diese"
).split()
OPENINGS = ("The", "Every", "No", "Any", "Some", "That")


def sentence(rng: random.Random) -> str:
    """One sentence of eleven words or so."""
    first, second, third = rng.sample(NOUNS, 3)
    adjectives = rng.sample(ADJECTIVES, 3)
    return (
        f"{rng.choice(OPENINGS)} {adjectives[0]} {first} {rng.choice(VERBS)} the {adjectives[1]} "
        f"{second}, and the {adjectives[2]} {third} {rng.choice(VERBS)} it."
    )


def paragraph(rng: random.Random, sentences: int = 5) -> str:
    """A paragraph of about seventy words."""
    return " ".join(sentence(rng) for _ in range(sentences))


def essay(number: int, paragraphs: int = 4) -> str:
    """A dated essay with a title, front matter and paragraphs of its own."""
    rng = random.Random(number)
    title = f"On the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}, part {number}"
    head = f"---\ntitle: {title}\ndate: 2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}\n---\n\n"
    return head + "\n\n".join(paragraph(rng) for _ in range(paragraphs)) + "\n"


def german(seed: int, words: int = 700) -> str:
    """Sentences of ten German words with a topic of their own, in paragraphs of five."""
    rng = random.Random(seed)
    pool = [*GERMAN * 2, *(f"haus{seed}", f"garten{seed}", "straße", "fenster", "morgen")]
    sentences = [" ".join(rng.choices(pool, k=10)) + "." for _ in range(words // 10)]
    return "\n\n".join(" ".join(sentences[at : at + 5]) for at in range(0, len(sentences), 5))


def write_essays(folder: Path, count: int, paragraphs: int = 4) -> None:
    """``count`` essays as Markdown files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"essay-{number:05d}.md").write_text(essay(number, paragraphs), "utf-8")


def authors_yaml(path: Path, **folders: Path) -> Path:
    """A registry with one author per keyword: id=folder."""
    lines = ["authors:"]
    for author, folder in folders.items():
        lines += [
            f"  - id: {author}",
            f"    name: {author.title()} Writer",
            "    sources:",
            "      - type: folder",
            f"        path: {folder}",
        ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
