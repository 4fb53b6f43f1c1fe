"""What real servers and services offer is kept beside their answers, for when they are gone."""

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from graft.errors import ConfigError, StoreError
from graft.toolformer.functions import open_tools
from graft.toolformer.tools.answers import VERSION, Answers, Mode
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
from small_servers import SERVER

ANYTIME = Context()
SPANISH = "mi hermano vive en la ciudad"
OPERATION = {
    "operationId": "double",
    "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}],
    "security": [{"token": []}],
}
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {"/double": {"get": OPERATION}},
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
}
TOLD = {
    "/openapi.json": DOCUMENT,
    "/double?n=4": 8,
    "/languages": [{"code": "es"}, {"code": "en"}],
    "/translate": {"translatedText": ["my brother"]},
}


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(TOLD[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    _end(served)


def _end(served: ThreadingHTTPServer) -> None:
    served.shutdown()
    served.server_close()


def opened(path: Path, mode: Mode, *places: str) -> tuple[Executor, list[Tool]]:
    executor = Executor(Answers(path, mode))
    return executor, list(open_tools(places, executor=executor).values())


def test_a_recorded_run_is_replayed_without_its_servers_and_secrets(
    tmp_path: Path, service: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "let-us-in")
    (tmp_path / "server.py").write_text(SERVER)
    url = f"http://127.0.0.1:{service.server_port}"
    places = (
        f"mcp:TOKEN=OUR_TOKEN {sys.executable} {tmp_path / 'server.py'}",
        f"openapi:{url}/openapi.json token=OUR_TOKEN",
        f"mt:{url}",
    )
    arguments = ("TOKEN", "n=4", SPANISH)

    def said(mode: Mode) -> list[str]:
        executor, tools = opened(tmp_path / "a.sqlite", mode, *places)
        return [
            executor.answer(tool, one, ANYTIME)
            for tool, one in zip(tools, arguments, strict=True)
        ]

    recorded = said("record")
    assert recorded == ["TOKEN is ...", "8", "my brother"]
    (tmp_path / "server.py").unlink()
    _end(service)
    monkeypatch.delenv("OUR_TOKEN")
    assert said("replay") == recorded


def test_a_service_that_is_gone_is_named_with_the_recording_that_knows_it(
    tmp_path: Path, service: ThreadingHTTPServer
) -> None:
    path, place = tmp_path / "a.sqlite", f"mt:http://127.0.0.1:{service.server_port}"
    Answers(path).close()
    with pytest.raises(StoreError, match=r"a\.sqlite: does not have what 'mt:http.* offers"):
        opened(path, "replay", place)
    opened(path, "remember", place)
    _end(service)
    with pytest.raises(ConfigError, match=r"answers\.mode=replay it is not needed: .*sqlite"):
        opened(path, "record", place)
    opened(path, "replay", place)


def test_a_function_is_replayed_without_the_services_of_its_tools(
    tmp_path: Path, service: ThreadingHTTPServer
) -> None:
    (tmp_path / "say.toml").write_text(
        'name = "Say"\ndescription = "Goes on."\nprompt = "The river {text}"\n'
        f'tools = ["mt:http://127.0.0.1:{service.server_port}"]\n'
    )
    place = f"model:{tmp_path / 'say.toml'}"
    _, [recorded] = opened(tmp_path / "a.sqlite", "record", place)
    _end(service)
    _, [replayed] = opened(tmp_path / "a.sqlite", "replay", place)
    assert replayed.version == recorded.version


def test_a_file_of_an_older_graft_is_read_and_extended(
    tmp_path: Path, service: ThreadingHTTPServer
) -> None:
    path, place = tmp_path / "a.sqlite", f"mt:http://127.0.0.1:{service.server_port}"
    executor, [mt] = opened(path, "remember", place)
    executor.answer(mt, SPANISH, ANYTIME)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE offer")
        connection.execute("PRAGMA user_version = 1")
    assert [one.calls for one in Answers(path, to_read=True).spent()] == [1]
    again, [mt] = opened(path, "remember", place)
    assert again.ask(mt, SPANISH, ANYTIME).remembered
    _end(service)
    opened(path, "replay", place)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
