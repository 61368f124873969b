"""Which of the errors that were raised over each other count, and which say only that another process ended."""

import re
from collections.abc import Iterator, Sequence

from .conditions import hosts_in, is_local, is_of_fetcher
from .patterns import NETWORK_LIBRARIES
from .tracebacks import RaisedError

__all__ = ["is_of_a_server", "is_programming", "is_stand_in", "links", "says_peer_lost"]

# errors that code raises and no machine
_PROGRAMMING = frozenset(
    {
        "ArithmeticError", "AssertionError", "AttributeError", "FloatingPointError", "ImportError", "IndentationError", "IndexError",
        "KeyError", "LookupError", "ModuleNotFoundError", "NameError", "NotImplementedError", "OverflowError", "RecursionError",
        "StopIteration", "SyntaxError", "TabError", "TypeError", "UnboundLocalError", "UnicodeDecodeError", "UnicodeEncodeError",
        "ZeroDivisionError", "JSONDecodeError", "CompilationError", "ValidationError", "InductorError", "LoweringException",
    }
)  # fmt: skip
# they stand for what they were raised over
_STAND_IN = re.compile(
    r"retry\(\) (?:exceed maximum number of retries|observe errors that should not be retried)"
)
_COLLECTION = "CollectError"
# classes of the network and of what is built on it: one that is raised while another is handled is about the same
_NETWORK = re.compile(
    rf"(?:^|\.)(?:{NETWORK_LIBRARIES})\."
    r"|^(?:Connection\w*Error|TimeoutError|OSError|EnvironmentError|IOError|gaierror|LocalEntryNotFoundError|RuntimeError)$"
)
_FETCHED = re.compile(
    r"\b(?:[Ff]ailed|[Uu]nable|[Cc]ould ?n[o']t|[Cc]ould not|[Cc]annot|can't) (?:to )?(?:download|fetch|connect|reach|retrieve|load the (?:dataset|tokenizer|file))"
    r"|[Mm]ax(?:imum)? retries|[Gg]iv(?:ing|en) up"
)
_COMMON_CHARS = 12

# what a client says when its server has ended or does not answer, and what a parent says about its child
_OF_A_SERVER = re.compile(
    r"Server process exited|[Ss]erver (?:exited|died|crashed|terminated|is not running|disconnected|failed to start|did not start)"
    r"|Server (?:process )?(?:terminated|ended)|Health check failed|[Cc]ould ?n.t get a response from detokenizer"
    r"|Rank \d+ scheduler (?:is dead|died)|[Ss]cheduler (?:is dead|died)|[Ii]nitialization failed|Engine core (?:proc|initialization)"
    r"|EngineDeadError|[Ee]ngine(?: ?[Cc]ore)? (?:process )?(?:died|is dead)|[Ss]ee (?:the )?(?:stack trace|root cause|error|traceback|log)s? above"
    r"|RemoteDisconnected|Remote end closed connection|Server disconnected without|Connection (?:refused|reset|aborted|error)|\[Errno 1(?:04|11)\]"
    r"|All connection attempts failed|[Pp]eer closed connection|Broken ?[Pp]ipe|BrokenProcessPool|process pool was terminated"
    r"|process \d+ terminated (?:with|abruptly)|ProcessExitedException|ProcessRaisedException|ChildFailedError|CalledProcessError"
    r"|returned non-zero exit status|died with <Signals|(?:process|subprocess|command|worker|child)\b.{0,40}\b(?:failed|exited|ended|died|terminated) with (?:exit )?(?:code|status|signal)"
    r"|(?:server|engine|scheduler|process|worker|child|detokenizer)\b.{0,30}\b(?:ended|killed|died|terminated|crashed)\b.{0,12}\bSIG[A-Z]+"
    r"|[Cc]onnection closed by (?:remote )?peer|exit(?:ed)? (?:code|with)[: ]*-?\d+|[Ww]orker (?:failed|died|process)|RayTaskError|ActorDiedError|[Cc]hild process"
    r"|[Ss]ubprocess \S+ (?:\(pid=\d+\) )?crashed|remote process exited|EngineCrashError|before it was ready"
)
_PEER_LOST = re.compile(
    r"gloo.*(?:closed by peer|reset by peer|Connection refused|timed out)|remote process exited|Connection closed by (?:remote )?peer"
)
# code that raises errors of its own when another host does not answer, and goes on
_CLIENT_FILE = re.compile(rf"/(?:{NETWORK_LIBRARIES}|datasets|fsspec|importlib)(?:/|\.py$)")
# clients of a server: what they raise is about it, but for an answer that says that the request was wrong
_CLIENT = re.compile(
    r"(?:requests|httpx|httpcore|aiohttp|urllib3|urllib\.error|http\.client|openai|anthropic|grpc|websockets)\."
)
_WRONG_REQUEST = re.compile(
    r"\b4\d\d\b.{0,40}(?:Client )?[Ee]rror|[Ee]rror\W.{0,20}\b4\d\d\b|\b4\d\d, message="
    r"|(?:BadRequest|NotFound|Authentication|PermissionDenied|UnprocessableEntity|Conflict|RateLimit|Invalid\w*|Missing\w*)(?:Error|URL|Schema)?\b"
)
# what sockets say, and no test
_SOCKET_TIMED_OUT = ("timed out", "The read operation timed out", "The handshake operation timed out")
_SERVER_CLASSES = ("EOFError", "APIConnectionError", "APITimeoutError", "BrokenPipeError", "ConnectionResetError", "ConnectionRefusedError", "ConnectionAbortedError", "IncompleteReadError", "ServerDisconnectedError")  # fmt: skip


