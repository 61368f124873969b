"""Reading jobs and logs from GitHub, against a stand-in for its API on loopback."""

from collections.abc import Iterator

import pytest

from ci.errors import CiError, ExitCode, InfrastructureError, UsageError
from ci.github.api import ApiBase, GitHub, Link, api_base, parse_link
from support.github_api import FakeGitHub, job, serve

TOKEN = "ghp_canary0123456789"  # noqa: S105  # a canary
JOB = Link(host="github.com", repository="o/r", run=7, job=42, attempt=0)
RUN = Link(host="github.com", repository="o/r", run=7, job=0, attempt=0)


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with serve() as fake:
        yield fake


def open_api(fake: FakeGitHub, notes: list[str], token: str = TOKEN) -> GitHub:
    return GitHub(ApiBase(url=fake.url, token=token, why="--api"), notes.append, timeout_s=2, retry_wait_s=0)


def refused(fake: FakeGitHub, link: Link = JOB, token: str = TOKEN) -> CiError:
    notes: list[str] = []
    with open_api(fake, notes, token) as api, pytest.raises(CiError) as caught:
        api.log(link)
    assert TOKEN not in caught.value.render() + "".join(notes)
    return caught.value


class TestLinks:
    @pytest.mark.parametrize(
        ("url", "run", "number", "attempt"),
        [
            ("https://github.com/o/r/actions/runs/7/job/42", 7, 42, 0),
            ("https://github.com/o/r/actions/runs/7/job/42?pr=3#step:4:99", 7, 42, 0),
            ("https://github.com/o/r/actions/runs/7", 7, 0, 0),
            ("https://github.com/o/r/actions/runs/7/attempts/2", 7, 0, 2),
            ("https://github.com/o/r/runs/42?check_suite_focus=true", 0, 42, 0),
            ("https://api.github.com/repos/o/r/actions/jobs/42", 0, 42, 0),
            ("https://api.github.com/repos/o/r/actions/jobs/42/logs", 0, 42, 0),
            ("https://api.github.com/repos/o/r/actions/runs/7/jobs", 7, 0, 0),
            ("https://ghe.example/api/v3/repos/o/r/actions/jobs/42", 0, 42, 0),
        ],
    )
    def test_every_form_of_an_address(self, url: str, run: int, number: int, attempt: int) -> None:
        link = parse_link(url)
        assert (link.repository, link.run, link.job, link.attempt) == ("o/r", run, number, attempt)

    def test_a_servers_port_is_part_of_its_name(self) -> None:
        assert parse_link("https://ghe.example:8443/o/r/actions/runs/7").host == "ghe.example:8443"
        assert parse_link("https://github.com/o/r/actions/runs/7").host == "github.com"

    @pytest.mark.parametrize(
        "url",
        [
            "https://github.com/o/r/pull/3",
            "https://github.com",
            "https://github.com/o/r/actions/runs/x",
            "http://[:/",
        ],
    )
    def test_another_address_is_refused_with_what_was_understood(self, url: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_link(url)
        assert caught.value.exit_code is ExitCode.USAGE
        if "/o/r/" in url:
            assert "o/r on github.com" in caught.value.render()


class TestWhereTheTokenGoes:
    def test_to_github_by_its_own_address(self) -> None:
        base = api_base(JOB, {"GITHUB_TOKEN": TOKEN}, "")
        assert (base.url, base.token) == ("https://api.github.com", TOKEN)
        assert TOKEN not in repr(base)

    def test_to_the_server_of_the_job_that_we_run_in(self) -> None:
        environ = {
            "GH_TOKEN": TOKEN,
            "GITHUB_SERVER_URL": "https://ghe.example",
            "GITHUB_API_URL": "https://ghe.example/api/v3",
        }
        base = api_base(parse_link("https://ghe.example/o/r/actions/runs/7"), environ, "")
        assert (base.url, base.token) == ("https://ghe.example/api/v3", TOKEN)

    def test_not_to_a_server_that_only_the_link_names(self) -> None:
        base = api_base(parse_link("https://evil.example/o/r/actions/runs/7"), {"GITHUB_TOKEN": TOKEN}, "")
        assert base.token == ""
        assert "GITHUB_TOKEN is not sent" in base.why

    def test_to_a_server_that_the_user_names(self) -> None:
        link = parse_link("https://ghe.example/o/r/actions/runs/7")
        assert api_base(link, {"GITHUB_TOKEN": TOKEN, "GH_HOST": "ghe.example"}, "").token == TOKEN
        assert api_base(link, {"GITHUB_TOKEN": TOKEN}, "https://ghe.example/api/v3").token == TOKEN

    def test_never_without_encryption_over_a_network(self) -> None:
        assert api_base(JOB, {"GITHUB_TOKEN": TOKEN}, "http://ghe.example/api/v3").token == ""


class TestAnswers:
    def test_a_log_comes_from_storage_which_never_sees_the_token(self, github: FakeGitHub) -> None:
        github.put_log(42, b"hello\n")
        with open_api(github, []) as api:
            assert api.log(JOB) == b"hello\n"
        (first, _, sent), (second, path, leaked) = github.asked
        assert sent == f"Bearer {TOKEN}"
        assert path == "/store/42?sig=secret"
        assert first != second
        assert leaked == ""

    def test_jobs_of_a_run_are_read_page_by_page(self, github: FakeGitHub) -> None:
        jobs = [job(number, f"job {number}") for number in range(150)]
        github.put("/repos/o/r/actions/runs/7/jobs?page=1", {"total_count": 150, "jobs": jobs[:100]})
        github.put("/repos/o/r/actions/runs/7/jobs?page=2", {"total_count": 150, "jobs": jobs[100:]})
        with open_api(github, []) as api:
            assert [row["id"] for row in api.jobs(RUN)] == list(range(150))

    def test_a_server_that_stumbles_is_asked_again_and_that_is_reported(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42", b"busy", 502)
        github.put("/repos/o/r/actions/jobs/42", job(42, "x"))
        notes: list[str] = []
        with open_api(github, notes) as api:
            assert api.job(JOB)["name"] == "x"
        assert notes == ["GitHub did not answer, attempt 2 of 3"]

    def test_an_expired_log(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42/logs", {"message": "Gone"}, 410)
        error = refused(github)
        assert error.exit_code is ExitCode.USAGE
        assert "410" in error.what

    def test_a_signed_address_that_has_expired(self, github: FakeGitHub) -> None:
        github.put_log(42, b"")
        github.answers["/store/42"][0].status = 403
        assert "storage" in refused(github).what

    @pytest.mark.parametrize("token", ["", TOKEN])
    def test_no_such_job(self, github: FakeGitHub, token: str) -> None:
        error = refused(github, token=token)
        assert error.exit_code is ExitCode.USAGE
        assert ("GITHUB_TOKEN" in error.then) == (token == "")

    def test_no_token(self, github: FakeGitHub) -> None:
        github.put(
            "/repos/o/r/actions/jobs/42/logs", {"message": "Must have admin rights to Repository."}, 403
        )
        error = refused(github, token="")
        assert "logs and artifacts need a token" in error.cause
        assert "Must have admin rights" in error.what

    def test_a_token_that_is_wrong(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42/logs", {"message": "Bad credentials"}, 401)
        assert "actions:read" in refused(github).cause

    @pytest.mark.parametrize("status", [403, 429])
    def test_the_rate_limit_says_until_when(self, github: FakeGitHub, status: int) -> None:
        github.put(
            "/repos/o/r/actions/jobs/42/logs",
            {"message": "API rate limit exceeded"},
            status,
            X_RateLimit_Remaining="0",
            X_RateLimit_Reset="1780000000",
        )
        error = refused(github)
        assert error.exit_code is ExitCode.USAGE
        assert "2026-05-28 20:26:40 UTC" in error.what

    def test_the_second_rate_limit_says_how_long(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42/logs", {}, 429, Retry_After="60")
        assert "again in 60 s" in refused(github).what

    def test_nothing_answers(self) -> None:
        base = ApiBase(url="http://127.0.0.1:9", token=TOKEN, why="--api")
        notes: list[str] = []
        with GitHub(base, notes.append, retry_wait_s=0) as api, pytest.raises(InfrastructureError) as caught:
            api.job(JOB)
        assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
        assert len(notes) == 2
        assert TOKEN not in caught.value.render()

    def test_a_proxy_answers_instead(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42", b"<html>login</html>")
        with open_api(github, []) as api, pytest.raises(InfrastructureError):
            api.job(JOB)
