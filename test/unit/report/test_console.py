"""Consoles: colours, widths, streams."""

import io

from ci.report.console import Console, open_console
from support.live_views import Terminal


class TestConsole:
    def shown(self, console: Console, stream: io.StringIO) -> str:
        console.print("x" * 300, style="red")
        return stream.getvalue()

    def test_no_terminal_means_120_columns_and_no_colour_whatever_the_caller_sets(self) -> None:
        stream = io.StringIO()
        console = open_console({"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm"}, stdout=stream)
        assert [len(line) for line in self.shown(console, stream).splitlines()] == [120, 120, 60]

    def test_a_terminal_has_colour_unless_no_color_is_set(self) -> None:
        environ = {"TERM": "xterm-256color", "COLUMNS": "80"}
        stream = Terminal()
        assert "\x1b[31m" in self.shown(open_console(environ, stdout=stream), stream)
        stream = Terminal()
        assert "\x1b[31m" not in self.shown(open_console(environ | {"NO_COLOR": "1"}, stdout=stream), stream)

    def test_a_character_that_the_stream_lacks_is_spelled_out(self) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        open_console({}, stdout=stream).print("caf\u00e9 \U0001f600")
        stream.flush()
        assert raw.getvalue().strip() == b"caf\\xe9 \\U0001f600"

    def test_people_read_standard_error_when_json_is_requested(self) -> None:
        stdout, stderr = io.StringIO(), io.StringIO()
        open_console({}, json=True, stdout=stdout, stderr=stderr).print("hello")
        assert (stdout.getvalue(), stderr.getvalue()) == ("", "hello\n")
