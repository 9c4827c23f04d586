"""Settings: one table of what can be configured. `farebox.toml`, overridden by environment, overridden by flags.

Reading them is pure: `load` takes the file's text and the environment and returns values with their sources.
"""

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from proxy.addresses import Address as Address
from proxy.addresses import apprise_urls, apprise_urls_by_team, host_of, listening, origin, web_address
from proxy.addresses import is_loopback as is_loopback
from proxy.values import (
    count,
    database,
    flag,
    names,
    one_of,
    retention,
    routes,
    seconds,
    size,
    usd,
    without_password,
    zone,
)


class SettingsError(ValueError):
    """A setting that Farebox cannot start with; its text is one clear line."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: its variable, how a text becomes its value, the default and the meaning."""

    variable: str
    parse: Callable[[str], Any]
    default: str | None
    meaning: str
    secret: bool = False
    table: bool = False
    """Whether it is a table in the file, and so JSON elsewhere."""

    @property
    def name(self) -> str:
        """The name in `farebox.toml`: the variable without its prefix, in lower case."""
        return self.variable.removeprefix("FAREBOX_").lower()


TABLE: tuple[Setting, ...] = (
    Setting("FAREBOX_UPSTREAM", origin, "https://api.openai.com", "origin that /v1 is relayed to"),
    Setting("OPENAI_API_KEY", str, None, "upstream key for calls with keys that Farebox issues", secret=True),
    Setting("FAREBOX_LISTEN", listening, "127.0.0.1:8080", "the apps' side"),
    Setting("FAREBOX_CONSOLE", listening, "127.0.0.1:8081", "console: page, API, /metrics, /healthz, /readyz"),
    Setting(
        "FAREBOX_ADMIN_TOKEN", str, None,
        "bearer token of the API and the page; needed when the console is not on loopback", secret=True,
    ),
    Setting(
        "FAREBOX_DATABASE", database, "sqlite:///farebox.db",
        "the ledger, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`",
    ),
    Setting(
        "FAREBOX_RETAIN_DAYS", retention, "0",
        "drop single charges after so many days (in PostgreSQL by whole months); their sums are kept. 0: never",
    ),
    Setting("FAREBOX_JOURNAL", Path, "./farebox-journal", "folder of the local journals"),
    Setting(
        "FAREBOX_JOURNAL_SYNC", one_of("process", "power"), "process",
        "what a recorded call survives: the death of the process, or also the loss of power (a disk's sync per commit)",
    ),
    Setting(
        "FAREBOX_JOURNAL_BYTES", size, "4GiB",
        "how large the journal may grow while the database is away: beyond it new calls get 503",
    ),
    Setting(
        "FAREBOX_REUSE_PORT", flag, "false",
        "share the apps' port with other processes of this host: each has a number, its console's port is so far on",
    ),
    Setting("FAREBOX_REPLICA", str, None, "this replica's name; default: host name and port"),
    Setting(
        "FAREBOX_ON_DISCONNECT", one_of("drain", "cancel"), "drain",
        "a client that leaves mid-answer: drain the upstream for its own usage, or cancel it and estimate",
    ),
    Setting("FAREBOX_DRAIN_SECONDS", seconds, "600", "how long an answer whose client left is read on at most"),
    Setting("FAREBOX_SHUTDOWN_SECONDS", seconds, "30", "how long open calls may go on after SIGTERM"),
    Setting("FAREBOX_PRICES", Path, None, "TOML of your own prices: overrides, discounts, own models; dated"),
    Setting("FAREBOX_TIMEZONE", zone, "UTC", "zone of budget windows and reports"),
    Setting("FAREBOX_REQUIRE_KEYS", flag, "false", "refuse keys that Farebox did not issue"),
    Setting(
        "FAREBOX_UNKNOWN_ROUTES", one_of("pass", "refuse"), "pass",
        "a /v1 route that no table knows: pass it (cost unknown, counted) or refuse it",
    ),
    Setting(
        "FAREBOX_ALLOW_ROUTES", routes, "",
        "routes refused for keys that Farebox issues and yet allowed, with all below them; comma-separated paths",
    ),
    Setting(
        "FAREBOX_ISOLATE", flag, "false",
        "keep teams apart: 404 for objects (files, batches, responses, …) that another team made, lists without them",
    ),
    Setting("FAREBOX_HOLD_WAIT", seconds, "2", "seconds a call waits when only other calls' holds stand in its way"),
    Setting(
        "FAREBOX_UNCAPPED", one_of("expected", "strict"), "expected",
        "what is held for a call that sets no output cap: what such calls cost (expected) or the model's most (strict)",
    ),
    Setting(
        "FAREBOX_EXPECTED_USD", usd, "0.05", "what such a call is expected to cost until enough of them are known"
    ),
    Setting(
        "FAREBOX_OVERRUN", one_of("finish", "cut"), "finish",
        "a stream that outgrows its hold on a spent hard budget: let it finish, or cut it off with an error",
    ),
    Setting("FAREBOX_HOLD_SECONDS", seconds, "86400", "after so long a hold expires, whatever became of its call"),
    Setting(
        "FAREBOX_SET_CAP", flag, "false",
        "give a call that sets no output cap the one its hard budgets afford, told in x-farebox-output-cap",
    ),
    Setting(
        "FAREBOX_DATABASE_AWAY", one_of("refuse", "continue"), "refuse",
        "calls while the budgets in force cannot be read: refuse them (503), or continue",
    ),
    Setting("FAREBOX_ALERTS", apprise_urls, "", "where alerts go: Apprise URLs, comma-separated", secret=True),
    Setting(
        "FAREBOX_ALERT_TEAMS",
        apprise_urls_by_team,
        "{}",
        "where alerts about a team go too: in the file a table of teams and their Apprise URLs, elsewhere JSON",
        secret=True,
        table=True,
    ),
    Setting("FAREBOX_ALERTMANAGER", web_address, None, "address of an Alertmanager that alerts go to"),
    Setting("FAREBOX_METADATA_TAGS", names, "", "names of the body's `metadata` that become tags, comma-separated"),
    Setting("FAREBOX_LABEL_VALUES", count, "200", "distinct values of a metric label that a client can invent"),
)  # fmt: skip

