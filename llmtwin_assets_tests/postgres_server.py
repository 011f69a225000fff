"""A PostgreSQL server of its own on loopback, where its programs are installed."""

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "dagster", "only for the tests"
DEBIAN = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # not on its PATH
INITDB = shutil.which("initdb", path=os.pathsep.join([os.environ["PATH"], *DEBIAN]))
# The files of a test need not outlive the machine.
QUICK = ("fsync=off", "full_page_writes=off", "unix_socket_directories=")


@contextmanager
def postgres_server() -> Iterator[str]:
    """The server's address. It listens on PostgreSQL's own port, as ``deploy/`` names no other, at
    a loopback address that nobody else is likely to use."""
    assert INITDB is not None
    programs = Path(INITDB).parent
    address = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
    owner = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not start as root
    with tempfile.TemporaryDirectory() as folder:
        home, data, password = Path(folder), f"{folder}/data", Path(folder, "password")
        password.write_text(PASSWORD)
        if owner:
            for path in (home, password):
                shutil.chown(path, owner)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", data, *arguments]
            subprocess.run(
                command, check=True, user=owner, cwd=home, stdout=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            )  # fmt: skip

        run("initdb", "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}")
        settings = " ".join(f"-c {each}" for each in (f"listen_addresses={address}", *QUICK))
        run("pg_ctl", "start", "-w", "-l", f"{folder}/log", "-o", settings)
        try:
            yield address
        finally:
            run("pg_ctl", "stop", "-m", "immediate")


def database(address: str, name: str) -> Mapping[str, str]:
    """Make an empty database; returns the environment that leads ``deploy/`` to it."""
    import psycopg2

    connection = psycopg2.connect(host=address, user=USER, password=PASSWORD, dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    return {
        "DAGSTER_POSTGRES_HOST": address,
        "DAGSTER_POSTGRES_USER": USER,
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "DAGSTER_POSTGRES_DB": name,
    }
