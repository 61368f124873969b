"""The process that pulls: one pull through the engine, which can be killed when it hangs.

    python -m ci.images.pull_worker

reads one JSON line on standard input (it holds credentials, so it is neither an argument nor a file), prints JSON Lines and
ends when the pull has ended or standard input is closed. Lines: `{"event": ...}` of the engine, `{"login": "refused: ..."}`,
and as the last one `{"end": "ok"}` or `{"end": "error", "text", "status"}`.
"""

import json
import os
import sys
import threading
from typing import Any

from ci.docker.client import IMAGE_ANSWER_S, Client, EngineError, connect, faults
from ci.errors import CiError

__all__ = ["main"]


def main() -> None:
    """Do what standard input says."""
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        client = connect(spec["engine_host"], timeout_s=IMAGE_ANSWER_S)
    except CiError as error:
        _say({"end": "error", "text": error.what, "status": None})
        return
    try:
        with faults():
            _pull(client, spec, _login(client, spec))
    except EngineError as error:
        _say({"end": "error", "text": error.text, "status": error.status})
        return
    _say({"end": "ok"})


def _login(client: Client, spec: dict[str, Any]) -> dict[str, str] | None:
    """The credentials if the registry takes them; a refusal is reported, and then the pull is anonymous."""
    auth: dict[str, str] | None = spec.get("auth")
    if not auth:
        return None
    try:
        with faults():
            client.api.login(auth["username"], auth["password"], registry=spec["login_registry"], reauth=True)
    except EngineError as error:
        if error.gone:
            raise
        _say({"login": f"refused: {error.text}"})
        return {}  # an empty header: else the SDK would look for a login of its own
    return auth


def _pull(client: Client, spec: dict[str, Any], auth: dict[str, str] | None) -> None:
    """Pull to the engine's last word.

    Raises:
        EngineError: the engine's own error, which comes as an event and not as an exception; or the stream ended before its
            last word, which is how a killed engine looks.
    """
    import urllib3  # noqa: PLC0415  # comes with the SDK, whose streams let its exceptions through

    last = ""
    stream = client.api.pull(spec["name"], tag=spec["tag"], stream=True, decode=True, auth_config=auth)
    try:
        for event in stream:
            if "error" in event:
                raise EngineError(str(event["error"]), status=0)
            last = str(event.get("status", ""))
            _say({"event": event})
    except urllib3.exceptions.HTTPError as error:
        raise EngineError(f"the engine's stream broke: {error}", status=None) from error
    if not last.startswith("Status: "):
        raise EngineError("the engine's stream ended in the middle of the pull", status=None)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _end_with_stdin() -> None:
    """Who started us holds our standard input; at its end we are not wanted any more."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
