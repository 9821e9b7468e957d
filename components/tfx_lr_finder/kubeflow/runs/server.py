"""Requests to Kubeflow Pipelines, and what its errors say."""

import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any

TIMEOUT_SECONDS = 10.0

API = "/apis/v2beta1"


class ServerError(RuntimeError):
    """Kubeflow Pipelines did not do what was asked for; the message is for the user."""


class NoAnswerError(ServerError):
    """It did not answer, or with an error of its own: the same request may succeed later."""


class NotFoundError(ServerError):
    """The API does not know what was asked for, such as a run that was deleted."""


class Server:
    """Kubeflow Pipelines at an address.

    Args:
        endpoint: The address under which a browser shows the page of Kubeflow Pipelines.
        token: Bearer token, if it asks for one.
    """

    def __init__(self, endpoint: str, token: str | None = None) -> None:
        self.endpoint = endpoint
        self.token = token
        # No proxy, as in kfp.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def root(self) -> "Server":
        """Returns the server at the root of its host, where Kubeflow has what is not the API's."""
        return Server(urllib.parse.urljoin(self.endpoint, "/").rstrip("/"), self.token)

    def check(self) -> None:
        """Checks that the API answers.

        Raises:
            ServerError: If nobody answers, somebody else does, or the token is missing or refused.
        """
        try:
            self.get_json("/healthz")
        except (NoAnswerError, NotFoundError) as error:
            advice = "Give the address under which a browser shows its page."
            raise ServerError(f"{error} {advice}") from error

    def get_json(self, path: str) -> Any:
        """Returns what the API answers under a path.

        Raises:
            NoAnswerError: If there is no answer, or one that is no JSON.
            ServerError: If the request is refused.
        """
        answer = self.request(API + path)
        try:
            return json.loads(answer)
        except ValueError as error:
            raise self.no_answer("it sends no JSON, perhaps a login page") from error

    def request(self, path: str, body: bytes | None = None, content_type: str = "") -> bytes:
        """Returns the answer to a GET, or to a POST if there is a body.

        Raises:
            NoAnswerError: If there is no answer, or one that says to try again later.
            NotFoundError: If the API does not know what the path names.
            ServerError: If the request is refused.
        """
        try:
            request = urllib.request.Request(self.endpoint + path, body)
            if body is not None:
                request.add_header("Content-Type", content_type)
            if self.token:
                request.add_unredirected_header("Authorization", f"Bearer {self.token}")
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            body = None
            with contextlib.suppress(OSError, HTTPException):  # the connection may break here, too
                body = error.read()
            raise self.refusal(error.code, error.reason, body) from error
        except OSError as error:
            raise self.no_answer(str(getattr(error, "reason", error))) from error
        except (HTTPException, ValueError) as error:  # not a web server, or not an address
            raise self.no_answer(repr(error)) from error

    def refusal(self, status: int, reason: str, body: bytes | str | None) -> ServerError:
        """Returns the error that an answer with an HTTP status of 400 or more stands for."""
        if status in (401, 403):
            does = "refuses the token" if self.token else "asks for a token"
            return ServerError(
                f"Kubeflow Pipelines at {self.endpoint} {does} ({status} {reason}): "
                "give a valid one with --token-file."
            )
        said = _said(body)
        if not said and (status in (404, 429) or status >= 500):  # of a proxy, the API is away
            return self.no_answer(f"{status} {reason}")
        answers = f"Kubeflow Pipelines at {self.endpoint} answers: {status} {said.rstrip('.')}."
        if status == 404:
            return NotFoundError(answers)
        if status == 429 or status >= 500:
            return NoAnswerError(answers)
        return ServerError(
            f"Kubeflow Pipelines at {self.endpoint} refuses the request: {said or reason}"
        )

    def no_answer(self, reason: str) -> NoAnswerError:
        """Returns the error of a request that was not answered."""
        return NoAnswerError(f"No answer from Kubeflow Pipelines at {self.endpoint}: {reason}.")


def _said(body: bytes | str | None) -> str:
    """Returns the message in an error's body.

    It lies under `error_message` if a file was uploaded, and else under `message`. Go's stack trace
    beside it, in `error_details` and `details`, is left out.
    """
    try:
        content = json.loads(body or "")
        message = content.get("error_message") or content.get("message")
    except (ValueError, AttributeError):
        return ""
    return " ".join(str(message or "").partition("\n")[0].split())
