"""The services of AWS over real HTTP on loopback, as moto speaks them."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "twins-of-the-tests"


@contextmanager
def aws_server() -> Iterator[str]:
    """The server's address; the environment leads every AWS client there, with a bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        environment.setenv("AWS_ENDPOINT_URL", address)
        environment.setenv("AWS_ACCESS_KEY_ID", "nobody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-nobody")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        try:
            client("s3").create_bucket(Bucket=BUCKET)
            yield address
        finally:
            server.stop()


def client(service: str) -> Any:
    import boto3

    return boto3.session.Session().client(service)


def accepted(service: str, operation: str, request: dict[str, Any]) -> None:
    """Raises unless the service's own model in botocore takes the request."""
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    errors = ParamValidator().validate(json.loads(json.dumps(request)), shape)
    assert not errors.has_errors(), errors.generate_report()
