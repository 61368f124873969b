"""Discovery and planning on a tree of SGLang's size, beside SGLang's own collector, in one run.

The tree has the 781 files and 1,053 registrations of SGLang's main on 2026-05-29, once as stubs and once filled up to
12 KiB of code, about what a real test file holds. What an AMD run reads is kept; the first time its cache is empty. The peer is `collect_tests` of the sglang source distribution that
the session hands in. Both read the same files; medians of several rounds; the order changes from round to round.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from ci.catalog.catalog import load_catalog  # noqa: E402
from ci.catalog.registrations.parse import Discovery, discover  # noqa: E402
from ci.errors import NothingSelectedError  # noqa: E402
from ci.facts.tree.kept import discover_kept  # noqa: E402
from support.planning import facts, planned, request  # noqa: E402  # the path is set above
from support.trees import write_stub_tree  # noqa: E402

_FILLER = '''

def helper_{number}(values, scale=1.0):
    """Weigh the values and drop what is out of range."""
    kept = [value * scale for value in values if 0 <= value < 1024]
    total = sum(kept) or 1.0
    return {{"mean": total / max(1, len(kept)), "share": [value / total for value in kept]}}
'''
_FILE_BYTES = 12 * 1024
_ROUNDS = 7


def peer_module(path: Path) -> ModuleType:
    """SGLang's ci_register.py, loaded by its path: importing sglang itself needs torch."""
    spec = importlib.util.spec_from_file_location("sglang_ci_register", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sglang_ci_register"] = module
    spec.loader.exec_module(module)
    return module


def fill(tree: Path) -> None:
    """Fill every test file up to a real one's size."""
    for path in sorted((tree / "test/registered").rglob("*.py")):
        text = path.read_text()
        number = 0
        while len(text) < _FILE_BYTES:
            text += _FILLER.format(number=number)
            number += 1
        path.write_text(text)


def call_ms(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def compare(title: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Print medians and their ratio."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(_ROUNDS):
        for name in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            times[name].append(call_ms(ours if name == "ours" else theirs))
    mine, peer = statistics.median(times["ours"]), statistics.median(times["theirs"])
    sys.stdout.write(f"{title}: {mine:.1f} ms, SGLang's collector {peer:.0f} ms, ratio {peer / mine:.2f}\n")


def plan_all(found: Discovery) -> int:
    """Plan every stage on a laptop; returns how many plans there are."""
    plans = 0
    rows = load_catalog()
    for stage in rows.stages:
        try:
            planned(rows, facts(found.registrations, tests=found), request(stage.id))
        except NothingSelectedError:
            continue
        plans += 1
    return plans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", type=Path, help="SGLang's python/sglang/test/ci/ci_register.py")
    peer = peer_module(parser.parse_args().peer)
    rules = load_catalog().discovery
    with tempfile.TemporaryDirectory() as scratch:
        tree = write_stub_tree(Path(scratch) / "sglang")
        # the peer knows four of the backends that the tree registers and refuses the others
        known = [
            str(path)
            for path in sorted((tree / "test/registered").rglob("*.py"))
            if "register_xpu_ci" not in path.read_text() and "stage=" not in path.read_text()
        ]
        count = len(list((tree / "test/registered").rglob("*.py")))
        sys.stdout.write(f"{count} files; the peer reads the {len(known)} whose registrations it knows\n")
        for title in ("stubs", "12 KiB files"):
            if title != "stubs":
                fill(tree)

            def ours() -> Discovery:
                cold = Path(tempfile.mkdtemp(dir=scratch))
                return discover_kept(tree, rules, cold, backends=("amd",))

            def everything() -> Discovery:
                return discover(tree, rules, layout="sglang")

            def theirs() -> object:
                return peer.collect_tests(known, sanity_check=False)

            def again() -> Discovery:
                return discover_kept(tree, rules, Path(scratch) / "cache", backends=("amd",))

            again()
            compare(f"{title}, what an AMD run reads the first time", ours, theirs)
            compare(f"{title}, every backend", everything, theirs)
            compare(f"{title}, what an AMD run reads the second time", again, theirs)
        found = discover(tree, rules, layout="sglang", backends=("amd",))
        times = [call_ms(lambda: plan_all(found)) for _ in range(_ROUNDS)]
        sys.stdout.write(
            f"planning all stages ({plan_all(found)} plans): {statistics.median(times):.1f} ms\n"
        )


if __name__ == "__main__":
    main()
