"""The commands ``llmtwin key``: make keys for the service, list them, take them back."""

from typing import Annotated

import typer

from llmtwin_assets.console import JsonOption, known_authors, prepared, print_json, refusals

commands = typer.Typer(no_args_is_help=True, help="Keys for the service: create, list, revoke.")


@commands.command("create")
def make_key(
    author: Annotated[str, typer.Argument(help="For one author; for all without.")] = "",
    label: Annotated[str, typer.Option(help="Who or what it is for.")] = "",
) -> None:
    """Make a key; it is shown once. Example: llmtwin key create james-madison --label newsletter"""
    with refusals():
        from llmtwin_assets.serving.keys import create_key

        settings = prepared()
        if author:
            known_authors(settings, author)
        secret, made = create_key(settings.keys_file, author or None, label)
        print(secret)
        print(f"Key {made.id}, for {author or 'all authors'}. It is not shown again.")


@commands.command("list")
def show_keys(
    as_json: JsonOption = False,
) -> None:
    """Show which keys there are, without the keys themselves."""
    with refusals():
        from llmtwin_assets.serving.keys import list_keys

        found = list_keys(prepared().keys_file)
        if as_json:
            rows = [
                {"id": k.id, "author": k.author, "label": k.label, "created": k.created}
                for k in found
            ]
            print_json(rows)
            return
        for key in found:
            print(f"{key.id}  {key.author or 'all authors':24} {key.created}  {key.label}")
        if not found:
            print("No keys: the service answers anyone on this machine, and nobody else.")


@commands.command("revoke")
def take_key(key: Annotated[str, typer.Argument(help="The key's id, from 'key list'.")]) -> None:
    """Take a key back; the next request with it is refused."""
    with refusals():
        from llmtwin_assets.serving.keys import revoke_key

        revoke_key(prepared().keys_file, key)
        print(f"Key {key} is revoked.")
