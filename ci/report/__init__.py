"""SHOW: the record as live views, final table, JUnit, Markdown, HTML and a picture."""