def is_programming(chain: Sequence[RaisedError]) -> bool:
    """Whether the error that counts is one that only code can raise."""
    error = next(links(chain), None)
    return error is not None and error.raises.rpartition(".")[2] in _PROGRAMMING


def links(chain: Sequence[RaisedError]) -> Iterator[RaisedError]:
    """The errors that count, the one that ended it first: an error that was handled counts only where the next is about it.

    One of the code's own that was being handled is the cause, whatever failed while it was.
    """
    handled = next((error for error in chain[1:] if _is_codes_own(error)), None)
    if handled is not None and not any(error.caused for error in chain[: chain.index(handled)]):
        yield handled
        return
    for place, error in enumerate(chain):
        stands_in = is_stand_in((error,))
        inner = chain[place + 1] if place + 1 < len(chain) else None
        if not (stands_in and inner is not None):
            yield error
        if inner is None or not (stands_in or error.caused or _is_about(error, inner)):
            return


def is_stand_in(chain: Sequence[RaisedError]) -> bool:
    """Whether an error stands for what it was raised over: SGLang's retry, pytest's import."""
    return any(
        _STAND_IN.match(error.message) or error.raises.rpartition(".")[2] == _COLLECTION
        for error in chain[:1]
    )


def _is_codes_own(error: RaisedError) -> bool:
    """Raised by code outside of the clients of the network, which raise such errors and go on."""
    return error.raises.rpartition(".")[2] in _PROGRAMMING and not (
        error.frames and _CLIENT_FILE.search(error.frames[-1].file)
    )


def says_peer_lost(chain: Sequence[RaisedError]) -> bool:
    """Whether all that the error says is that another process of a group is gone."""
    return any(_PEER_LOST.search(error.words) for error in chain[:1])


def _is_about(error: RaisedError, inner: RaisedError) -> bool:
    if inner.message and len(inner.message) >= _COMMON_CHARS and inner.message[:80] in error.message:
        return True
    if error.raises.rpartition(".")[2] in _PROGRAMMING:
        return False
    if _NETWORK.search(inner.raises) is None:
        return False
    return (_NETWORK.search(error.raises) is not None and error.raises != "RuntimeError") or _FETCHED.search(
        error.message
    ) is not None


def is_of_a_server(chain: Sequence[RaisedError]) -> bool:
    """Whether the error says that another process of this test ended or does not answer, and not why."""
    error = next(links(chain), None)
    if error is None or error.raises.rpartition(".")[2] == "AssertionError":
        return False
    hosts = hosts_in(error.message)
    if hosts and not any(is_local(host) for host, _ in hosts):
        return False
    if not hosts and is_of_fetcher(error.frames):
        return False
    name = error.raises.rpartition(".")[2]
    if name in _SERVER_CLASSES or _OF_A_SERVER.search(error.words) is not None:
        return True
    of_a_client = error.message in _SOCKET_TIMED_OUT or bool(
        error.frames and _CLIENT_FILE.search(error.frames[-1].file)
    )
    timed_out = name in ("TimeoutError", "timeout") and of_a_client
    return timed_out or (
        _CLIENT.match(error.raises) is not None and _WRONG_REQUEST.search(error.words) is None
    )
