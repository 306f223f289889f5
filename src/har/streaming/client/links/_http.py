"""To `POST /samples` of the online service, which answers 202 once a message is on the project's disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from har.errors import SourceError, reason
from har.streaming._acks import Ack
from har.streaming.client._spool import Waiting
from har.streaming.client.links._link import Sent

_ACCEPTED = 202
_FOR_EVER = {400, 404, 405, 413, 415, 422}
_LOGIN = {401, 403}
_TIMEOUT_S = 30.0
_AWAY_S = 1.0
_LONGEST_WAIT_S = 60.0


class HttpLink:
    """One connection that is kept open.

    Args:
        url: of the service, such as http://127.0.0.1:3000.
        token: if the service asks for one.
    """

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = f"{url.rstrip('/')}/samples"
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S, trust_env=False)

    def send(self, messages: Sequence[Waiting]) -> Sent:
        """See `Link`.

        Raises:
            SourceError: the service wants a token, or another one.
        """
        sent = Sent()
        for message in messages:
            try:
                answer = self._client.post(
                    self._url, content=message.body, headers={"Content-Type": message.content_type}
                )
            except httpx.HTTPError as error:
                sent.wait_s, sent.why = _AWAY_S, f"{self._url} is away: {reason(error)}"
                break
            if answer.status_code == _ACCEPTED:
                sent.safe.append(message.number)
            elif answer.status_code in _LOGIN:
                raise SourceError(
                    where=self._url,
                    expected="a service that lets us send",
                    got=f"{answer.status_code}: {answer.text[:200]}",
                    remedy="Make a token with `har tokens add NAME`, and name its file with --token-file.",
                )
            elif answer.status_code in _FOR_EVER:
                sent.refused[message.number] = f"{answer.status_code}: {answer.text[:500]}"
            else:
                sent.wait_s, sent.why = _pause(answer), f"{self._url} answers {answer.status_code}"
                break
        return sent

    def hear(self, timeout_s: float) -> list[Ack]:
        """See `Link`; the answers have said everything."""
        time.sleep(timeout_s)
        return []

    def close(self) -> None:
        """See `Link`."""
        self._client.close()


def read_token(path: Path | None) -> str:
    """The token in a file; "" without one.

    Raises:
        SourceError: it cannot be read.
    """
    if path is None:
        return ""
    try:
        return path.read_text().strip().rpartition(":")[2]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            where="--token-file", expected=f"a token in {path}", got=reason(error), remedy="Check the path."
        ) from error


def _pause(answer: httpx.Response) -> float:
    try:
        return min(_LONGEST_WAIT_S, max(0.05, float(answer.headers.get("Retry-After", _AWAY_S))))
    except ValueError:
        return _AWAY_S
