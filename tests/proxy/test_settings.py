import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import TABLE, Address, Settings, SettingsError, is_loopback, load, resolve, shown

NOWHERE = "/nonexistent/farebox.toml"


def from_file(tmp_path: Path, content: str | bytes, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "my.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load({**(environ or {}), "FAREBOX_CONFIG": str(file)})


def refused(**environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load({f"FAREBOX_{name.upper()}": value for name, value in environ.items()}, default_file=NOWHERE)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ── where a value comes from ────────────────────────────────────────────────────


def test_the_defaults() -> None:
    settings = load({}, default_file=NOWHERE)
    assert settings.upstream == "https://api.openai.com"
    assert str(settings.listen) == "127.0.0.1:8080"
    assert str(settings.console) == "127.0.0.1:8081"
    assert settings.database == "sqlite:///farebox.db"
    assert (settings.journal, settings.journal_sync) == (Path("farebox-journal"), "process")
    assert settings.journal_bytes == 4 * 2**30
    assert (settings.on_disconnect, settings.unknown_routes) == ("drain", "pass")
    assert (settings.require_keys, settings.metadata_tags, settings.prices) == (False, (), None)
    assert (settings.openai_api_key, settings.admin_token, settings.replica) == (None, None, None)
    assert str(settings.timezone) == "UTC"
    assert {*settings.sources.values()} == {"default"}


@pytest.mark.parametrize(
    ("flag", "variable", "file", "value", "source"),
    [
        ("from-flag", "from-environment", "from-file", "from-flag", "flag"),
        (None, "from-environment", "from-file", "from-environment", "environment"),
        (None, None, "from-file", "from-file", "my.toml"),
        (None, "", "from-file", "from-file", "my.toml"),  # an empty variable is not given
        (None, None, None, None, "default"),
        ("from-flag", None, None, "from-flag", "flag"),
    ],
)
def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path, flag: str | None, variable: str | None, file: str | None, value: str | None, source: str
) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f'replica = "{file}"' if file else "")
    environ = {"FAREBOX_CONFIG": str(path)} | ({} if variable is None else {"FAREBOX_REPLICA": variable})
    settings = load(environ, {"FAREBOX_REPLICA": flag})
    assert (settings.replica, settings.sources["FAREBOX_REPLICA"]) == (value, source)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("1000", 1000), ("1B", 1), ("2KiB", 2048), ("512MiB", 512 * 2**20), ("4 GiB", 2**32), ("1Ti", 2**40)],
)
def test_a_size_may_be_written_as_people_do(text: str, size_bytes: int) -> None:
    assert load({"FAREBOX_JOURNAL_BYTES": text}, default_file=NOWHERE).journal_bytes == size_bytes


def test_every_setting_of_the_table_has_its_place() -> None:
    names = {setting.name for setting in TABLE}
    assert names == {field.name for field in dataclasses.fields(Settings)} - {"texts", "sources"}
    assert all(setting.meaning for setting in TABLE)
    assert {setting.variable for setting in TABLE if setting.secret} == {
        "OPENAI_API_KEY", "FAREBOX_ADMIN_TOKEN", "FAREBOX_ALERTS", "FAREBOX_ALERT_TEAMS",
    }  # fmt: skip


def test_the_file_s_types(tmp_path: Path) -> None:
    settings = from_file(
        tmp_path,
        """
        listen = "0.0.0.0:80"
        require_keys = true
        drain_seconds = 12
        shutdown_seconds = 0.5
        metadata_tags = ["team", "job"]
        label_values = 10
        prices = "own.toml"
        timezone = "Europe/Paris"
        openai_api_key = "sk-file"
        """,
    )
    assert settings.listen == Address("0.0.0.0", 80)
    assert settings.require_keys is True
    assert (settings.drain_seconds, settings.shutdown_seconds) == (12.0, 0.5)
    assert settings.metadata_tags == ("team", "job")
    assert (settings.label_values, settings.prices, str(settings.timezone)) == (10, Path("own.toml"), "Europe/Paris")
    assert settings.openai_api_key == "sk-file"
    assert settings.sources["FAREBOX_LISTEN"] == "my.toml"


def test_the_default_file_is_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "farebox.toml").write_text('replica = "a"')
    settings = load({}, default_file=str(tmp_path / "farebox.toml"))
    assert (settings.replica, settings.sources["FAREBOX_REPLICA"]) == ("a", "farebox.toml")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingsError, match=r"^FAREBOX_CONFIG: there is no file .*"):
            load({"FAREBOX_CONFIG": str(path)})


