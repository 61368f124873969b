"""What a rule may ask for beyond its pattern: figures of memory, and hosts."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .tracebacks import Frame

__all__ = ["CONDITIONS", "Context", "hosts_in", "is_local", "is_of_fetcher"]

_UNITS = {"": 1, "b": 1, "bytes": 1, "kb": 2**10, "kib": 2**10, "mb": 2**20, "mib": 2**20, "gb": 2**30, "gib": 2**30, "tb": 2**40, "tib": 2**40}  # fmt: skip
_AMOUNT = r"(?P<{name}>[\d.]+) ?(?P<{name}_unit>bytes|[KMGT]i?B|B|)"
_TOTAL = re.compile(r"total capacity (?:of )?" + _AMOUNT.format(name="total"))
_FREE = re.compile(r"of which " + _AMOUNT.format(name="free") + r" is free")
_TRIED = re.compile(r"[Tt]ried to allocate " + _AMOUNT.format(name="tried"))
_IN_USE = re.compile(r"this process has " + _AMOUNT.format(name="own") + r" memory in use")
_ALLOCATED = re.compile(_AMOUNT.format(name="own") + r" is allocated by PyTorch")
_RESERVED = re.compile(_AMOUNT.format(name="more") + r" is reserved by PyTorch")
# torch before 2.1: `(GPU 0; 15.78 GiB total capacity; 14.56 GiB already allocated; 38.44 MiB free; 14.80 GiB reserved in total`
_OLD = re.compile(
    _AMOUNT.format(name="total") + r" total capacity; " + _AMOUNT.format(name="own") + r" already allocated; "
    + _AMOUNT.format(name="free") + " free"
)  # fmt: skip
# of a GPU's memory: what others hold must be more than the first where a process knows all that it uses itself, and more than the
# second where memory that PyTorch does not manage (graphs, communicators, libraries) is counted among that of others
_SMALL_SHARE, _LARGE_SHARE = 0.1, 0.35
_RSS = re.compile(r"\banon-rss:(?P<rss>\d+)kB")
_PAGES = re.compile(r"\b(?P<pages>\d+) pages RAM\b")
_PAGE_BYTES = 4096
# Ray's memory monitor: the node, the worker that it ended, the largest users of memory
_NODE = re.compile(r"\bMemory on the node .{0,400}?\bwas running was " + _AMOUNT.format(name="used") + " / ")
_WORKER = re.compile(r"\bmemory used=" + _AMOUNT.format(name="own"))
_USERS = re.compile(r"(?<![\w.])\d+\s+(?P<held>\d+(?:\.\d+)?)\s+(?P<command>[^\s\d]\S*)")
_OF_RAY = re.compile(r"ray::|\S*/ray/")

# https and the like are a service's elsewhere; a server that a test starts speaks plainly on a port of its own
_HOSTS = (
    re.compile(
        r"\b(?P<scheme>https?|grpc|ssh|git|ftp|s3|wss?)://(?:[^@/\s'\"]*@)?(?P<host>\[[^]]*\]|[\w.-]+)(?::(?P<port>\d+))?"
    ),
    re.compile(r"host=['\"](?P<host>[^'\"]+)['\"](?:, port=(?P<port>\d+))?"),
    re.compile(r"(?:connect to host|connect(?:ion)? to|resolve host(?: address)?:?|lookup|Failed to resolve) ['\"]?(?P<host>\[?[\w.:-]*\w\]?)"),
    re.compile(r"\bdial tcp (?P<host>\[[^]]*\]|[\d.]+):(?P<port>\d+)"),
    re.compile(r"\b(?P<host>(?:\d{1,3}\.){3}\d{1,3}):(?P<port>\d+)\b"),
    re.compile(r"\((?P<quote>['\"])(?P<host>[\w.-]+)(?P=quote), (?P<port>\d+)"),
)  # fmt: skip
_LOCAL = re.compile(
    r"(?:localhost|localhost\.localdomain|127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[?::1?\]?|\[::ffff:127.*|host\.docker\.internal"
    r"|ip6-localhost|10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2}|testserver"
    r"|169\.254(?:\.\d{1,3}){2})$",
    re.IGNORECASE,
)
# a name without a dot is a machine of this place or nothing at all
_PUBLIC = re.compile(r"[\w-]+(?:\.[\w-]+)+$|\d{1,3}(?:\.\d{1,3}){3}$")
# libraries that fetch models and data
_FETCH_LIBRARIES = (
    "huggingface_hub|hf_xet|datasets|modelscope|fsspec|s3fs|boto3|botocore|gdown|kagglehub|wandb|nltk|openml"
)
# code that fetches something from elsewhere
_FETCHERS = re.compile(
    rf"/(?:{_FETCH_LIBRARIES}|pip|torchvision/datasets)/"
    r"|/torch/hub\.py$|/transformers/utils/hub\.py$"
)
_FETCHER_CLASS = re.compile(rf"(?:{_FETCH_LIBRARIES}|pip\._vendor)\.")
_FETCH = re.compile(
    r"(?:^|_)(?:download|fetch|urlretrieve|load_dataset|hf_hub|snapshot|from_hub|wget)(?:_|$)|download"
)


def _bytes(match: "re.Match[str]", name: str) -> float:
    return float(match[name]) * _UNITS[match[f"{name}_unit"].lower()]


def _of_others_by_figures(text: str) -> bool | None:
    """Whether others hold more than this process does, by torch's own figures; None where there are none."""
    old, total_match, free_match = _OLD.search(text), _TOTAL.search(text), _FREE.search(text)
    if old is not None:
        total, own, free = (_bytes(old, name) for name in ("total", "own", "free"))
    elif total_match is not None and free_match is not None:
        total, free = _bytes(total_match, "total"), _bytes(free_match, "free")
        in_use = _IN_USE.search(text)
        shares = [_bytes(match, "own") for match in [_ALLOCATED.search(text)] if match is not None]
        shares += [_bytes(match, "more") for match in [_RESERVED.search(text)] if match is not None]
        if in_use is None and not shares:
            return None
        own = _bytes(in_use, "own") if in_use is not None else sum(shares)
        if in_use is not None:
            return own + _tried(text) < total and total - free - own > _SMALL_SHARE * total
    else:
        return None
    others = total - free - own
    return own + _tried(text) < total and others > min(own, _LARGE_SHARE * total)


