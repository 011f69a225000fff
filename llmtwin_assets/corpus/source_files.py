"""What the files of a repository are: prose, source text in a language, notebooks; and which of
them nobody wrote there: vendored, generated, locked, binary. Judges by path and content alone.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from llmtwin_assets.corpus.html_text import code_block

What = Literal["prose", "source", "notebook"]

PROSE = frozenset(".md .markdown .mdown .mkd .rst .adoc .asciidoc .org .qmd .rmd".split())
LANGUAGES = {
    "ada": "ada", "adb": "ada", "ads": "ada", "agda": "agda", "applescript": "applescript",
    "asm": "assembly", "s": "assembly", "awk": "awk", "bash": "bash", "sh": "bash", "zsh": "bash",
    "fish": "fish", "bat": "batch", "cmd": "batch", "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp",
    "cxx": "cpp", "hh": "cpp", "hpp": "cpp", "hxx": "cpp", "clj": "clojure", "cljc": "clojure",
    "cljs": "clojure", "cob": "cobol", "coffee": "coffeescript", "cr": "crystal", "cs": "csharp",
    "css": "css", "cu": "cuda", "cuh": "cuda", "d": "d", "dart": "dart", "el": "elisp",
    "elm": "elm", "erl": "erlang", "hrl": "erlang", "ex": "elixir", "exs": "elixir",
    "f": "fortran", "f90": "fortran", "f95": "fortran", "fs": "fsharp", "fsx": "fsharp",
    "gd": "gdscript", "gleam": "gleam", "glsl": "glsl", "go": "go", "graphql": "graphql",
    "groovy": "groovy", "gradle": "groovy", "hcl": "hcl", "tf": "hcl", "hs": "haskell",
    "html": "html", "htm": "html", "hx": "haxe", "idr": "idris", "java": "java", "jl": "julia",
    "js": "javascript", "cjs": "javascript", "mjs": "javascript", "jsx": "jsx", "kt": "kotlin",
    "kts": "kotlin", "less": "less", "lean": "lean", "lisp": "lisp", "lua": "lua", "m": "matlab",
    "ml": "ocaml", "mli": "ocaml", "mm": "objective-c", "nim": "nim", "nix": "nix",
    "pas": "pascal", "php": "php", "pl": "perl", "pm": "perl", "proto": "protobuf",
    "ps1": "powershell", "purs": "purescript", "py": "python", "pyi": "python", "pyx": "cython",
    "r": "r", "rb": "ruby", "rkt": "racket", "rs": "rust", "sass": "sass", "scala": "scala",
    "scm": "scheme", "scss": "scss", "sol": "solidity", "sql": "sql", "sv": "systemverilog",
    "svelte": "svelte", "swift": "swift", "tcl": "tcl", "tex": "latex", "ts": "typescript",
    "mts": "typescript", "tsx": "tsx", "v": "verilog", "vb": "vb", "vhd": "vhdl", "vim": "vim",
    "vue": "vue", "wgsl": "wgsl", "zig": "zig",
}  # fmt: skip
NAMES = {"makefile": "make", "gnumakefile": "make", "dockerfile": "dockerfile",
         "justfile": "just", "rakefile": "ruby", "gemfile": "ruby", "cmakelists.txt": "cmake",
         "jenkinsfile": "groovy", "vagrantfile": "ruby"}  # fmt: skip
VENDORED = frozenset(
    "node_modules vendor vendored third_party third-party thirdparty external externals extern "
    "bower_components site-packages dist-packages .venv venv env virtualenv __pycache__ .tox "
    ".eggs pods carthage .gradle .cargo deps _vendor .yarn .pnpm-store jspm_packages".split()
)
BUILT = frozenset(
    "dist build out target _build _site public .next .nuxt .output coverage htmlcov bin obj "
    "generated gen __generated__ .ipynb_checkpoints snapshots __snapshots__".split()
)
LOCKS = frozenset(
    "package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb poetry.lock "
    "pdm.lock uv.lock pipfile.lock cargo.lock gemfile.lock composer.lock go.sum go.mod mix.lock "
    "flake.lock pubspec.lock podfile.lock cartfile.resolved packages.lock.json conda-lock.yml "
    "deno.lock gradle.lockfile .terraform.lock.hcl".split()
)
# Texts of others that stand in every repository.
BOILERPLATE = re.compile(
    r"(?:licen[cs]es?|copying|copyright|notice|patents|authors|contributors|maintainers|codeowners|"
    r"code[_-]of[_-]conduct|pull_request_template|issue_template|third[_-]?party.*)(?:[.-].*)?",
    re.IGNORECASE,
)
GENERATED_NAME = re.compile(
    r"(?:\.min\.(?:js|css)|[-.]bundle\.js|\.map|_pb2(?:_grpc)?\.pyi?|\.pb\.(?:go|cc|h)|"
    r"\.g(?:enerated)?\.\w+|\.designer\.cs|\.freezed\.dart|_generated\.\w+|\.d\.ts)$",
    re.IGNORECASE,
)
GENERATED_TEXT = re.compile(
    r"@generated\b|code generated .{0,80}do not edit|do not (?:edit|modify)[^\n]{0,60}"
    r"(?:generated|by hand|manually|directly)|(?:auto-?\s?generated|automatically generated|"
    r"generated (?:automatically|by|from|with))[^\n]{0,80}(?:do not|by|from|;|$)",
    re.IGNORECASE | re.MULTILINE,
)
HEAD = 1500  # characters in which a generator says so
LONGEST_LINE = 2000  # characters; a person does not write longer ones
LFS = b"version https://git-lfs.github.com/spec/"


def kind_of(path: str) -> What | None:
    """What a file is by its path; None for what is not read: data, pictures, configuration, and
    what others or machines wrote."""
    parts = PurePosixPath(path)
    name, suffix = parts.name.lower(), parts.suffix.lower()
    folders = {folder.lower() for folder in parts.parts[:-1]}
    if (
        folders & VENDORED
        or folders & BUILT
        or ".github" in folders
        or name in LOCKS
        or GENERATED_NAME.search(name)
        or BOILERPLATE.fullmatch(parts.stem)
    ):
        return None
    if suffix == ".ipynb":
        return "notebook"
    is_readme = parts.stem.lower() == "readme"
    if suffix in PROSE or (is_readme and suffix in ("", ".txt")):
        return "prose"
    if suffix == ".txt" and folders & {"doc", "docs", "documentation"}:
        return "prose"
    return "source" if language_of(path) else None


def language_of(path: str) -> str | None:
    """The programming language of a file, by its name."""
    parts = PurePosixPath(path)
    return NAMES.get(parts.name.lower()) or LANGUAGES.get(parts.suffix.lower().lstrip("."))


def is_generated(text: str) -> bool:
    """Whether a machine wrote a file: it says so at its top, or no person writes such lines."""
    if GENERATED_TEXT.search(text[:HEAD]):
        return True
    return any(len(line) > LONGEST_LINE for line in text.splitlines())


def is_text(data: bytes) -> bool:
    """Whether a file's content is in it, as text."""
    if b"\x00" in data or data.startswith(LFS):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def notebook(text: str, lines: Sequence[tuple[str, bool]] | None = None) -> str:
    """A Jupyter notebook as Markdown: its Markdown cells, and its code cells as code blocks; no
    outputs. With ``lines`` (of the file, and whether each is wanted) only wanted lines of cells.

    Raises ``ValueError`` for what is no notebook.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("it is not a notebook")
    cells = data.get("cells")
    if cells is None and isinstance(data.get("worksheets"), list):  # before 2014
        cells = [cell for sheet in data["worksheets"] for cell in sheet.get("cells", [])]
    if not isinstance(cells, list):
        raise ValueError("it has no cells")
    language = _kernel(data)
    wanted = _Wanted(lines) if lines is not None else None
    blocks = []
    for cell in cells:
        source = _source(cell)
        if wanted is not None:
            source = "".join(wanted.of(source))
        source = source.strip("\n")
        if not source.strip():
            continue
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            blocks.append(code_block(source, language))
        elif isinstance(cell, dict) and cell.get("cell_type") in ("markdown", "heading"):
            marks = "#" * int(cell.get("level", 1)) + " " if cell["cell_type"] == "heading" else ""
            blocks.append(marks + source)
    return "\n\n".join(blocks)


def _source(cell: Any) -> str:
    source = cell.get("source", cell.get("input", "")) if isinstance(cell, dict) else ""
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _kernel(data: dict[str, Any]) -> str:
    metadata = data.get("metadata")
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    named = info.get("name") if isinstance(info, dict) else None
    return named if isinstance(named, str) and re.fullmatch(r"[\w+#.-]{1,30}", named) else "python"


class _Wanted:
    """Finds the lines of cells in the lines of the file, where each stands as a JSON string."""

    def __init__(self, lines: Sequence[tuple[str, bool]]) -> None:
        self._rows: Iterator[tuple[str, bool]] = iter(lines)

    def of(self, source: str) -> list[str]:
        """The wanted lines of a cell's source; cells have to be asked for in order."""
        return [line for line in source.splitlines(keepends=True) if self._is_wanted(line)]

    def _is_wanted(self, line: str) -> bool:
        for row, wanted in self._rows:
            if _string(row) == line:
                return wanted
        return False


def _string(row: str) -> str | None:
    """The string that a line of JSON holds, if it holds one: ``"a = 1\\n",`` is ``a = 1`` with its
    line end."""
    text = row.strip().removesuffix(",")
    if text.startswith('"source"'):
        text = text.partition("[")[2].removesuffix("]").strip() or text.partition(":")[2].strip()
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, str) else None
