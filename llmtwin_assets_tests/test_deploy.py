"""What deploy/ holds, read as its programs would: by Dagster's schemas, by botocore's models."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine

from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.aws_server import accepted

DEPLOY = PROJECT / "deploy"
ENGINES = ("docker", "ecs", "ray")
ENVIRONMENT = (
    "DAGSTER_POSTGRES_HOST",
    "DAGSTER_POSTGRES_USER",
    "DAGSTER_POSTGRES_PASSWORD",
    "DAGSTER_POSTGRES_DB",
    "LLMTWIN_LOG_GROUP",
    "LLMTWIN_BUCKET",
    "RAY_DASHBOARD_ADDRESS",
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, f"the-{name.lower()}")


def processed(data: Any) -> dict[str, Any]:
    """The configuration of a class of Dagster's instance, by that class's own schema."""
    class_ = getattr(importlib.import_module(data.module_name), data.class_name)
    config = yaml.safe_load(data.config_yaml)
    result = process_config(resolve_to_config_type(class_.config_type()), config)
    assert result.success, [error.message for error in result.errors or []]
    return dict(result.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_dagster_takes_its_configuration(engine: str, environment: None) -> None:
    folder = str(DEPLOY / engine)
    settings, _ = dagster_instance_config(folder)
    assert settings["concurrency"]["pools"]["default_limit"] >= 1
    assert settings["run_monitoring"]["enabled"]
    assert settings["run_retries"]["enabled"]
    found = InstanceRef.from_dir(folder)
    storage = processed(found.storage_data)
    assert storage["postgres_db"]["password"] == "the-dagster_postgres_password"
    url = pg_url_from_config(storage)
    assert create_engine(url).dialect.driver == "psycopg2"  # the one that is installed
    assert processed(found.run_launcher_data)
    assert processed(found.compute_logs_data) is not None


def test_a_mistake_in_a_configuration_would_be_seen(environment: None) -> None:
    found = InstanceRef.from_dir(str(DEPLOY / "docker")).run_launcher_data
    assert found is not None
    wrong = found._replace(config_yaml=found.config_yaml.replace("networks", "netwerks"))
    with pytest.raises(AssertionError, match="netwerks"):
        processed(wrong)


def test_compose_gives_runs_what_their_configuration_names() -> None:
    compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
    launcher = yaml.safe_load((DEPLOY / "docker/dagster.yaml").read_text())["run_launcher"]
    daemon = compose["services"]["daemon"]
    assert set(launcher["config"]["env_vars"]) <= set(daemon["environment"])
    assert launcher["config"]["networks"] == [compose["networks"]["llm-twin"]["name"]]
    volumes = {name["name"] for name in compose["volumes"].values() if "name" in name}
    mounted = {each.split(":")[0] for each in launcher["config"]["container_kwargs"]["volumes"]}
    assert mounted == volumes
    graph = compose["services"]["graph"]
    assert graph["environment"]["DAGSTER_CURRENT_IMAGE"] == graph["image"]


def test_only_the_daemon_may_start_containers_and_nothing_listens_in_public() -> None:
    services = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]
    engine = {
        name for name, service in services.items() if "docker.sock" in str(service.get("volumes"))
    }
    assert engine == {"daemon"}
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_containers_get_the_gpus_that_the_comment_promises() -> None:
    from docker.models.containers import _create_container_args

    text = (DEPLOY / "docker/dagster.yaml").read_text()
    (line,) = re.findall(r"# (device_requests: .+)", text)
    launcher = yaml.safe_load(text)["run_launcher"]["config"]
    asked = launcher["container_kwargs"] | yaml.safe_load(line)
    created = _create_container_args({"image": "x", "version": "1.44", "command": [], **asked})
    host = created["host_config"]
    assert host["DeviceRequests"][0]["Count"] == -1
    assert host["Binds"] == ["llm-twin-data:/data", "llm-twin-dagster:/opt/dagster"]


def test_images_are_pinned_and_run_as_nobody_in_particular() -> None:
    lines = (DEPLOY / "docker/Dockerfile").read_text().splitlines()
    stages = {line.split(" AS ")[1]: line.split()[1] for line in lines if line.startswith("FROM")}
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", stages["base"])
    assert stages.keys() == {"base", "cpu", "gpu"}
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER twin", "USER twin"]  # the last line of both
    installs = [line for line in lines if "pip install" in line]
    assert all("-c constraints.txt" in line for line in installs)
    services = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", services["postgres"]["image"])


def test_the_image_is_built_from_what_is_there() -> None:
    text = (DEPLOY / "docker/Dockerfile").read_text()
    names = {name for line in re.findall(r"COPY (.+)", text) for name in line.split()[:-1]}
    assert all((PROJECT / name).exists() for name in names)
    project = (PROJECT / "pyproject.toml").read_text()
    for extra in {e for found in re.findall(r"\.\[(.+?)\]", text) for e in found.split(",")}:
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_ecs_takes_the_task_definition() -> None:
    task = json.loads((DEPLOY / "ecs/gpu-task.json").read_text())
    accepted("ecs", "RegisterTaskDefinition", task)
    (container,) = task["containerDefinitions"]
    assert container["name"] == "twin"  # as resources/compute_ecs.py calls it
    assert container["user"] not in ("0", "root")


def test_the_page_names_every_folder() -> None:
    page = (DEPLOY / "README.md").read_text("utf-8")
    for path in sorted(Path(DEPLOY).iterdir()):
        assert path.name == "README.md" or f"`{path.name}/`" in page
