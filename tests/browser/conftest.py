"""Headless Chromium with ComfyUI's page, a new one for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comfy_page import BrowserMissing, ComfyPage, open_browser
from comfyui import ComfyServer
from front_end import chosen_version
from playwright.sync_api import Browser

EMPTY = "PreviewAny's empty field is not sent"
MARKED = "nodes whose model files are missing are marked red"
DIFFERS = {
    "api_form[build_knowledge_base]": EMPTY,
    "api_form[compare_with_and_without_rag]": EMPTY,
    "api_form[style_rag_native]": MARKED,
    "api_form[style_rag_sd15]": MARKED,
    "offers_every_file_that_is_missing": "missing files are listed in a panel, not a dialog",
}
"""What newer pages than the one that ComfyUI pins do otherwise, by the end of a test's name; docs/front_end.md."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if chosen_version():
        for item in items:
            for reason in (reason for end, reason in DIFFERS.items() if item.name.endswith(end)):
                item.add_marker(pytest.mark.xfail(reason=reason))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with open_browser() as browser:
            yield browser
    except BrowserMissing as error:
        pytest.fail(str(error))


@pytest.fixture
def browser_page(browser: Browser, comfy_server: ComfyServer) -> Iterator[ComfyPage]:
    """A page that has not been opened yet: `browser_page.open("NodeType")`."""
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    yield ComfyPage(context.new_page(), comfy_server.base_url)
    context.close()
