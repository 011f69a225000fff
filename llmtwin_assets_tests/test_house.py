"""The house: who may import whom, what loading the front door costs, what the graph looks like."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.overview import ASSETS
from llmtwin_assets.settings import PROJECT, from_environment

PACKAGE = PROJECT / "llmtwin_assets"
SNAPSHOT = Path(__file__).parent / "graph.json"
ROOMS = [
    "corpus",
    "features",
    "retrieval",
    "datasets",
    "training",
    "evaluation",
    "serving",
    "automation",
]
# Modules that belong to no room and know none: what rooms share.
SHARED = {
    "authors",
    "records",
    "prompts",
    "settings",
    "steps",
    "plots",
    "pages",
    "masking",
    "probes",
    "agreement",
}
HEAVY = {
    "torch", "transformers", "trl", "peft", "datasets", "sentence_transformers", "sklearn",
    "matplotlib", "polars", "playwright", "qdrant_client", "qdrant_edge", "gguf", "huggingface_hub",
    "boto3", "botocore", "dagster_aws", "docker", "ray",
}  # fmt: skip


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Names a module imports; only those at its top when not ``everywhere``."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("path", modules(PACKAGE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("llmtwin_assets.")}
    if parts[0] in ROOMS:
        allowed = {*ROOMS[: ROOMS.index(parts[0]) + 1], *SHARED}
        assert ours <= allowed, f"{path} imports {ours - allowed}"
    elif parts[0] in SHARED:
        assert ours <= SHARED, f"{path} imports {ours - SHARED}"


def test_resources_know_no_asset() -> None:
    for path in modules(PROJECT / "resources"):
        assert not any(name.startswith("llmtwin_assets") for name in imports(path)), path


def test_resources_are_this_projects_own() -> None:
    import resources

    assert Path(str(resources.__file__)).parent == PROJECT / "resources"


@pytest.mark.parametrize("path", modules(PACKAGE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_assets_checks_and_automation_know_dagster(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    plain = parts[0] in ROOMS[:-1] and parts[-1] not in ("assets", "checks")
    if plain:
        names = {name.split(".")[0] for name in imports(path)}
        assert "dagster" not in names, path


@pytest.mark.parametrize(
    "path",
    [*modules(PACKAGE), *modules(PROJECT / "resources")],
    ids=lambda p: str(p.relative_to(PROJECT)),
)
def test_heavy_imports_stay_inside_functions(path: Path) -> None:
    top = {name.split(".")[0] for name in imports(path, everywhere=False)}
    assert not top & HEAVY, f"{path} imports {top & HEAVY} at its top"


def loaded(statement: str) -> dict:
    """CPU seconds and modules of a fresh process that runs a statement."""
    script = (
        f"import json, sys, time\n{statement}\n"
        "print(json.dumps({'cpu': time.process_time(), 'modules': list(sys.modules)}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT
    ).stdout
    return json.loads(out)


def test_loading_the_definitions_loads_no_model_library() -> None:
    ours = loaded("import llmtwin_assets.definitions")
    assert not HEAVY & set(ours["modules"])


def test_loading_the_definitions_costs_little_beyond_dagster() -> None:
    dagster = min(loaded("import dagster")["cpu"] for _ in range(2))
    ours = min(loaded("import llmtwin_assets.definitions")["cpu"] for _ in range(2))
    assert ours - dagster < 3.0


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    from llmtwin_assets.definitions import build_defs

    return build_defs(from_environment({"LLMTWIN_HOME": "/nowhere"}))


def described(definitions: dg.Definitions) -> dict:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    checks = sorted(
        f"{spec.asset_key.to_user_string()}: {spec.name}"
        for definition in definitions.asset_checks or []
        for spec in definition.check_specs
    )
    return {
        "assets": {
            name: {
                "after": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
                "group": spec.group_name,
                "kinds": sorted(spec.kinds),
                "partitioned": spec.partitions_def is not None,
                "automatic": spec.automation_condition is not None,
            }
            for name, spec in sorted(specs.items())
        },
        "checks": checks,
    }


def test_the_graph_is_as_it_was_agreed(definitions: dg.Definitions) -> None:
    """Change the graph on purpose: delete graph.json, run this test, read the difference."""
    now = described(definitions)
    if not SNAPSHOT.exists() and not os.environ.get("CI"):
        SNAPSHOT.write_text(json.dumps(now, indent=1) + "\n")
    assert now == json.loads(SNAPSHOT.read_text())


def test_every_asset_of_an_author_is_explained_owned_and_linked_to_its_code(
    definitions: dg.Definitions,
) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.group_name in ROOMS, spec.key
        if spec.key.path[-1] in ASSETS:
            assert spec.owners, spec.key
            assert spec.kinds, spec.key
            assert spec.code_version, spec.key
            assert "dagster/code_references" in spec.metadata, spec.key
            assert spec.partitions_def is not None


def test_every_check_is_partitioned_and_blocking(definitions: dg.Definitions) -> None:
    checked = set()
    for definition in definitions.asset_checks or []:
        for spec in definition.check_specs:
            assert spec.blocking, spec.name
            assert spec.partitions_def is not None, spec.name
            assert spec.description, spec.name
            checked.add(spec.asset_key.path[-1])
    assert checked == set(ASSETS)


def test_a_backfill_is_one_run_per_author(definitions: dg.Definitions) -> None:
    for definition in definitions.assets or []:
        if isinstance(definition, dg.AssetsDefinition) and definition.partitions_def:
            assert definition.backfill_policy == dg.BackfillPolicy.multi_run(1)


# Of an author, and made by people: no step of a run.
SAID = {"review_decisions"}


def test_the_overview_lists_every_asset_of_an_author(definitions: dg.Definitions) -> None:
    partitioned = {
        spec.key.path[-1]
        for spec in definitions.resolve_all_asset_specs()
        if spec.partitions_def is not None
    }
    assert partitioned == set(ASSETS) | SAID


def test_the_readme_has_a_sentence_for_every_file() -> None:
    readme = (PROJECT / "README.md").read_text("utf-8")
    for path in [*modules(PACKAGE), *modules(PROJECT / "resources")]:
        assert path.name == "__init__.py" or f"{path.name}`" in readme, path
