"""Reach an address of the network, and no other one than the user meant.

Private, loopback and link-local addresses are refused unless their host is allowed by name. The
address that was checked is the one that is connected to; nothing is redirected, no proxy is
asked, and no more is read, and for no longer, than a limit.
"""

import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

import httpx2

from graft.errors import ToolError
from graft.toolformer.tools.tool import LateError

MOST_BYTES = 1 << 20
LONGEST_BYTES = 8 << 20
"""Of a response that is read whole or not at all."""
CONNECT_SECONDS, READ_SECONDS = 5.0, 600.0
"""A `Tool` has a time limit of its own; what nobody waits for any more ends after this."""
_PORTS = {"http": 80, "https": 443}
_MADE_FROM_IPV4 = (
    ipaddress.IPv6Network("::/96"),  # as they were written first (RFC 4291, 2.5.5.1)
    ipaddress.IPv6Network("::ffff:0:0/96"),
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052), the next too (RFC 8215)
    ipaddress.IPv6Network("64:ff9b:1::/48"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a server; `json` goes as the body, of a media type that is JSON."""

    method: str
    url: str
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object | None = None
    kind: str = "application/json"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, at most `MOST_BYTES` of it."""

    status: int
    kind: str
    text: str


def reach(request: Request, allowed: Collection[str] = ()) -> Response:
    """Ask, and read what comes back.

    Args:
        request: whom and what to ask.
        allowed: hosts, or hosts with their ports, that may lie at any address.

    Raises:
        ToolError: the address is refused; a `LateError` if it is away, or too slow.
    """
    url = _parsed(request.url).copy_merge_params(request.query)
    if url.scheme not in _PORTS:
        raise ToolError(f"{url.scheme}: only http and https are reached")
    port = url.port or _PORTS[url.scheme]
    place = _address_of(url.host, port, allowed)
    timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    try:
        with (
            httpx2.Client(
                verify=_trusted(), timeout=timeout, trust_env=False, follow_redirects=False
            ) as client,
            client.stream(
                request.method,
                url.copy_with(host=place),
                headers=_headers(request, url),
                json=request.json,
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            return Response(
                response.status_code,
                response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                _read(response),
            )
    except (httpx2.LocalProtocolError, UnicodeEncodeError) as error:
        raise ToolError(f"not to be sent: {error}") from None
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise LateError(f"{url.host}: {error or type(error).__name__}") from None


def web_client(
    headers: Mapping[str, str], *, connect_seconds: float, read_seconds: float
) -> httpx2.AsyncClient:
    """A client with these headers, for who speaks HTTP itself; it follows no redirect.

    A response ends with an error at `LONGEST_BYTES`, but for a stream of events, of which who
    reads it bounds each.
    """
    return httpx2.AsyncClient(
        headers={**headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(connect_seconds, read=read_seconds),
        event_hooks={"response": [_bound]},
    )


async def _bound(response: httpx2.Response) -> None:
    """Take no more than so much of a response, and nothing that is packed smaller."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.ReadError("the answer is packed, which was not asked for")
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream)


class _BoundedStream(httpx2.AsyncByteStream):
    """The bytes of another stream, up to `LONGEST_BYTES`."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = LONGEST_BYTES
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise httpx2.ReadError(f"the answer is longer than {LONGEST_BYTES >> 20} MiB")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def authority_of(url: str) -> str:
    """`host:port` of a URL.

    Raises:
        ToolError: it is none.
    """
    parsed = _parsed(url)
    return f"{parsed.host}:{parsed.port or _PORTS.get(parsed.scheme, 0)}"


def _headers(request: Request, url: httpx2.URL) -> dict[str, str]:
    headers = {name: one for name, one in request.headers.items() if name.lower() != "host"}
    headers["Host"] = url.netloc.decode("ascii")
    if request.json is not None and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = request.kind
    return headers


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed; to read them takes longer than many a call."""
    return httpx2.create_ssl_context(trust_env=False)


def _parsed(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ToolError(f"{url[:80]!r} is no address: {error}") from None


def _address_of(host: str, port: int, allowed: Collection[str]) -> str:
    """The first address of a host that may be reached."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LateError(f"{host}: no such host ({error})") from None
    addresses = [str(one[4][0]) for one in found]
    if host in allowed or f"{host}:{port}" in allowed:
        return addresses[0]
    for address in addresses:
        if _is_public(address):
            return address
    raise ToolError(
        f"{host}:{port} lies at {addresses[0]}, which is not public; allow it by name"
    )


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.is_global and not parsed.is_multicast
    inner = _ipv4_within(parsed)
    if parsed.is_site_local or (inner is not None and not _is_public(str(inner))):
        return False
    return parsed.is_global and not parsed.is_multicast


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address that one of version 6 leads to, where it is made from one of version 4."""
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _MADE_FROM_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _read(response: httpx2.Response) -> str:
    whole, started = bytearray(), time.monotonic()
    for part in response.iter_bytes(1 << 14):
        whole += part
        if len(whole) >= MOST_BYTES:
            break
        if time.monotonic() - started > READ_SECONDS:
            raise LateError(f"not all was sent within {READ_SECONDS:g} s")
    encoding = response.charset_encoding or "utf-8"
    try:
        return bytes(whole[:MOST_BYTES]).decode(encoding, errors="replace")
    except (LookupError, ValueError):  # no such encoding, or one that cannot replace
        return bytes(whole[:MOST_BYTES]).decode(errors="replace")
