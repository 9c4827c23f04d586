import pytest
import typer

from billing.definitions import Unfit
from proxy.cli.scoping import said_scope, wrong


def test_only_what_was_given_is_said() -> None:
    assert said_scope(team=["a", "b"], key=None, user=[], tags=None) == {"team": ["a", "b"]}
    assert said_scope(team=None, tags=["env=prod"]) == {"tag:env": ["prod"]}


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("name", "NAME"),
        ("limit_usd", "--limit"),
        ("scope.tag:env", "--tag"),
        ("scope.team", "--team"),
        ("mode", "--mode"),
    ],
)
def test_a_field_is_called_by_its_option(field: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        wrong(Unfit(field, "not so"))
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"farebox: {option}: not so\n"
