"""Models by their places; an endpoint is a real one, with the seedling behind it."""

import threading
from collections.abc import Iterator

import pytest

from endpoints import Asked, Served, endpoint
from graft.errors import ConfigError, ToolError
from graft.models.generating import CausalGenerator, Generator, load_local
from graft.toolformer.tools.generators import Endpoint, load_generator
from graft.toolformer.tools.tool import LateError

PROMPTS = ["The river Osk", "Today is", "Mara had 47 apples"]


def seedling(prompt: str, asked: Asked) -> str:
    """What the seedling writes; like some endpoints, it knows nothing of stop strings."""
    most = asked["max_tokens"]
    assert isinstance(most, int)
    return load_local("seedling").generate([prompt], max_tokens=most)[0]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with endpoint(seedling) as found:
        yield found


def test_a_place_of_this_machine_is_loaded_from_it() -> None:
    assert isinstance(load_generator("seedling"), CausalGenerator)


def test_an_endpoint_writes_what_its_model_writes(served: Served) -> None:
    generator = load_generator(f"{served.url}/v1#small")
    assert isinstance(generator, Generator)
    expected = load_local("seedling").generate(PROMPTS, max_tokens=6)
    assert generator.generate(PROMPTS, max_tokens=6) == expected
    body = served.bodies[-1]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("small", 6, 0)
    assert set(served.paths) == {"/v1/completions"}


def test_stop_strings_are_sent_and_cut_at(served: Served) -> None:
    generator = Endpoint(f"{served.url}/v1/#small")
    [whole] = generator.generate(PROMPTS[:1], max_tokens=6)
    stops = ["never", whole[4:6], "three", "four", whole[2:4]]
    assert generator.generate(PROMPTS[:1], max_tokens=6, stop=stops) == [whole[:2]]
    assert served.bodies[-1]["stop"] == stops[:4]


def test_an_endpoint_without_completions_is_chatted_with() -> None:
    with endpoint(seedling, ("/v1/chat/completions",)) as chatty:
        generator = Endpoint(f"{chatty.url}/v1#small")
        expected = load_local("seedling").generate(PROMPTS[:1], max_tokens=6)
        assert generator.generate(PROMPTS[:1], max_tokens=6) == expected
        assert not generator.completes
        assert generator.generate(PROMPTS[:1], max_tokens=6) == expected
        ways = ["/v1/completions", *["/v1/chat/completions"] * 2]
        assert chatty.paths == ways
        assert Endpoint(f"{chatty.url}/v1/chat/completions#small").generate(
            PROMPTS[:1], max_tokens=6
        )
        assert chatty.paths == [*ways, "/v1/chat/completions"]


def test_the_key_goes_to_whom_it_is_for_and_to_nobody_else(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    generator = Endpoint(f"{served.url}/v1#small")
    generator.generate(["a"], max_tokens=1)
    assert "Authorization" not in served.headers[-1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
    generator.generate(["a"], max_tokens=1)
    assert served.headers[-1]["Authorization"] == "Bearer a-secret"
    with pytest.raises(ToolError, match="says 401") as told:
        Endpoint(f"{served.url}/v1#forbidden").generate(["a"], max_tokens=1)
    assert "a-secret" not in str(told.value)
    monkeypatch.setenv("OPENAI_BASE_URL", served.url.replace("http:", "https:"))
    generator.generate(["a"], max_tokens=1)
    assert "Authorization" not in served.headers[-1]


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("busy", LateError, "says 429"),
        ("broken", ToolError, "no text in what it says"),
        ("flood", ToolError, "no text in what it says"),
        ("elsewhere", ToolError, "says 302"),
    ],
)
def test_what_is_no_answer_is_an_error_of_the_tool(
    served: Served, model: str, kind: type[ToolError], said: str
) -> None:
    before = len(served.paths)
    with pytest.raises(ToolError, match=said) as told:
        Endpoint(f"{served.url}/v1#{model}").generate(["a"], max_tokens=1)
    assert type(told.value) is kind
    assert len(served.paths) == before + 1


def test_an_endpoint_that_is_away_is_late() -> None:
    with pytest.raises(LateError):
        Endpoint("http://127.0.0.1:9/v1#small").generate(["a"], max_tokens=1)


def test_many_prompts_are_asked_side_by_side() -> None:
    everyone = threading.Barrier(8)

    def together(prompt: str, _asked: Asked) -> str:
        everyone.wait(30)
        return prompt

    with endpoint(together) as crowded:
        prompts = [str(count) for count in range(16)]
        assert Endpoint(f"{crowded.url}/v1#small").generate(prompts, max_tokens=1) == prompts


def test_the_version_is_of_the_address() -> None:
    one, other = Endpoint("http://127.0.0.1:9/v1#one"), Endpoint("http://127.0.0.1:9/v1#two")
    assert one.version == Endpoint("http://127.0.0.1:9/v1#one").version != other.version
    with pytest.raises(
        ConfigError, match=r"name its model, as in http://127\.0\.0\.1:9/v1#MODEL"
    ):
        load_generator("http://127.0.0.1:9/v1")
