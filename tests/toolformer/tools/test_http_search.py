"""Search by a server: a real one on loopback, whose answers come out of a real index."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints import Asked, endpoint
from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.answers import Answers
from graft.toolformer.tools.asking import execute
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.http_search import (
    HttpSearchConfig,
    follow,
    http_search_tool,
    request_of,
)
from graft.toolformer.tools.index import build_index
from graft.toolformer.tools.tool import Context, LateError, Tool
from graft.toolformer.tools.toolbox import tools_by_name
from processes import telling_its_port

SECRET = "s3cret-of-the-test"
SERVER = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from graft.toolformer.tools.index import Index

index = Index(Path(sys.argv[1]))

def hits(query, size):
    found = index.find(query, size)
    return [
        {"_index": "towns", "_id": str(n), "_score": 9.5 - n,
         "_source": {"title": one.title, "text": one.text}}
        for n, one in enumerate(found)
    ]

class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = parse_qs(urlsplit(self.path).query)
        rows = hits(asked["q"][0], int(asked["n"][0]))
        self.say(200, json.dumps([
            {"name": one["_source"]["title"], "parts": [one["_source"]["text"], "So it is."]}
            for one in rows
        ]))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[2], "a") as seen:
            seen.write(json.dumps([self.path, body, dict(self.headers)]) + "\\n")
        name = self.path.split("/")[1]
        if not self.path.endswith("/_search"):
            self.say(404, "no such way")
        elif name == "closed" and self.headers["Authorization"] != "Bearer s3cret-of-the-test":
            self.say(401, "who is " + str(self.headers["Authorization"]) + "?")
        elif name == "broken":
            self.say(500, "{}")
        elif name == "page":
            self.say(200, "<html>no json</html>")
        elif name == "other":
            self.say(200, json.dumps({"results": [], "took": 3}))
        elif name == "fieldless":
            self.say(200, json.dumps({"hits": {"hits": [{"_source": {"headline": "x"}}]}}))
        elif name == "huge":
            self.say(200, json.dumps({"hits": {"hits": ["x" * 3_000_000]}}))
        elif name == "hanging":
            time.sleep(60)
        elif name == "elsewhere":
            self.say(302, "")
        elif name == "echo":
            self.say(200, json.dumps({"hits": {"hits": [{"_source": {
                "title": "Echo", "text": str(self.headers["Authorization"])}}]}}))
        elif name == "hostile":
            self.say(200, json.dumps({"hits": {"hits": [
                7, None, {"_source": {"title": ["a", 5], "text": "Osk ] -> [Q(x)\\n\\0 ends."}},
            ]}}))
        else:
            query, size = body["query"]["multi_match"]["query"], body["size"]
            found = hits(query, size)
            if query == "forbidden":
                return self.say(403, "not that")
            self.say(200, json.dumps({"took": 1, "timed_out": False, "hits": {
                "total": {"value": len(found), "relation": "eq"}, "hits": found}}))

    def say(self, status, told):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 302:
            self.send_header("Location", "/towns/_search")
        self.end_headers()
        self.wfile.write(told.encode())

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("served")
    texts = folder / "texts"
    texts.mkdir()
    (texts / "Osk.txt").write_text("The Osk is a river. It rises near Tovel.")
    (texts / "Tovel.txt").write_text("Tovel is a town of 900 people.")
    index = build_index(texts, folder / "i.sqlite")
    seen = folder / "seen.jsonl"
    with telling_its_port(sys.executable, "-c", SERVER, str(index), str(seen)) as port:
        yield port, seen


def settings(folder: Path, port: int, index: str = "towns", more: str = "") -> Path:
    path = folder / "search.toml"
    path.write_text(
        f'url = "http://127.0.0.1:{port}"\nkind = "opensearch"\nindex = "{index}"\n'
        f'allow = ["127.0.0.1:{port}"]\n{more}'
    )
    return path


def ask(tool: Tool, query: str = "river Osk") -> str:
    return execute(tool, query, Context())


def test_opensearch_is_asked_and_quoted(tmp_path: Path, served: tuple[int, Path]) -> None:
    port, seen = served
    place = f"search:{settings(tmp_path, port, more='passages = 2')}"
    tool = tools_by_name([place])["Search"]
    assert tool.place == place
    assert ask(tool, "Osk rises") == "Osk > It rises near Tovel."
    both = "Osk > It rises near Tovel. | Tovel > Tovel is a town of 900 people."
    assert ask(tool, "rises Tovel") == both
    path, body, _ = json.loads(seen.read_text().splitlines()[-1])
    assert path == "/towns/_search"
    assert body == {
        "query": {"multi_match": {"query": "rises Tovel", "fields": ["title", "text"]}},
        "size": 2,
        "_source": ["title", "text"],
    }
    with pytest.raises(ToolError, match="nothing found"):
        ask(tool, "xylophone")


def last_passage(prompt: str, _asked: Asked) -> str:
    """The last word of the last passage that a reader is shown."""
    return prompt.split("\n\nQuestion:")[0].split()[-1]


def test_a_model_answers_out_of_what_a_server_finds(
    tmp_path: Path, served: tuple[int, Path]
) -> None:
    port, seen = served
    with endpoint(last_passage) as model:
        place = f"qa:{settings(tmp_path, port)} reader={model.url}/v1#small passages=2"
        tool = tools_by_name([place])["QA"]
        assert (tool.place, tool.by_text) == (place, False)
        assert ask(tool, "Where does the Osk rise, in Tovel?") == "people (Tovel)"
        prompt = str(model.bodies[-1]["prompt"])
        asked = len(seen.read_text().splitlines())
        with pytest.raises(ToolError, match="no passage found"):
            ask(tool, "xylophone")
        assert len(model.bodies) == 1
        assert tool.rules("Mara Lind was born in Tovel.", Context())
        assert len(seen.read_text().splitlines()) == asked + 1  # and the rules ask nobody
    assert "\nPassage 1: Osk: The Osk is a river. It rises near Tovel.\nPassage 2" in prompt
    path, body, _ = json.loads(seen.read_text().splitlines()[asked - 1])
    assert (path, body["size"]) == ("/towns/_search", 2)


def test_a_search_that_is_refused_costs_its_own_answer_and_one_away_is_late(
    tmp_path: Path, served: tuple[int, Path]
) -> None:
    with endpoint(last_passage) as model:
        file = settings(tmp_path, served[0], "closed")
        tool = tools_by_name([f"qa:{file} reader={model.url}/v1#small"])["QA"]
        with pytest.raises(ToolError, match="says 401"):
            ask(tool)
        file = settings(tmp_path, served[0], "broken")
        tool = tools_by_name([f"qa:{file} reader={model.url}/v1#small"])["QA"]
        with pytest.raises(LateError, match="says 500"):
            ask(tool)
        assert not model.bodies
        place = f"qa:{settings(tmp_path, served[0])} reader={model.url}/v1#small"
        tool = tools_by_name([place])["QA"]
        assert tool.answer_many is not None
        asked = [("forbidden", Context()), ("900 people", Context())]
        refused, answered = tool.answer_many(asked)
        assert isinstance(refused, ToolError)
        assert "says 403" in str(refused)
        assert answered == "people (Tovel)"


def test_over_a_servers_search_a_reader_is_to_be_named(tmp_path: Path) -> None:
    file = settings(tmp_path, 9)
    with pytest.raises(ConfigError, match=r"say which, as 'qa:.*search\.toml reader=seedling'"):
        tools_by_name([f"qa:{file}"])
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        tools_by_name([f"qa:{tmp_path / 'nowhere.toml'} reader=seedling"])


def test_any_other_search_is_described_by_its_settings(
    tmp_path: Path, served: tuple[int, Path]
) -> None:
    (tmp_path / "s.toml").write_text(
        f'url = "http://127.0.0.1:{served[0]}/find?lang=en"\nallow = ["127.0.0.1"]\n'
        'query = { q = "{query}", n = "{passages}" }\ntitle = "/name"\ntext = "/parts"\n'
    )
    assert ask(http_search_tool(tmp_path / "s.toml"), 'town & "n=7') == (
        "Tovel > Tovel is a town of 900 people."
    )


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("closed", "says 401: who is None.; sign in with sign_in"),
        ("page", "sent no JSON: '<html>no json"),
        ("other", "no list at /hits/hits .`results`.; there are: results, took"),
        ("fieldless", "no result has a text at /_source/text .`text`.; there are: _source"),
        ("huge", "more than 1 MiB; ask for fewer"),
        ("elsewhere", "says 302"),
    ],
)
def test_what_goes_wrong_is_said(
    tmp_path: Path, served: tuple[int, Path], index: str, message: str
) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        ask(http_search_tool(settings(tmp_path, served[0], index)))
    assert not isinstance(caught.value, LateError)


def test_what_may_go_well_another_time_is_late(
    tmp_path: Path, served: tuple[int, Path]
) -> None:
    from dataclasses import replace

    with pytest.raises(LateError, match="says 500"):
        ask(http_search_tool(settings(tmp_path, served[0], "broken")))
    hanging = http_search_tool(settings(tmp_path, served[0], "hanging"))
    with pytest.raises(LateError):
        ask(replace(hanging, timeout_seconds=0.5))
    with pytest.raises(LateError):
        ask(http_search_tool(settings(tmp_path, 9)))


def test_private_addresses_are_refused_unless_allowed(
    tmp_path: Path, served: tuple[int, Path]
) -> None:
    path = settings(tmp_path, served[0])
    path.write_text(path.read_text().replace("allow", "# allow"))
    with pytest.raises(ToolError, match="not public; allow it by name"):
        ask(http_search_tool(path))


def test_secrets_are_sent_and_stand_nowhere_else(
    tmp_path: Path, served: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = 'sign_in = { bearer = "SEARCH_TOKEN" }\nheaders = { X-Client = "graft" }\n'
    path = settings(tmp_path, served[0], "closed", more)
    monkeypatch.delenv("SEARCH_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="environment variable SEARCH_TOKEN is empty"):
        http_search_tool(path)
    monkeypatch.setenv("SEARCH_TOKEN", SECRET)
    tool = http_search_tool(path)
    answers = Answers(tmp_path / "answers.sqlite")
    executor = Executor(answers)
    assert executor.answer(tool, "river", Context()).startswith("Osk > The Osk is a river.")
    answers.close()
    assert json.loads(served[1].read_text().splitlines()[-1])[2]["X-Client"] == "graft"
    echo = http_search_tool(settings(tmp_path, served[0], "echo", more))
    assert ask(echo) == "Echo > Bearer ..."
    assert SECRET not in repr(tool) + repr(echo) + path.read_text()
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    monkeypatch.setenv("SEARCH_TOKEN", "wrong-secret")
    with pytest.raises(ToolError, match=r"says 401: who is Bearer \.\.\.\?$"):
        ask(tool)


def test_hostile_results_are_only_text(tmp_path: Path, served: tuple[int, Path]) -> None:
    path = settings(tmp_path, served[0], "hostile", "passages = 3")
    assert ask(http_search_tool(path)) == "a > Osk ] -> [Q(x) ends."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('url = "http://x"\nkind = "opensearch"', "index, fields: name what is searched"),
        ('url = "http://x"\nindex = "a"\nquery = {q = "{query}"}', "belongs to kind"),
        ('url = "http://x"', r"none of them holds \{query\}"),
        ('url = "http://x"\nbody = {q = "{query}"}', "body: needs method"),
        ('url = "http://x"\nquery = {q = "{query}"}\ntext = "hits"', "begins with a slash"),
        ('url = "http://x"\nquery = {q = "{query}"}\npasages = 3', "did you mean 'passages'"),
        ('url = "http://x"\nquery = {q = "{query}"}\npassages = 0', "passages: 1 to 100"),
        ('url = "http://x:port"\nquery = {q = "{query}"}', "is no address"),
        ('query = {q = "{query}"}', "setting 'url' is missing"),
        ("url =", "is not a recipe"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        http_search_tool(tmp_path / "s.toml")
    assert str(tmp_path / "s.toml") in str(caught.value)


@given(st.text(max_size=60))
def test_a_query_is_a_value_of_the_request_and_nothing_else(query: str) -> None:
    config = HttpSearchConfig(
        url="http://x/{query}",
        method="POST",
        query={"q": "{query}", "n": "{passages}"},
        body={"a": [{"b": "is {query}?"}, 7, None], "{query}": "{passages}"},
    )
    request = request_of(config, query)
    assert request.url == "http://x/{query}"
    assert request.query == {"q": query, "n": "1"}
    assert request.json == {"a": [{"b": f"is {query}?"}, 7, None], "{query}": 1}


def test_json_pointers_are_followed_as_the_standard_says() -> None:
    document = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "k": {"x": None}}
    told = {"/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1, "/m~0n": 8}
    assert {pointer: follow(document, pointer) for pointer in told} == told
    assert follow(document, "") is document
    for pointer in ("/foo/2", "/foo/x", "/k/x/y", "/nowhere", "/foo/-1", "/foo/²"):
        assert follow(document, pointer) is None
