"""docs/http_api.md, which shows the client script that `make demo` runs."""

from places import ROOT


def test_the_page_shows_the_script_as_it_is():
    script = (ROOT / "docs" / "sketch_to_picture.py").read_text(encoding="utf-8")
    assert f"```python\n{script}```\n" in (ROOT / "docs" / "http_api.md").read_text(encoding="utf-8")
