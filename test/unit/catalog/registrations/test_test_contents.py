"""What a test file uses, as far as its source says it."""

from textwrap import dedent

import pytest

from ci.catalog.registrations.test_contents import Contents, read_contents


def read(source: str) -> Contents:
    found = read_contents(dedent(source).encode(), "test/registered/a/test_a.py")
    assert found is not None
    return found


def test_words_are_imports_names_and_strings_but_no_docstrings_and_no_comments() -> None:
    found = read('''
        """About hopperlib."""
        import torch.nn
        from kernels.Fast import Gemm  # hopperlib
        register_cuda_ci(est_time=1, suite="base-8-gpu-h900")
        class TestA:
            """hopperlib again"""
            def test_a(self):
                launch(backend="Triton", other=Gemm.size)
    ''')
    assert {"torch.nn", "kernels.fast.gemm", "triton", "backend", "size"} <= set(found.words)
    assert not any("hopperlib" in word or "h900" in word for word in found.words)
    assert found.words["triton"] == 9
    assert found.imports >= {"torch.nn", "kernels.Fast"}
    assert found.imported == {"Gemm"}


def test_models_are_names_of_repositories_and_of_constants() -> None:
    found = read("""
        from helpers import DEFAULT_MODEL_NAME_FOR_TEST
        paths = ["lab/Small-1B", "test/registered/x.py", "application/json", "image/PNG", "a/b/C"]
    """)
    assert found.models == {"DEFAULT_MODEL_NAME_FOR_TEST", "lab/Small-1B"}


def test_arguments_are_strings_that_begin_with_two_hyphens() -> None:
    assert read('args = ["--tp", "2", "--mem=0.8", "---", "a --b"]').arguments == {"--tp", "--mem"}


@pytest.mark.parametrize(
    ("marks", "skips"),
    [
        ("@unittest.skipIf(is_hip(), 'no')", ("is_hip()",)),
        ("@unittest.skipUnless(is_cuda(), 'no')", ("notis_cuda()",)),
        ("@unittest.skipUnless(not is_hip(), 'no')", ("is_hip()",)),
        ("@pytest.mark.skipif(a == 1, reason='no')", ("a==1",)),
        ("@something(is_hip())", ()),
    ],
)
def test_conditions_of_skips(marks: str, skips: tuple[str, ...]) -> None:
    assert read(f"{marks}\nclass TestA: pass").skips == skips


def test_a_condition_that_only_one_of_two_classes_has_does_not_skip_the_file() -> None:
    source = "@unittest.skipIf(is_hip(), 'no')\nclass TestA: pass\nclass TestB: pass\n"
    assert read(source).skips == ()
    assert read(source + "pytestmark = [pytest.mark.skipif(old(), reason='no')]").skips == ("old()",)


def test_what_is_not_python_has_no_contents() -> None:
    assert read_contents(b"def (", "a.py") is None
    assert read_contents(b"\0", "a.py") is None
