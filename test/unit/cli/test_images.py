"""The image verbs: which image, from where and to where. What registries and engines do is not asked."""

import json
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.cli.images import mirror_verb, prune_verb, pull_verb, resolve_verb
from ci.cli.verb_options import ImageOptions, MirrorOptions, PruneImagesOptions
from ci.errors import InfrastructureError, UsageError
from ci.images.pull import Hop, Pulled
from ci.images.store import Mirrored
from ci.plan.container.image_fact import ImageFact
from support.containers import DIGEST, image

ENVIRON = {"DOCKER_HOST": "unix:///engine.sock", "AMD_CI_TODAY": "2026-05-29"}


class Doubles:
    """What is asked of registries and engines, and answers to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.image: ImageFact = image()
        self.requests: list[Any] = []
        self.pulls: list[dict[str, Any]] = []
        self.copies: list[tuple[str, str]] = []
        self.prunings: list[dict[str, Any]] = []
        for name, double in {
            "resolve_image": self._resolve,
            "pull_image": self._pull,
            "mirror_image": self._mirror,
            "prune_images": self._prune,
            "stop_requested": lambda: lambda: False,
        }.items():
            monkeypatch.setattr(f"ci.cli.images.{name}", double)

    def _resolve(self, _catalog: Catalog, request: Any, _environ: Any, *, engine_host: str) -> ImageFact:
        assert engine_host == ENVIRON["DOCKER_HOST"]
        self.requests.append(request)
        return self.image

    def _pull(self, _image: ImageFact, **how: Any) -> Pulled:
        self.pulls.append(how)
        return Pulled(local_id="sha256:local", hop="public", hops=(Hop(name="public", what="pulled"),))

    def _mirror(self, _image: ImageFact, local_id: str, mirror: str, **_how: Any) -> Mirrored:
        self.copies.append((local_id, mirror))
        return Mirrored(reference=f"{mirror}/x", manifest_digest="m", config_digest=DIGEST, pushed=True)

    def _prune(self, _catalog: Catalog, **how: Any) -> tuple[tuple[()], int]:
        self.prunings.append(how)
        return (), 0


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Doubles:
    return Doubles(monkeypatch)


Capture = pytest.CaptureFixture[str]


class TestResolve:
    def test_the_image_of_a_family_is_asked_for_and_shown(self, doubles: Doubles, capsys: Capture) -> None:
        resolve_verb(ENVIRON, ImageOptions(family="mi35x", json=True))
        assert [request.family for request in doubles.requests] == ["mi35x"]
        assert json.loads(capsys.readouterr().out)["config_digest"] == DIGEST

    def test_an_unknown_family_is_refused_with_the_nearest(self, doubles: Doubles) -> None:
        with pytest.raises(UsageError) as caught:
            resolve_verb(ENVIRON, ImageOptions(family="mi35"))
        assert "unknown family 'mi35'" in caught.value.render()
        assert "did you mean 'mi35x'" in caught.value.render()
        assert doubles.requests == []

    @pytest.mark.parametrize(
        ("changes", "strict", "words"),
        [
            ({"age_days": 9}, True, "STALE IMAGE"),
            ({"config_digest": "", "problem": "the registry is down"}, False, "the registry is down"),
        ],
    )
    def test_one_that_no_run_may_use_is_shown_and_then_an_error(
        self, doubles: Doubles, capsys: Capture, *, changes: dict[str, Any], strict: bool, words: str
    ) -> None:
        doubles.image = image(**changes)
        with pytest.raises(InfrastructureError) as caught:
            resolve_verb(ENVIRON, ImageOptions(family="mi30x", strict=strict))
        assert words in caught.value.render()
        assert doubles.image.flavour in capsys.readouterr().out

    def test_a_stale_one_is_only_a_warning_without_strict(self, doubles: Doubles, capsys: Capture) -> None:
        doubles.image = image(age_days=9)
        resolve_verb(ENVIRON, ImageOptions(family="mi30x"))
        assert "warning: STALE IMAGE" in capsys.readouterr().out


class TestPull:
    def test_the_mirror_is_named_with_its_source_and_used(self, doubles: Doubles, capsys: Capture) -> None:
        environ = {**ENVIRON, "LOCAL_DOCKER_REGISTRY": "lan:5000"}
        pull_verb(environ, ImageOptions(family="mi30x"))
        out, err = capsys.readouterr()
        assert doubles.pulls[0]["mirror"] == "lan:5000"
        assert "mirror: lan:5000 (LOCAL_DOCKER_REGISTRY" in err
        assert "sha256:local is in the local store" in out

    def test_a_machine_without_a_mirror_pulls_without_one(self, doubles: Doubles, capsys: Capture) -> None:
        pull_verb(ENVIRON, ImageOptions(family="mi30x"))
        assert doubles.pulls[0]["mirror"] == ""
        assert "mirror: none (" in capsys.readouterr().err

    def test_what_no_run_may_use_is_not_pulled(self, doubles: Doubles) -> None:
        doubles.image = image(config_digest="", problem="down")
        with pytest.raises(InfrastructureError):
            pull_verb(ENVIRON, ImageOptions(family="mi30x"))
        assert doubles.pulls == []


class TestMirror:
    def test_it_is_filled_from_the_public_registry_and_never_from_itself(
        self, doubles: Doubles, capsys: Capture
    ) -> None:
        environ = {**ENVIRON, "LOCAL_DOCKER_REGISTRY": "lan:5000"}
        mirror_verb(environ, MirrorOptions(family="mi30x", to="other:5000"))
        assert doubles.pulls[0]["mirror"] == ""
        assert doubles.copies == [("sha256:local", "other:5000")]
        out, err = capsys.readouterr()
        assert "mirror: other:5000 (--to)" in err
        assert "other:5000/x: pushed and verified" in out
        mirror_verb(environ, MirrorOptions(family="mi30x"))
        assert doubles.copies[1] == ("sha256:local", "lan:5000")

    def test_without_one_nothing_is_asked_and_the_option_is_named(self, doubles: Doubles) -> None:
        with pytest.raises(UsageError) as caught:
            mirror_verb(ENVIRON, MirrorOptions(family="mi30x"))
        assert "--to HOST:PORT" in caught.value.render()
        assert (doubles.requests, doubles.pulls) == ([], [])


class TestPrune:
    def test_counts_are_the_rows_until_they_are_given(
        self, doubles: Doubles, catalog: Catalog, capsys: Capture
    ) -> None:
        prune_verb(ENVIRON, PruneImagesOptions())
        prune_verb(ENVIRON, PruneImagesOptions(older="3", keep="0", dry=True))
        rows = catalog.limits.policy
        assert [(how["older_days"], how["keep"], how["dry"]) for how in doubles.prunings] == [
            (rows.image_prune_days, rows.image_prune_keep, False),
            (3, 0, True),
        ]
        assert "0 images would be removed" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (PruneImagesOptions(older="week"), "--older is 'week', not a whole number"),
            (PruneImagesOptions(keep="-1"), "--keep is '-1', not a whole number"),
        ],
    )
    def test_a_number_that_is_not_whole_removes_nothing(
        self, doubles: Doubles, options: PruneImagesOptions, words: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            prune_verb(ENVIRON, options)
        assert words in caught.value.render()
        assert doubles.prunings == []
