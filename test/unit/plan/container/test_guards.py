"""Which changes of protected distributions are violations, and their messages."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ci.plan.container.guards import Fingerprint, Probed, compare, guards_of, probe_error, violation
from support.planning import catalog

HERE = "/sgl-workspace"
TRITON = Fingerprint(
    distribution="triton",
    version="3.4.0",
    record="aa",
    location="/venv",
    imported={HERE: "/venv/triton/__init__.py"},
    shadowed={},
)
AITER = replace(TRITON, distribution="amd-aiter", imported={HERE: "/sgl-workspace/aiter/aiter/__init__.py"})
ABSENT = Fingerprint(distribution="mori", version="", record="", location="", imported={}, shadowed={})
HIDDEN = replace(AITER, imported={}, shadowed={HERE: "/sgl-workspace/aiter"})


def test_nothing_changed() -> None:
    assert compare((TRITON, AITER, ABSENT), (TRITON, AITER, ABSENT), ()) == ()


def test_a_version_files_and_place_are_each_a_change() -> None:
    new = replace(
        TRITON, version="3.5.0", record="bb", location="/usr", imported={HERE: "/usr/triton/__init__.py"}
    )
    changes = compare((TRITON,), (new,), ())
    assert [(change.field, change.before, change.after) for change in changes] == [
        ("version", "3.4.0", "3.5.0"),
        ("files", "aa", "bb"),
        ("location", "/venv", "/usr"),
        (f"import from {HERE}", "/venv/triton/__init__.py", "/usr/triton/__init__.py"),
    ]
    text = violation(changes, step="the step aiter", then="read logs/install-aiter.log").render()
    assert "error (exit 6): the step aiter changed triton" in text
    assert "triton: version: 3.4.0 -> 3.5.0" in text


def test_what_was_announced_may_change_but_never_into_an_empty_namespace() -> None:
    assert compare((AITER,), (replace(AITER, version="0.2"),), ("amd-aiter",)) == ()
    changes = compare((AITER,), (HIDDEN,), ("amd-aiter",))
    assert [change.after for change in changes] == ["empty namespace package /sgl-workspace/aiter"]
    assert "is where Python looks first" in violation(changes, step="x", then="").render()


def test_one_that_was_hidden_before_is_not_this_steps_doing() -> None:
    assert compare((HIDDEN,), (HIDDEN,), ()) == ()


def test_installed_and_removed_are_changes() -> None:
    installed = compare((ABSENT,), (replace(TRITON, distribution="mori"),), ())
    assert ("version", "not installed", "3.4.0") in {(row.field, row.before, row.after) for row in installed}
    removed = compare((TRITON,), (replace(ABSENT, distribution="triton"),), ())
    assert ("version", "3.4.0", "not installed") in {(row.field, row.before, row.after) for row in removed}


fingerprints = st.builds(
    Fingerprint,
    distribution=st.sampled_from(["torch", "triton"]),
    version=st.sampled_from(["", "1", "2"]),
    record=st.sampled_from(["", "a", "b"]),
    location=st.sampled_from(["", "/a"]),
    imported=st.dictionaries(st.sampled_from(["/s", "/t"]), st.sampled_from(["/a", "/b"])),
    shadowed=st.just({}),
)


@given(before=fingerprints, after=fingerprints, announced=st.sets(st.sampled_from(["torch", "triton"])))
def test_any_unannounced_difference_is_found(
    *, before: Fingerprint, after: Fingerprint, announced: set[str]
) -> None:
    after = replace(after, distribution=before.distribution)
    changes = compare((before,), (after,), announced)
    assert bool(changes) == (before != after and before.distribution not in announced)


def test_a_failed_probe_says_what_shadows_what_and_how_to_fix_it() -> None:
    failed = Probed(
        name="aiter.dynamic_per_tensor_quant",
        cwd=HERE,
        problem="ModuleNotFoundError: No module named 'aiter.dynamic_per_tensor_quant'",
        file="",
        shadowed_by="/sgl-workspace/aiter",
        real="/sgl-workspace/aiter/aiter/__init__.py",
    )
    guards = guards_of(catalog().guards, flavour="rocm720")
    text = probe_error([failed], {name: row.fix for name, row in guards.probes.items()}).render()
    assert "exit 6" in text
    assert "the folder /sgl-workspace/aiter was taken for the package" in text
    assert "editable_mode=compat" in text


def test_a_rehearsal_requires_no_rocm_package() -> None:
    assert not any(row.required for row in guards_of(catalog().guards, flavour="rehearsal").probes.values())
    guards = guards_of(catalog().guards, flavour="rocm720")
    assert guards.probes["aiter.dynamic_per_tensor_quant"].required
