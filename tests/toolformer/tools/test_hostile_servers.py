"""MCP servers that do one thing at a time, and flood or hang at it: real processes."""

import sys
import time
from pathlib import Path

import pytest

from graft.errors import ToolError
from graft.toolformer.tools import reaching, servers
from graft.toolformer.tools.described import ToolConfig, configured
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.servers import server_tools
from graft.toolformer.tools.tool import Context, LateError, Tool
from processes import told_its_port

ANSWERS = """
import gzip, json, os, sys, time

def answer(asked):
    if "id" not in asked:
        return None
    method, given = asked["method"], asked.get("params", {})
    if method == "initialize":
        found = {"protocolVersion": given["protocolVersion"], "capabilities": {"tools": {}},
                 "serverInfo": {"name": "hostile", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        found = {"tools": [{"name": "say", "description": "Says.", "inputSchema": schema}]}
    elif method == "tools/call":
        text = given["arguments"]["text"]
        if text == "hang":
            time.sleep(60)
        if text == "die":
            os._exit(1)
        if text in ("flood", "packed"):
            return text
        told = str(os.getpid()) if text == "who" else text
        found = {"content": [{"type": "text", "text": told}]}
    else:
        return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}
    return {"jsonrpc": "2.0", "id": asked["id"], "result": found}
"""
PIPED = (
    ANSWERS
    + """
for line in sys.stdin:
    found = answer(json.loads(line))
    while found == "flood":
        sys.stdout.write("x" * 65536)
    if found:
        print(json.dumps(found), flush=True)
"""
)
SERVED = (
    ANSWERS
    + """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sent = 0

class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        global sent
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = answer(asked)
        if found == "flood":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
                    sent += 65536
            except OSError:
                return
        body = json.dumps(found).encode() if found else b""
        if found and "how much" in str(asked):
            body = body.replace(b"how much", str(sent).encode())
        self.send_response(200 if found else 202)
        if found == "packed":
            body = gzip.compress(b" " * 100_000_000)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(405)
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service)
server.serve_forever()
"""
)


def said(tool: Tool, text: str) -> str:
    try:
        return Executor().answer(tool, text, Context())
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


def in_time(tool: Tool, seconds: float) -> Tool:
    return configured(tool, ToolConfig(timeout_seconds=seconds))


@pytest.mark.parametrize("text", ["hang", "flood"])
def test_who_hangs_or_floods_at_one_call_is_begun_anew_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(servers, "SIGN_SECONDS", 1.0)
    (tmp_path / "server.py").write_text(PIPED)
    [say] = server_tools(f"{sys.executable} {tmp_path / 'server.py'}")
    first = said(say, "who")
    assert first.isdecimal()
    assert said(in_time(say, 1.0), text).startswith("LateError: no answer within 1 s")
    time.sleep(0.1)  # till its own thread has given up too
    again = said(in_time(say, 30.0), "who")
    assert again.isdecimal()
    assert again != first


def test_who_dies_at_one_call_is_asked_the_others_again(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(PIPED)
    [say] = server_tools(f"{sys.executable} {tmp_path / 'server.py'}")
    texts = [f"{number}" for number in range(30)]
    texts[7] = "die"
    answers = Executor().answer_all(in_time(say, 60.0), [(one, Context()) for one in texts])
    refused = answers.pop(texts.index("die"))
    assert isinstance(refused, LateError)
    assert str(refused).startswith("the server is away")
    texts.remove("die")
    assert answers == texts


def test_who_hangs_at_one_call_is_asked_anew_what_stood_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "SIGN_SECONDS", 0.3)
    (tmp_path / "server.py").write_text(PIPED)
    [say] = server_tools(f"{sys.executable} {tmp_path / 'server.py'}")
    executor, patient = Executor(), in_time(say, 60.0)
    hangs = executor.submit(in_time(say, 0.5), "hang", Context())
    time.sleep(0.1)
    behind = executor.submit(patient, "behind", Context())
    with pytest.raises(LateError):
        hangs.result()
    time.sleep(0.1)
    assert said(patient, "so") == "so"
    assert behind.result() == "behind"


def test_who_was_late_and_is_there_is_asked_on(tmp_path: Path) -> None:
    slow = PIPED.replace("time.sleep(60)", "time.sleep(1)")
    (tmp_path / "server.py").write_text(slow)
    [say] = server_tools(f"{sys.executable} {tmp_path / 'server.py'}")
    first = said(say, "who")
    assert said(in_time(say, 0.2), "hang").startswith("LateError: no answer")
    time.sleep(0.1)
    assert said(in_time(say, 30.0), "who") == first


def test_of_an_endless_or_packed_response_no_more_is_taken_than_a_limit(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVED)
    with told_its_port(sys.executable, str(tmp_path / "server.py")) as port:
        [say] = server_tools(f"http://127.0.0.1:{port}/mcp")
        assert said(say, "so") == "so"
        assert said(in_time(say, 20.0), "flood").startswith("LateError: the server is away")
        assert said(in_time(say, 20.0), "packed").startswith("LateError: the server is away")
        sent = int(said(say, "how much"))
        assert reaching.LONGEST_BYTES < sent < 8 * reaching.LONGEST_BYTES  # some on its way
