"""The terminal's view as a picture."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings

from ci.catalog.limits import ReportLimits
from ci.report.final.svg import picture
from ci.report.log_tail import LogTails
from support.records import EVENTS, record_of
from support.report_texts import full_of, texts


@pytest.fixture(scope="module")
def tails(report_limits: ReportLimits) -> LogTails:
    return LogTails(EVENTS, lines=report_limits.tail_lines)


class TestPicture:
    @settings(max_examples=20)
    @given(words=texts)
    def test_it_is_xml_and_one_file(self, report_limits: ReportLimits, tails: LogTails, words: str) -> None:
        source = picture(full_of(words), tails=tails, limits=report_limits)
        root = ET.fromstring(source)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "url(http" not in source
        assert "@font-face" not in source

    def test_it_is_the_same_each_time(self, report_limits: ReportLimits, tails: LogTails) -> None:
        one, two = (picture(record_of("stage-b"), tails=tails, limits=report_limits) for _ in range(2))
        assert one == two
        assert "stage-b-amd" in one
