"""Async functions as tools: on one event loop, which none of them takes with it."""

import asyncio
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from graft.toolformer.tools import awaiting
from graft.toolformer.tools.asking import execute
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.function import function_tool
from graft.toolformer.tools.tool import Context, LateError

ANYTIME = Context()


async def echo(text: str) -> str:
    await asyncio.sleep(0)
    return text


class Kept(BaseHTTPRequestHandler):
    """Says from where it is asked, over a connection that is kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_calls_share_a_client_and_its_connection() -> None:
    client = httpx2.AsyncClient(trust_env=False)
    service = ThreadingHTTPServer(("127.0.0.1", 0), Kept)
    threading.Thread(target=service.serve_forever, daemon=True).start()

    async def ask(_text: str) -> str:
        return (await client.get(f"http://127.0.0.1:{service.server_port}")).text

    executor, tool = Executor(), function_tool(ask)
    assert len({executor.answer(tool, text, ANYTIME) for text in ("a", "b", "c")}) == 1
    awaiting.wait_for(client.aclose())
    service.shutdown()
    service.server_close()


def test_calls_at_the_same_time_share_a_lock() -> None:
    gate, inside = asyncio.Semaphore(1), list[str]()

    async def alone(text: str) -> int:
        async with gate:
            inside.append(text)
            await asyncio.sleep(0.01)
            return len(inside) * (inside.pop() == text)

    questions = [(text, ANYTIME) for text in "abcd"]
    assert Executor().answer_all(function_tool(alone), questions) == ["1"] * 4


def test_what_came_too_late_is_cancelled() -> None:
    ended = threading.Event()

    async def slow(_text: str) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "late"

    with pytest.raises(LateError, match="no answer within"):
        execute(function_tool(slow, timeout_seconds=0.05), "x", ANYTIME)
    assert ended.wait(5)
    assert execute(function_tool(echo), "still there", ANYTIME) == "still there"


def test_a_function_that_blocks_the_loop_delays_no_later_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(awaiting, "SIGN_SECONDS", 0.05)
    released = threading.Event()

    async def blocking(_text: str) -> str:
        released.wait(60)
        return "late"

    with pytest.raises(LateError):
        execute(function_tool(blocking, timeout_seconds=0.05), "x", ANYTIME)
    tool = function_tool(echo, timeout_seconds=1.0, retries=3)
    assert execute(tool, "still there", ANYTIME) == "still there"
    released.set()


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_a_function_that_would_end_the_loop_is_a_bug_with_its_name(end: BaseException) -> None:
    async def ending(text: str) -> str:
        if text == "at once":
            raise end
        return await asyncio.create_task(ending("at once"))

    for text in ("at once", "within a task"):
        with pytest.raises(RuntimeError, match=f"the tool raised {type(end).__name__}") as bug:
            execute(function_tool(ending), text, ANYTIME)
        assert bug.value.__notes__ == [f"while ending was asked {text!r}"]
    assert execute(function_tool(echo), "still there", ANYTIME) == "still there"


def test_a_call_that_hangs_does_not_hold_up_the_end_of_the_program() -> None:
    program = """
import asyncio
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.function import function_tool
from graft.toolformer.tools.tool import Context

async def slow(text: str) -> str:
    await asyncio.sleep(600)
    return text

executor = Executor()
executor.submit(function_tool(slow), "x", Context())
try:
    executor.answer(function_tool(slow, timeout_seconds=0.05), "y", Context())
except Exception as error:
    print(error)
"""
    sources = Path(awaiting.__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("no answer within 0.05 s\n", "")
