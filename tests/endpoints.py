"""A real endpoint on loopback that speaks as OpenAI's does, with a model of ours behind it."""

import contextlib
import json
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Asked = Mapping[str, object]


@dataclass
class Served:
    """What was asked of an endpoint so far, and at which address it is."""

    url: str = ""
    bodies: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


TROUBLE: dict[str, tuple[int, object]] = {
    "busy": (429, {"error": "too many"}),
    "broken": (200, {"choices": []}),
    "flood": (200, {"choices": [{"text": "x" * 3_000_000}]}),
    "elsewhere": (302, {}),
}
"""What models of these names say, and with which status."""


class _Service(BaseHTTPRequestHandler):
    served: Served
    write: Callable[[str, Asked], str]
    ways: tuple[str, ...]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.served.paths.append(self.path)
        self.served.bodies.append(body)
        self.served.headers.append(dict(self.headers))
        if self.path not in self.ways:
            self.say(404, {"error": "no such way"})
        elif body["model"] == "forbidden":
            self.say(401, {"error": f"wrong key {self.headers['Authorization']}"})
        elif body["model"] in TROUBLE:
            self.say(*TROUBLE[body["model"]])
        else:
            self.say(200, {"choices": [self.chosen(body)]})

    def chosen(self, body: dict[str, object]) -> object:
        messages = body.get("messages")
        if isinstance(messages, list):
            return {"message": {"content": type(self).write(messages[0]["content"], body)}}
        return {"text": type(self).write(str(body["prompt"]), body)}

    def say(self, status: int, told: object) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 302:
            self.send_header("Location", self.served.url + self.ways[0])
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def endpoint(
    write: Callable[[str, Asked], str], ways: tuple[str, ...] = ("/v1/completions",)
) -> Generator[Served]:
    """An endpoint whose texts are what `write` gives for a prompt and the whole request."""
    served = Served()
    told = {"served": served, "write": staticmethod(write), "ways": ways}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Service", (_Service,), told))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
