"""An image for a real engine, made of what is on this machine: this Python, the project's scripts
and the libraries that both load. Nothing is downloaded."""

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

import dagster_pipes

from llmtwin_assets.settings import PROJECT

IMAGE = "llm-twin-of-the-tests:latest"  # Podman gives an imported image this tag, whatever is asked
INSIDE = "/opt/llm-twin"
LEFT_OUT = {"test", "site-packages", "dist-packages", "__pycache__", "idlelib", "tkinter"}
BASE = Path(sys.base_prefix)
PROGRAM = BASE / "bin" / f"python3.{sys.version_info.minor}"


def engine() -> Any:
    """The engine that DOCKER_HOST names, if one answers there."""
    if not os.environ.get("DOCKER_HOST"):
        return None
    import docker
    from docker.errors import DockerException

    try:
        return docker.from_env()
    except DockerException:
        return None


def make(client: Any) -> str:
    """Give the engine the image; returns its name."""
    name, tag = IMAGE.split(":")
    settings = [
        f"ENV PATH=/usr/local/bin:{BASE}/bin:/usr/bin:/bin",
        f"ENV PYTHONPATH={INSIDE}",
        f"ENV PYTHONHOME={BASE}",
    ]
    client.api.import_image_from_data(_root(), repository=name, tag=tag, changes=settings)
    return IMAGE


def _root() -> bytes:
    """The image's files."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    sleep = Path(shutil.which("sleep") or "/bin/sleep")
    programs = [PROGRAM.resolve(), sleep.resolve()]
    libraries = _libraries([*programs, *stdlib.glob("lib-dynload/*.so")])
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", dereference=True) as tar:

        def add(path: Path, inside: Path | str) -> None:
            tar.add(path, str(inside), filter=_wanted)

        for path in {*programs, *libraries}:
            add(path, path)
        add(stdlib, stdlib)
        add(Path(dagster_pipes.__file__).parent, f"{INSIDE}/dagster_pipes")
        for package in ("resources", "llmtwin_assets", "llmtwin_assets_tests"):
            add(PROJECT / package, f"{INSIDE}/{package}")
        _link(tar, "usr/local/bin/python", PROGRAM.resolve())
        _link(tar, "usr/local/bin/sleep", sleep.resolve())
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return data.getvalue()


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name in LEFT_OUT else member


def _link(tar: tarfile.TarFile, name: str, target: Path) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, str(target)
    tar.addfile(link)


def _libraries(programs: list[Path]) -> set[Path]:
    """What the loader loads for these programs, itself included."""
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", said.stdout)}