CONFIG_VARIABLE = "FAREBOX_CONFIG"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force. `sources` tells for each variable where its value came from."""

    upstream: str
    openai_api_key: str | None
    listen: Address
    console: Address
    admin_token: str | None
    database: str
    retain_days: int
    journal: Path
    journal_sync: str
    journal_bytes: int
    reuse_port: bool
    replica: str | None
    on_disconnect: str
    drain_seconds: float
    shutdown_seconds: float
    prices: Path | None
    timezone: ZoneInfo
    require_keys: bool
    unknown_routes: str
    allow_routes: tuple[str, ...]
    isolate: bool
    hold_wait: float
    uncapped: str
    expected_usd: int
    overrun: str
    hold_seconds: float
    set_cap: bool
    database_away: str
    alerts: tuple[str, ...]
    alert_teams: Mapping[str, tuple[str, ...]]
    alertmanager: str | None
    metadata_tags: tuple[str, ...]
    label_values: int
    texts: Mapping[str, str | None]
    sources: Mapping[str, str]

    @property
    def upstream_host(self) -> str:
        """The upstream's host: what regional prices are chosen by."""
        return host_of(self.upstream)


def load(
    environ: Mapping[str, str], flags: Mapping[str, str | None] | None = None, default_file: str = "farebox.toml"
) -> Settings:
    """Read the file named by FAREBOX_CONFIG (or `farebox.toml` if it is there), the environment and the flags.

    `flags` are by variable; None is 'not given'. Raises SettingsError, whose text is one clear line.
    """
    named = environ.get(CONFIG_VARIABLE)
    file = Path(named or default_file)
    if named and not file.is_file():
        raise SettingsError(f"{CONFIG_VARIABLE}: there is no file {named}")
    content = file.read_bytes() if file.is_file() else b""
    return resolve(_parse_file(content, file.name), file.name, environ, flags or {})


def resolve(
    from_file: Mapping[str, str], file: str, environ: Mapping[str, str], flags: Mapping[str, str | None]
) -> Settings:
    """Merge the three sources, the last with the most authority, and parse every value."""
    known = {setting.variable for setting in TABLE} | {CONFIG_VARIABLE}
    for variable in environ:
        if variable.startswith("FAREBOX_") and variable not in known:
            raise SettingsError(f"{variable} is not a setting{_meant(variable, known)}")
    values: dict[str, Any] = {}
    texts: dict[str, str | None] = {}
    sources: dict[str, str] = {}
    for setting in TABLE:
        candidates = (
            ("flag", flags.get(setting.variable)),
            ("environment", environ.get(setting.variable) or None),
            (file, from_file.get(setting.name)),
            ("default", setting.default),
        )
        source, text = next(((s, t) for s, t in candidates if t is not None), ("default", None))
        try:
            values[setting.name] = None if text is None else setting.parse(text)
        except ValueError as error:
            shown = "***" if setting.secret else repr(text)
            raise SettingsError(f"{setting.variable}={shown} ({source}): {error}") from None
        texts[setting.variable] = text
        sources[setting.variable] = source
    settings = Settings(**values, texts=texts, sources=sources)
    if not settings.console.loopback and not settings.admin_token:
        raise SettingsError(
            f"FAREBOX_CONSOLE={settings.console} can be reached from other machines: set FAREBOX_ADMIN_TOKEN"
        )
    return settings


def _parse_file(content: bytes, file: str) -> dict[str, str]:
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    known = {setting.name: setting for setting in TABLE}
    texts: dict[str, str] = {}
    for name, value in table.items():
        if name not in known:
            raise SettingsError(f"{file}: {name} is not a setting{_meant(name, {*known})}")
        if isinstance(value, dict) and not known[name].table:
            raise SettingsError(f"{file}: {name} is one value, not a table")
        texts[name] = _text(value)
    return texts


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return str(value)


def _meant(name: str, known: set[str]) -> str:
    similar = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {similar[0]}?" if similar else ""


def shown(settings: Settings) -> list[tuple[Setting, str, str]]:
    """Every setting with its value as text (secrets masked) and its source."""
    return [
        (
            s,
            "–"
            if (text := settings.texts[s.variable]) is None
            else "***"
            if s.secret and text != s.default
            else without_password(text),
            settings.sources[s.variable],
        )
        for s in TABLE
    ]
