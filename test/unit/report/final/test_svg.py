"""The terminal's view as a picture."""

from xml.etree import ElementTree as ET

from hypothesis import given, settings

from ci.report.final.svg import picture
from support.records import record_of
from support.report_texts import full_of, texts


class TestPicture:
    @settings(max_examples=20)
    @given(words=texts)
    def test_it_is_xml_and_one_file(self, words: str) -> None:
        source = picture(full_of(words))
        root = ET.fromstring(source)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "url(http" not in source
        assert "@font-face" not in source

    def test_it_is_the_same_each_time(self) -> None:
        one, two = (picture(record_of("stage-b")) for _ in range(2))
        assert one == two
        assert "stage-b-amd" in one