# ── values ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "address", "local"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("127.8.9.10:1", Address("127.8.9.10", 1), True),
        ("localhost:0", Address("localhost", 0), True),
        ("[::1]:80", Address("::1", 80), True),
        ("[::]:80", Address("::", 80), False),
        ("0.0.0.0:80", Address("0.0.0.0", 80), False),
        ("farebox.internal:443", Address("farebox.internal", 443), False),
    ],
)
def test_an_address(text: str, address: Address, local: bool) -> None:
    settings = load({"FAREBOX_LISTEN": text}, default_file=NOWHERE)
    assert settings.listen == address
    assert str(address) == text
    assert address.loopback is local


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("127.evil.example", False),  # a name that anybody can have, pointing anywhere
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_an_address_and_not_how_a_name_begins(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://api.openai.com", "https://api.openai.com"),
        ("https://api.openai.com/", "https://api.openai.com"),
        ("https://api.openai.com/v1", "https://api.openai.com"),
        ("https://api.openai.com/v1/", "https://api.openai.com"),
        ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_an_upstream(text: str, origin: str) -> None:
    assert load({"FAREBOX_UPSTREAM": text}, default_file=NOWHERE).upstream == origin


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "false", "FALSE", "0", "no"])
def test_a_switch(text: str) -> None:
    settings = load({"FAREBOX_REQUIRE_KEYS": text}, default_file=NOWHERE)
    assert settings.require_keys is (text.lower() in {"true", "1", "yes"})


def test_a_list_of_names() -> None:
    assert load({"FAREBOX_METADATA_TAGS": " team, job ,,"}, default_file=NOWHERE).metadata_tags == ("team", "job")


def test_routes_that_are_allowed() -> None:
    settings = load({"FAREBOX_ALLOW_ROUTES": "/v1/realtime/calls, /v1/organization/usage"}, default_file=NOWHERE)
    assert settings.allow_routes == ("/v1/realtime/calls", "/v1/organization/usage")
    assert load({}, default_file=NOWHERE).allow_routes == ()


