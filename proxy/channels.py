"""Where alerts go: Apprise URLs (Slack, Teams, e-mail, PagerDuty, webhooks and a hundred more) and an Alertmanager.

A URL is a secret: a channel's name is its service and six digits of a digest, the same on every replica. What Apprise
writes to its log may quote addresses, so it goes nowhere; what went wrong is told in words of our own.
"""

import asyncio
import contextlib
import hashlib
import logging
import re
import threading
import warnings
from collections.abc import Callable
from datetime import datetime

from apprise import Apprise, NotifyBase, NotifyFormat, NotifyType

from billing.alerts import Alert, Level
from billing.notify import Routes, Undelivered
from proxy.alertmanager import Alertmanager
from proxy.settings import Settings, SettingsError

_TYPES = {Level.INFO: NotifyType.INFO, Level.WARNING: NotifyType.WARNING, Level.CRITICAL: NotifyType.FAILURE}

_STATUS = re.compile(r"\berror=(\d{3})\b")
_UNREACHABLE = re.compile(r"connection error|socket exception", re.IGNORECASE)


class _Ear(logging.Handler):
    """Hears what Apprise says, by thread, and lets none of it through."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said in a thread that listens."""
        said: list[str] | None = getattr(self.heard, "said", None)
        if said is not None:
            said.append(record.getMessage())


_EAR = _Ear()


def _hush() -> None:
    """Let Apprise's log end here."""
    theirs = logging.getLogger("apprise")
    theirs.propagate = False
    if _EAR not in theirs.handlers:
        theirs.addHandler(_EAR)


class AppriseChannel:
    """One Apprise URL. Raises ValueError, which does not quote it, where Apprise knows no such service."""

    def __init__(self, url: str) -> None:
        _hush()
        scheme = url.partition("://")[0].lower()
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of what it imports, now first
            made = Apprise.instantiate(url, suppress_exceptions=True)
        if made is None:
            raise ValueError(f"Apprise cannot send to an address {scheme}://… like this one")
        assert isinstance(made, NotifyBase)
        self._service = made
        self.name = f"{scheme}:{hashlib.sha256(url.encode()).hexdigest()[:6]}"

    async def send(self, alert: Alert) -> None:
        """Deliver, or raise Undelivered. Apprise waits in a thread of its own, which ends by its own timeouts."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str | None] = loop.create_future()

        def answered(problem: str | None) -> None:
            if not answer.done():
                answer.set_result(problem)

        def work() -> None:
            problem = self._send(alert)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(answered, problem)

        # Not the loop's own threads: hung services would keep names from being resolved for the apps' calls.
        threading.Thread(target=work, name="farebox-alert", daemon=True).start()
        if problem := await answer:
            raise Undelivered(problem)

    def _send(self, alert: Alert) -> str | None:
        """Send, waiting; None, or what went wrong."""
        said: list[str] = []
        _EAR.heard.said = said
        try:
            sent = self._service.notify(
                body=alert.text, title=alert.title, notify_type=_TYPES[alert.level], body_format=NotifyFormat.TEXT
            )
        except Exception as error:  # its text may quote the address
            return f"could not be sent: {type(error).__name__}"
        return None if sent else _problem(" ".join(said))


def _problem(said: str) -> str:
    """What Apprise said went wrong, in words that cannot hold an address."""
    if status := _STATUS.search(said):
        return f"answered {status[1]}"
    return "cannot be reached" if _UNREACHABLE.search(said) else "not accepted"


def routes(settings: Settings, now: Callable[[], datetime]) -> Routes:
    """Where alerts go by the settings. Raises SettingsError for an address that Apprise does not know."""
    everyone = _channels("FAREBOX_ALERTS", settings.alerts)
    teams = {team: _channels("FAREBOX_ALERT_TEAMS", urls) for team, urls in settings.alert_teams.items()}
    if settings.alertmanager:
        return Routes([*everyone, Alertmanager(settings.alertmanager, now)], teams)
    return Routes(everyone, teams)


def _channels(variable: str, urls: tuple[str, ...]) -> list[AppriseChannel]:
    try:
        return [AppriseChannel(url) for url in urls]
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None
