"""The options that say which calls a budget or a limit is about, and what to call a wrong one on the command line."""

from typing import Annotated, Any, NoReturn

import typer

from billing.definitions import Unfit, tags_from
from proxy.cli.session import fail

TeamOption = Annotated[list[str] | None, typer.Option("--team", help="only this team's calls; may be repeated")]
KeyOption = Annotated[list[str] | None, typer.Option("--key", help="only calls with this key; may be repeated")]
ProjectOption = Annotated[list[str] | None, typer.Option("--project", help="only this project's; may be repeated")]
UserOption = Annotated[list[str] | None, typer.Option("--user", help="only this end user's; may be repeated")]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", help="only this model, its snapshots and its fine-tunes; may be repeated"),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="only calls so tagged; may be repeated")
]

_OPTIONS = {
    "name": "NAME",
    "limit_usd": "--limit",
    "requests_per_minute": "--rpm",
    "tokens_per_minute": "--tpm",
    "concurrent_requests": "--concurrent",
}


def said_scope(*, tags: list[str] | None, **said: list[str] | None) -> dict[str, Any]:
    """A scope as `definitions.scope_from` reads it. Raises Unfit."""
    return {dimension: values for dimension, values in said.items() if values} | tags_from(tags or ())


def wrong(error: Unfit) -> NoReturn:
    """End the command, naming the option that was wrong."""
    field = error.field.removeprefix("scope.").partition(":")[0]
    fail(f"{_OPTIONS.get(field, f'--{field}')}: {error.problem}", 2)