def _of_others_by_ray(text: str) -> bool | None:
    """Whether most of a node's memory was held by what Ray did not start, by its own list; None where nothing says whose it was."""
    node = _NODE.search(text)
    if node is None:
        return None
    worker = _WORKER.search(text)
    if worker is not None and _bytes(worker, "own") >= _bytes(node, "used") / 2:
        return False
    rows = [(float(row["held"]) * 2**30, row["command"]) for row in _USERS.finditer(text)]
    of_ray = sum(held for held, command in rows if _OF_RAY.match(command))
    of_others = sum(held for held, command in rows if not _OF_RAY.match(command))
    if of_others > of_ray and of_others >= _bytes(node, "used") / 2:
        return True
    return False if of_ray >= _bytes(node, "used") / 2 else None


def _of_others_by_text(text: str) -> bool | None:
    figures = _of_others_by_figures(text)
    return _of_others_by_ray(text) if figures is None else figures


def _tried(text: str) -> float:
    tried = _TRIED.search(text)
    return _bytes(tried, "tried") if tried is not None else 0.0


def _of_others_by_kernel(text: str) -> bool | None:
    """Whether the victim held less than half of the machine's memory; None where no size is known."""
    rss, pages = _RSS.search(text), _PAGES.search(text)
    if rss is None or pages is None:
        return None
    return int(rss["rss"]) * 1024 < int(pages["pages"]) * _PAGE_BYTES / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A piece of evidence and what is around it. `serves`: a server of the test's own appears in the log."""

    text: str
    frames: Sequence[Frame] = ()
    holders: Sequence[str] = ()
    serves: bool = True


def _is_memory_of_others(context: Context) -> bool:
    """Whether others hold the memory: by the figures in the text, else by the other processes of the GPU that are known."""
    figures = _of_others_by_text(context.text)
    return bool(context.holders) and _NODE.search(context.text) is None if figures is None else figures


def _is_victim_small(context: Context) -> bool:
    return _of_others_by_kernel(context.text) is not False


def hosts_in(text: str) -> list[tuple[str, str]]:
    """The hosts that a message names, each with its port or an empty string."""
    found = []
    for pattern in _HOSTS:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            host, port = groups["host"], groups.get("port") or ""
            if not port and host.count(":") == 1:
                host, _, port = host.partition(":")
            found.append((host.strip("[]"), port))
    return found


def _names_another_host(context: Context) -> bool:
    """Whether the connection was to a host elsewhere: by its name, else by the code that asked for it."""
    hosts = hosts_in(context.text)
    if any(is_local(host) for host, _ in hosts):
        return False
    if hosts:
        return any(_PUBLIC.match(host) for host, _ in hosts)
    return is_of_fetcher(context.frames) or _FETCHER_CLASS.match(context.text) is not None


def _is_service_elsewhere(context: Context) -> bool:
    """The same for an answer: where no host is named and the test has no server, it came from elsewhere."""
    return _names_another_host(context) or not (context.serves or hosts_in(context.text))


def is_local(host: str) -> bool:
    """Whether it is this machine, or one of a private network, where the server of a test may be."""
    return _LOCAL.match(host) is not None


def is_of_fetcher(frames: Sequence[Frame]) -> bool:
    """Whether the code that raised an error fetches something from elsewhere."""
    return any(_FETCHERS.search(frame.file) or _FETCH.search(frame.function) for frame in frames)


CONDITIONS: Mapping[str, Callable[[Context], bool]] = {
    "": lambda _context: True,
    "memory-of-others": _is_memory_of_others,
    "memory-of-its-own": lambda context: _of_others_by_text(context.text) is False,
    "victim-was-small": _is_victim_small,
    "another-host": _names_another_host,
    "service-elsewhere": _is_service_elsewhere,
}
