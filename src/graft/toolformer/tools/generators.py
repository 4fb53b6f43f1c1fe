"""The models that a tool can be made of, by where they are: on this machine, or an endpoint.

`seedling`, a folder, a hub id, or `https://host/v1#model`: an endpoint that speaks as OpenAI's
does. What an endpoint sends is data: cut in time and size (`reaching`), never run.
"""

import hashlib
import json
import os
from collections.abc import Sequence

from graft.errors import ConfigError, ToolError
from graft.models.generating import Generator, cut_at, load_local
from graft.toolformer.tools.asking import side_by_side
from graft.toolformer.tools.reaching import Request, Response, authority_of, reach
from graft.toolformer.tools.tool import LateError

KEY, KEY_IS_FOR = "OPENAI_API_KEY", "OPENAI_BASE_URL"
"""The environment's key, and whom alone it is sent to; both as OpenAI's own client has them."""
OPENAI = "https://api.openai.com/v1"
COMPLETIONS, CHAT = "/completions", "/chat/completions"
MOST_STOPS = 4
"""So many stop strings every endpoint takes; the text is cut here at all of them."""
AT_ONCE = 8
_NOT_THIS_WAY = (404, 405)
_LATER = (408, 425, 429)


def load_generator(place: str) -> Generator:
    """The model at `place`: `seedling`, a folder, a hub id, or `https://host/v1#model`.

    Raises:
        ModelError: it cannot be loaded.
        ConfigError: an endpoint's address names no model.
    """
    return Endpoint(place) if is_endpoint(place) else load_local(place)


def is_endpoint(place: str) -> bool:
    """Whether a model's place is an address of the network."""
    return place.startswith(("http://", "https://"))


class Endpoint:
    """A model behind an OpenAI-compatible endpoint.

    `https://host/v1#model` is asked for completions, or for chat where it has no completions;
    `https://host/v1/chat/completions#model` for chat alone. `OPENAI_API_KEY` is sent to the
    host of `OPENAI_BASE_URL` (else OpenAI's own) and to nobody else.

    Raises:
        ConfigError: the address names no model, or is none.
    """

    def __init__(self, address: str) -> None:
        url, _, self.model = address.partition("#")
        if not self.model:
            raise ConfigError(f"the endpoint '{address}': name its model, as in {url}#MODEL")
        url = url.rstrip("/")
        given = next((way for way in (CHAT, COMPLETIONS) if url.endswith(way)), None)
        self.ways = [COMPLETIONS, CHAT] if given is None else [given]
        self.url = url if given is None else url.removesuffix(given)
        try:
            self.authority = authority_of(self.url)
        except ToolError as error:
            raise ConfigError(f"the endpoint '{address}': {error}") from error
        self.version = hashlib.blake2b(address.encode(), digest_size=6).hexdigest()
        """A hash of the address; what changes behind it cannot be seen from here."""

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[str]:
        """What the endpoint writes to each prompt, as `Generator` says.

        Raises:
            ToolError: it refuses; a `LateError` if it is away or overloaded.
        """

        def ask(place: int) -> str:
            return self._written(prompts[place], max_tokens, stop)

        return side_by_side(ask, len(prompts), AT_ONCE)

    @property
    def completes(self) -> bool:
        """Whether it is asked for completions, which go on where the prompt ends."""
        return self.ways[0] == COMPLETIONS

    def _written(self, prompt: str, max_tokens: int, stop: Sequence[str]) -> str:
        way = self.ways[0]
        response = self._asked(way, prompt, max_tokens, stop)
        if response.status in _NOT_THIS_WAY and way == COMPLETIONS and CHAT in self.ways:
            response = self._asked(CHAT, prompt, max_tokens, stop)
            if response.status < 300:
                self.ways = [CHAT]
        return cut_at(self._text_of(response), stop)

    def _asked(self, way: str, prompt: str, max_tokens: int, stop: Sequence[str]) -> Response:
        body: dict[str, object] = {
            "model": self.model,
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        if stop:
            body["stop"] = list(stop[:MOST_STOPS])
        if way == CHAT:
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        request = Request("POST", self.url + way, headers=self._headers(), json=body)
        return reach(request, [self.authority])

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(KEY)
        if key and self._is_the_keys():
            return {"Authorization": f"Bearer {key}"}
        return {}

    def _is_the_keys(self) -> bool:
        whom = os.environ.get(KEY_IS_FOR) or OPENAI
        try:
            same = authority_of(whom) == self.authority
        except ToolError as error:
            raise ConfigError(f"{KEY_IS_FOR}: {error}") from error
        return same and whom.partition(":")[0] == self.url.partition(":")[0]

    def _text_of(self, response: Response) -> str:
        told = response.text[:150].replace(os.environ.get(KEY) or "\0", "...")
        if response.status in _LATER or response.status >= 500:
            raise LateError(f"{self.authority} says {response.status}: {told}")
        if response.status >= 300:
            raise ToolError(f"{self.authority} says {response.status}: {told}")
        try:
            choice = json.loads(response.text)["choices"][0]
            text: object = (
                choice["message"]["content"] if "message" in choice else choice["text"]
            )
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ToolError(f"{self.authority}: no text in what it says: {told}") from None
        if not isinstance(text, str):
            raise ToolError(f"{self.authority}: no text in what it says: {told}")
        return text
