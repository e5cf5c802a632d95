"""What the Styles tab shows while an answer is on its way, in a page of its own: the answers are kept back."""

from __future__ import annotations

import re
from typing import Any

from comfy_page import ComfyPage
from comfyui import ComfyServer
from http_calls import add, call
from playwright.sync_api import ViewportSize, expect

MANY, FEW = "many to leave", "few to choose"
SHORT: ViewportSize = {"width": 1000, "height": 500}
TALL: ViewportSize = {"width": 1000, "height": 1400}
SLOW_MS = 60_000


def test_another_knowledge_base_is_never_asked_for_the_thumbnails_of_the_last(
    browser_page: ComfyPage, comfy_server: ComfyServer
) -> None:
    """The tab is drawn again while the labels of the one that was chosen are on their way."""
    add(comfy_server, MANY, range(60))
    few = set(add(comfy_server, FEW, [70, 71]))
    page = browser_page.page
    page.set_viewport_size(SHORT)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    browser_page.open("RetrieveStyle")
    browser_page.sidebar_tab("Styles").click()
    tab = page.locator(".style-rag")
    tab.get_by_label("Knowledge base").select_option(MANY)
    expect(tab.get_by_role("status")).to_have_text("60 styles", timeout=SLOW_MS)
    cells = tab.locator(".style-rag-cell")
    drawn = cells.count()

    waiting: list[Any] = []
    page.route(re.compile(r"/few%20to%20choose/labels$"), lambda route: waiting.append(route))
    tab.get_by_label("Knowledge base").select_option(FEW)
    while not waiting:
        page.wait_for_timeout(20)
    page.set_viewport_size(TALL)  # room for more than was drawn
    page.wait_for_timeout(300)
    assert 0 < drawn < 60
    assert cells.count() == 0

    waiting[0].continue_()
    expect(tab.get_by_role("status")).to_have_text("2 styles", timeout=SLOW_MS)
    expect(cells.locator("img")).to_have_count(2)
    page.wait_for_function("[...document.querySelectorAll('.style-rag-cell img')].every(image => image.naturalWidth)")
    thumbnails = [re.search(r"/few%20to%20choose/styles/(\w+)/thumbnail", url) for url in asked]
    assert {found[1] for found in thumbnails if found} == few
    assert call(comfy_server, "GET", "many%20to%20leave/styles").json["total"] == 60
    assert not browser_page.unexpected_errors()


def test_labels_that_come_too_late_are_dropped(browser_page: ComfyPage, comfy_server: ComfyServer) -> None:
    """The one that was left answers after the one that was chosen."""
    add(comfy_server, "left with tags", [80, 81], tags="old")
    add(comfy_server, "chosen with tags", [82], tags="new")
    page = browser_page.page
    browser_page.open("RetrieveStyle")
    browser_page.sidebar_tab("Styles").click()
    tab = page.locator(".style-rag")
    base, tags = tab.get_by_label("Knowledge base"), tab.get_by_label("Tag", exact=True).locator("option")
    expect(base.locator("option[value='left with tags']")).to_have_count(1, timeout=SLOW_MS)

    waiting: list[Any] = []
    page.route(re.compile(r"/left%20with%20tags/labels$"), lambda route: waiting.append(route))
    base.select_option("left with tags")
    while not waiting:
        page.wait_for_timeout(20)
    base.select_option("chosen with tags")
    expect(tags).to_have_text(["All tags", "new (1)"], timeout=SLOW_MS)
    waiting[0].continue_()
    page.wait_for_timeout(1000)
    expect(tags).to_have_text(["All tags", "new (1)"])
    expect(tab.get_by_role("status")).to_have_text("1 styles")
    assert not browser_page.unexpected_errors()
