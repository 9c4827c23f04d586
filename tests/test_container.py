"""The image and the stack around it, as far as they can be seen without a daemon."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import program, said
from typer.testing import CliRunner

from proxy.cli.commands import app
from proxy.identity import fingerprint

ROOT = Path(__file__).parent.parent
COMMAND = ROOT / "docker" / "farebox"


def compose(*arguments: str) -> dict[str, Any]:
    """The stack as Compose understands it."""
    answer = said(program("docker-compose"), "--project-directory", ROOT, *arguments, "config", "--format", "json")
    stack: dict[str, Any] = json.loads(answer)
    return stack


STACK = {"farebox", "postgres", "prometheus", "alertmanager", "grafana"}


def test_compose_understands_the_stack() -> None:
    assert {*compose()["services"]} == STACK


def test_the_demonstration_asks_the_simulator_and_has_books_of_its_own() -> None:
    demo = compose("--env-file", str(ROOT / "docker" / "demo.env"))
    assert {*demo["services"]} == STACK | {"simulator", "operator", "apps"}
    assert demo["services"]["farebox"]["environment"]["FAREBOX_UPSTREAM"] == "http://simulator:9090"
    assert demo["name"] == "farebox-demo"
    assert compose()["name"] == "farebox"


def test_the_replicas_share_a_database_and_keep_the_apps_address() -> None:
    stack = compose("--env-file", str(ROOT / "docker" / "replicas.env"))["services"]
    replicas = {name: service for name, service in stack.items() if name.startswith("farebox")}
    assert {*stack} == STACK | {*replicas, "balancer"}
    assert len({service["environment"]["FAREBOX_DATABASE"] for service in replicas.values()}) == 1
    assert {name: service["environment"]["FAREBOX_REPLICA"] for name, service in replicas.items()} == {
        name: name for name in replicas
    }
    (apps,) = stack["balancer"]["ports"]
    (alone,) = (port for port in compose()["services"]["farebox"]["ports"] if port["target"] == 8080)
    assert apps["published"] == alone["published"] == "8080"
    balanced = re.findall(r"server (farebox\S*):8080 ", (ROOT / "docker" / "balancer.conf").read_text())
    watched = re.findall(r'"(farebox\S*):8081"', (ROOT / "docker" / "replicas.yml").read_text())
    assert {*balanced} == {"farebox", *watched} == {*replicas}


def test_the_database_is_postgresql_with_a_password_that_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "chosen")
    stack = compose()["services"]
    assert stack["postgres"]["environment"]["POSTGRES_PASSWORD"] == "chosen"
    assert stack["farebox"]["environment"]["FAREBOX_DATABASE"] == "postgresql://farebox:chosen@postgres:5432/farebox"
    assert "ports" not in stack["postgres"]


@pytest.mark.parametrize("where", ["farebox", "operator", "farebox-2"])
def test_commands_and_replicas_ask_the_same_ledger(where: str) -> None:
    stack = compose("--profile", "demo", "--profile", "replicas")["services"]
    assert stack[where]["environment"]["FAREBOX_DATABASE"].endswith("@postgres:5432/farebox")


def test_the_balancer_holds_nothing_back_and_repeats_nothing() -> None:
    """A POST that was sent twice would be paid twice."""
    said_there = (ROOT / "docker" / "balancer.conf").read_text()
    for words in ("proxy_buffering off;", "proxy_request_buffering off;", "proxy_next_upstream error;"):
        assert words in said_there
    assert "non_idempotent" not in said_there
    assert "keepalive" not in said_there


def test_every_service_is_locked_down_watched_and_reachable_from_here_only() -> None:
    for name, service in compose("--profile", "demo", "--profile", "replicas")["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {port["host_ip"] for port in service.get("ports", ())} <= {"127.0.0.1"}, name
        assert name.startswith("farebox") or "healthcheck" in service, name  # the image of farebox brings its own
        assert "build" in service or re.search(r":v?\d+\.\d+(\.\d+|-bookworm)$", service["image"]), "no `latest`"
        assert "build" in service or service["user"] in {"nobody", "472", "999:999", "101:101"}, name


def test_the_operator_of_the_demonstration_says_what_farebox_understands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREBOX_DATABASE", f"sqlite:///{tmp_path}/farebox.db")
    (script,) = compose("--profile", "demo")["services"]["operator"]["command"]
    commands = script.strip().splitlines()
    for command in commands:
        outcome = CliRunner().invoke(app, command.split()[1:])
        assert outcome.exit_code == 0, outcome.output
    named = {fingerprint(key) for key in re.findall(r"sk-demo-\w+", (ROOT / "docker" / "apps.py").read_text())}
    assert named == set(re.findall(r"fp_\w+", script))


def test_what_compose_mounts_is_there() -> None:
    for service in compose("--env-file", str(ROOT / "docker" / "replicas.env"))["services"].values():
        for volume in service["volumes"]:
            assert volume["type"] == "volume" or Path(volume["source"]).exists(), volume


def test_the_image_is_built_as_it_should_be() -> None:
    assert said(program("hadolint", within=Path(sys.executable).parent), ROOT / "Dockerfile") == ""


def test_the_image_has_what_it_copies_and_no_more() -> None:
    copied = re.findall(r"^COPY (?:--chmod=\S+ )?(?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in names)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name.split("/")[0] for name in names} == allowed


def test_the_image_does_not_run_as_root() -> None:
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last


# ── the command in the image ────────────────────────────────────────────────────


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose `python -m proxy` tells what it was given instead of serving."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    python = bin_folder / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -m ] && { echo "$@"; exec env; }\necho made-token\n')
    python.chmod(0o755)
    return {"PATH": f"{bin_folder}:{os.defpath}"}


def run(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[list[str], str]:
    done = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines(), done.stderr


def test_a_token_that_is_not_given_is_made_once(tmp_path: Path, environment: dict[str, str]) -> None:
    lines, told = run(tmp_path, environment, "serve")
    assert lines[0] == "-m proxy serve"
    assert "FAREBOX_ADMIN_TOKEN=made-token" in lines
    assert "made-token" not in told
    assert f"{tmp_path}/admin-token" in told
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "admin-token").write_text("the-first\n")
    lines, told = run(tmp_path, environment | {"FAREBOX_ADMIN_TOKEN": ""}, "report", "--by", "team")
    assert lines[0] == "-m proxy report --by team"
    assert "FAREBOX_ADMIN_TOKEN=the-first" in lines
    assert told == ""


def test_a_token_that_is_given_is_kept(tmp_path: Path, environment: dict[str, str]) -> None:
    lines, _ = run(tmp_path, environment | {"FAREBOX_ADMIN_TOKEN": "mine"}, "serve")
    assert "FAREBOX_ADMIN_TOKEN=mine" in lines
    assert not (tmp_path / "admin-token").exists()


def test_secrets_may_stand_in_files(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "key").write_text("sk-in a file; $(rm)\n")
    files = {"OPENAI_API_KEY_FILE": str(tmp_path / "key"), "FAREBOX_ADMIN_TOKEN_FILE": str(tmp_path / "key")}
    lines, _ = run(tmp_path, environment | files, "serve")
    assert "OPENAI_API_KEY=sk-in a file; $(rm)" in lines
    assert "FAREBOX_ADMIN_TOKEN=sk-in a file; $(rm)" in lines
    assert not [line for line in lines if "_FILE=" in line], "Farebox refuses settings that it does not know"


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path, environment | {"OPENAI_API_KEY_FILE": "/none"}, "serve")
