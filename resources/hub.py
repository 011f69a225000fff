"""A hub that speaks the Hugging Face protocol: the files of a model or a data set go up as one
commit, a small model comes down.

The address is ``HF_ENDPOINT`` and the token ``HF_TOKEN``, as everywhere with this client; neither
is read or logged here. Base models come down by ``base_model``, by pinned revision. Authors and
their assets are not known here.
"""

from collections.abc import Mapping
from pathlib import Path

from resources.errors import LlmTwinError

MODEL, DATASET = "model", "dataset"  # kinds of repositories
FILES = ["*.safetensors", "*.json", "*.txt"]  # of a model; nothing that runs code


class PushRefusedError(LlmTwinError):
    """The hub cannot be reached, or takes no files from us."""


class NoRepositoryError(LlmTwinError):
    """No repository is named to push to."""


def repository_of(author: str, template: str, setting: str) -> str:
    """The repository that ``template``, given by hand or by ``setting``, names: ``{author}`` in it
    stands for the author. Raises ``NoRepositoryError``."""
    if not template:
        raise NoRepositoryError(
            author, "there is no repository to push to", f"Set {setting}, or give --to"
        )
    return template.replace("{author}", author)


def push(
    files: Mapping[str, Path],
    repository: str,
    message: str,
    kind: str = MODEL,
    private: bool = True,
) -> str:
    """Upload ``files`` (path in the repository -> file) as one commit; returns its revision. Where
    the repository has all of them as they are, that is the newest there, and nothing is committed.

    A repository that does not exist is made, ``private`` or not; what else is in one stays. Raises
    ``PushRefusedError``.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=file)
        for name, file in sorted(files.items())
    ]
    try:
        api.create_repo(repository, private=private, exist_ok=True, repo_type=kind)
        commit = api.create_commit(repository, operations, commit_message=message, repo_type=kind)
    except HFValidationError as error:
        raise PushRefusedError(
            repository, "it is not a name of a repository", "Write it as owner/name"
        ) from error
    except HfHubHTTPError as error:
        raise PushRefusedError(
            repository,
            f"the hub answered with status {error.response.status_code}",
            "Set HF_TOKEN to a token that may write there",
        ) from error
    except Exception as error:  # the client's HTTP library has changed, and so have its errors
        raise PushRefusedError(
            repository,
            f"the upload failed ({type(error).__name__})",
            "Check the connection and run it again; nothing is visible before the last step",
        ) from error
    return str(commit.oid)


def directory(name: str, setting: str, missing: type[LlmTwinError]) -> Path:
    """The directory of the model that ``setting`` names: one of this machine, or the files of a
    hub id, fetched once. Raises ``missing``."""
    if Path(name).is_dir():
        return Path(name)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise missing(name, "no such directory", f"Set {setting} to a model directory or a hub id")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise missing(
            name, "it cannot be fetched", "See that the hub is reachable, or name a directory"
        ) from error
