"""Headless Chromium with ComfyUI's page, a new one for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comfy_page import BrowserMissing, ComfyPage, open_browser
from comfyui import ComfyServer
from playwright.sync_api import Browser


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
