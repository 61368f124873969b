"""The terminal's view as a picture."""

from xml.etree import ElementTree as ET

from hypothesis import given, settings

from ci.catalog.limits import ReportLimits
from ci.report.final.svg import picture
from ci.report.log_tail import LogTails
from support.records import EVENTS, events_of, record_of
from support.report_texts import full_of, texts

TAILS = LogTails(EVENTS, lines=5)


class TestPicture:
    @settings(max_examples=20)
    @given(words=texts)
    def test_it_is_xml_and_one_file(self, report_limits: ReportLimits, words: str) -> None:
        source = picture(full_of(words), tails=TAILS, limits=report_limits)
        root = ET.fromstring(source)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "url(http" not in source
        assert "@font-face" not in source

    def test_it_is_the_same_each_time(self, report_limits: ReportLimits) -> None:
        one, two = (
            picture(record_of("stage-b"), events_of("stage-b"), tails=TAILS, limits=report_limits)
            for _ in range(2)
        )
        assert one == two
        for words in ("stage-b-amd", "FLAKY", "FAILED"):
            assert words in one
