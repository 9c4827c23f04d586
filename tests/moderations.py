"""A moderations endpoint for tests: flags what it is told to, and answers first what it is told to answer first."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CATEGORIES = ("hate", "violence", "sexual")


@dataclass
class Moderations:
    """What was asked, and what is to be answered before all else: status, headers and error of one answer each."""

    url: str = ""
    asked: list[Any] = field(default_factory=list)
    first: list[tuple[int, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    unreadable: str = "unreadable"

    @property
    def texts(self) -> list[str]:
        """Every text of every request, in the order of their coming."""
        return [text for given in self.asked for text in given if isinstance(text, str)]


def _result(given: Any) -> dict[str, Any]:
    text = json.dumps(given)
    flags = {category: category in text for category in CATEGORIES}
    scores = {category: 0.9 if flags[category] else 0.001 for category in CATEGORIES}
    return {"flagged": any(flags.values()), "categories": flags, "category_scores": scores}


@contextmanager
def moderations() -> Iterator[Moderations]:
    """The endpoint, on loopback, inside the block. A text with a category's name in it is flagged for it."""
    known, lock = Moderations(), threading.Lock()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            with lock:
                first = known.first.pop(0) if known.first else None
                if first is None:
                    known.asked.append(given)
            if first:
                self._send(first[0], first[1], {"error": first[2]})
            elif known.unreadable in json.dumps(given):
                self._send(400, {}, {"error": {"message": "no image", "type": "invalid_request_error"}})
            else:
                results = [_result(one) for one in (given if isinstance(given[0], str) else [given])]
                self._send(200, {}, {"id": "modr-1", "model": "omni-moderation-latest", "results": results})

        def _send(self, status: int, headers: dict[str, str], body: Any) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
