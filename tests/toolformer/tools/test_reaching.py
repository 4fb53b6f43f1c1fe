"""Which addresses are reached, and what a call costs beside its answer."""

import ssl

import pytest

from endpoints import endpoint
from graft.errors import ToolError
from graft.toolformer.tools import reaching
from graft.toolformer.tools.reaching import Request, reach


@pytest.mark.parametrize(
    "address",
    [
        "fec0::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "ff0e::1",
    ],
)
def test_an_address_that_leads_to_a_private_one_is_refused_like_it(address: str) -> None:
    with pytest.raises(ToolError, match="not public; allow it by name"):
        reach(Request("GET", f"http://[{address}]:9/"))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_an_address_that_leads_to_a_public_one_is_public(address: str) -> None:
    assert reaching._is_public(address)  # pyright: ignore[reportPrivateUsage]


def test_the_certificates_are_read_once_for_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made, load = list[str](), ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *given: str, **named: str) -> None:
        made.append(str(given))
        load(context, *given, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    with endpoint(lambda _prompt, _asked: "x") as served:
        host = served.url.removeprefix("http://").partition("/")[0]
        for _ in range(3):
            body = {"model": "a", "prompt": ""}
            reach(Request("POST", f"{served.url}/completions", json=body), [host])
    assert len(made) <= 1