# ── what is wrong stops the start, with one clear line ──────────────────────────


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("allow_routes", "/v1/files,realtime", "'realtime' must be a path such as /v1/realtime/calls"),
        ("journal_sync", "always", "must be one of process, power"),
        ("journal_bytes", "4 gigs", "must be a number of bytes such as 512MiB or 4GiB"),
        ("journal_bytes", "-1", "must be a number of bytes"),
        ("journal_bytes", "4GB", "must be a number of bytes"),
        ("listen", "8080", "must be HOST:PORT"),
        ("listen", "127.0.0.1", "must be HOST:PORT"),
        ("listen", ":8080", "must be HOST:PORT"),
        ("listen", "127.0.0.1:port", "must be HOST:PORT"),
        ("listen", "127.0.0.1:99999", "must be HOST:PORT"),
        ("listen", "http://127.0.0.1:80", "must be HOST:PORT"),
        ("listen", "127.0.0.1:80/x", "must be HOST:PORT"),
        ("listen", "127.0.0.1:80?x", "must be HOST:PORT"),
        ("listen", "me@127.0.0.1:80", "must be HOST:PORT"),
        ("listen", "[::1:80", "must be HOST:PORT"),
        ("console", "::1:80", "must be HOST:PORT"),
        ("upstream", "api.openai.com", "must be an origin such as https://api.openai.com"),
        ("upstream", "ftp://api.openai.com", "must be an origin"),
        ("upstream", "https://", "must be an origin"),
        ("upstream", "https://host:port", "must be an origin"),
        ("upstream", "https://host:99999", "must be an origin"),
        ("upstream", "https://[::1", "must be an origin"),
        ("upstream", "https://host\r\nX: y", "must be an origin"),
        ("upstream", "https://host name", "must be an origin"),
        ("upstream", "https://host/openai", "without path"),
        ("upstream", "https://host?x=1", "without path"),
        ("upstream", "https://host#x", "without path"),
        ("upstream", "https://me:secret@host", "without path"),
        ("database", "farebox.db", "must be sqlite:///PATH"),
        ("database", "sqlite:///", "must be sqlite:///PATH"),
        ("database", "mysql://host/db", "must be sqlite:///PATH"),
        ("on_disconnect", "Drain", "must be one of drain, cancel"),
        ("unknown_routes", "deny", "must be one of pass, refuse"),
        ("require_keys", "maybe", "must be true or false"),
        ("timezone", "Mars/Olympus", "must be a time zone"),
        ("timezone", "Europe", "must be a time zone"),
        ("timezone", "../../etc/passwd", "must be a time zone"),
        ("drain_seconds", "soon", "must be a number of seconds"),
        ("drain_seconds", "-1", "must be a number of seconds"),
        ("drain_seconds", "nan", "must be a number of seconds"),
        ("shutdown_seconds", "inf", "must be a number of seconds"),
        ("label_values", "many", "must be a whole number"),
        ("label_values", "-1", "must be a whole number"),
        ("label_values", "1.5", "must be a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_its_source(name: str, value: str, says: str) -> None:
    message = refused(**{name: value})
    assert message.startswith(f"FAREBOX_{name.upper()}={value!r} (environment): ")
    assert says in message


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("upstreem", "FAREBOX_UPSTREEM is not a setting; did you mean FAREBOX_UPSTREAM?"),
        ("requirekeys", "FAREBOX_REQUIREKEYS is not a setting; did you mean FAREBOX_REQUIRE_KEYS?"),
        ("zzzzzzzz", "FAREBOX_ZZZZZZZZ is not a setting"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, says: str) -> None:
    assert refused(**{variable: "x"}) == says


def test_variables_of_others_are_none_of_ours() -> None:
    assert load({"HOME": "/", "UPSTREAM": "x", "openai_api_key": "y"}, default_file=NOWHERE).openai_api_key is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('upstreem = "x"', "my.toml: upstreem is not a setting; did you mean upstream?"),
        ('FAREBOX_UPSTREAM = "x"', "my.toml: FAREBOX_UPSTREAM is not a setting"),
        ('[server]\nlisten = "127.0.0.1:1"', "my.toml: server is not a setting"),
        ('[listen]\nhost = "127.0.0.1"', "my.toml: listen is one value, not a table"),
        ('replica = { name = "a" }', "my.toml: replica is one value, not a table"),
        ("listen = 8080", "FAREBOX_LISTEN='8080' (my.toml): must be HOST:PORT"),
        ("require_keys = 2", "FAREBOX_REQUIRE_KEYS='2' (my.toml): must be true or false"),
        ("label_values = 1.5", "FAREBOX_LABEL_VALUES='1.5' (my.toml): must be a whole number"),
        ('timezone = ""', "FAREBOX_TIMEZONE='' (my.toml): must be a time zone"),
        ("listen = ", "my.toml: "),
        ('a = 1\na = 2', "my.toml: "),
        (b"\xff\xfe", "my.toml: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_file(tmp_path, content)
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)


@given(st.sampled_from(TABLE), st.text(min_size=1, max_size=20))
def test_any_value_is_taken_or_refused_in_one_line(setting: object, value: str) -> None:
    variable: str = setting.variable  # type: ignore[attr-defined]
    try:
        resolve({}, "farebox.toml", {variable: value}, {})
    except SettingsError as error:
        said = str(error).splitlines()
    else:
        said = [variable]
    assert len(said) == 1
    assert said[0].startswith(variable)


# ── secrets ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("console", ["0.0.0.0:8081", "[::]:8081", "10.0.0.1:8081", "127.evil.example:8081"])
def test_a_console_that_others_can_reach_needs_a_token(console: str) -> None:
    assert refused(console=console) == (
        f"FAREBOX_CONSOLE={console} can be reached from other machines: set FAREBOX_ADMIN_TOKEN"
    )
    settings = load({"FAREBOX_CONSOLE": console, "FAREBOX_ADMIN_TOKEN": "s3cret"}, default_file=NOWHERE)
    assert settings.admin_token == "s3cret"


def test_secrets_are_shown_masked() -> None:
    environ = {"OPENAI_API_KEY": "sk-canary", "FAREBOX_ADMIN_TOKEN": "canary", "FAREBOX_REPLICA": "a"}
    rows = {setting.variable: (value, source) for setting, value, source in shown(load(environ, default_file=NOWHERE))}
    assert list(rows) == [setting.variable for setting in TABLE]
    assert rows["OPENAI_API_KEY"] == ("***", "environment")
    assert rows["FAREBOX_REPLICA"] == ("a", "environment")
    assert rows["FAREBOX_PRICES"] == ("–", "default")
    assert "canary" not in str(rows)


def test_addresses_of_alerts_are_shown_masked_from_wherever_they_come(tmp_path: Path) -> None:
    content = 'alerts = ["slack://canary"]\n[alert_teams]\nsearch = ["mailto://canary@host", "json://canary"]\nads = "json://c"'
    settings = from_file(tmp_path, content)
    assert settings.alerts == ("slack://canary",)
    assert settings.alert_teams == {"search": ("mailto://canary@host", "json://canary"), "ads": ("json://c",)}
    rows = {setting.variable: value for setting, value, _ in shown(settings)}
    assert rows["FAREBOX_ALERTS"] == rows["FAREBOX_ALERT_TEAMS"] == "***"
    unset = {setting.variable: value for setting, value, _ in shown(load({}, default_file=NOWHERE))}
    assert (unset["FAREBOX_ALERTS"], unset["FAREBOX_ALERT_TEAMS"]) == ("", "{}")  # nothing is hidden


@pytest.mark.parametrize("variable", ["FAREBOX_ALERTS", "FAREBOX_ALERT_TEAMS"])
def test_a_wrong_address_of_alerts_is_not_quoted(variable: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({variable: "canary"}, default_file=NOWHERE)
    assert str(raised.value).startswith(f"{variable}=*** (environment): must be ")
    assert "canary" not in str(raised.value)


def test_a_wrong_setting_does_not_show_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        from_file(tmp_path, "admin_token = { value = 'canary' }")
    assert "canary" not in str(raised.value)
