"""The Styles tab while its server is away, and once it is back. The server is this test's own."""

from __future__ import annotations

from pathlib import Path

from comfy_page import ComfyPage
from comfyui import ComfyServer
from front_end import front_end_arguments
from http_calls import add
from playwright.sync_api import Browser, expect

NAME = "outlives"
SLOW_MS = 90_000
AWAY = ("net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET")  # the second of what was asked as it went


def test_the_tab_survives_a_restart_of_the_server(browser: Browser, tmp_path: Path) -> None:
    with ComfyServer(tmp_path, cpu=True, arguments=front_end_arguments()) as server:
        add(server, NAME, [3701, 3702, 3703], "a harbour\na house\na cat")
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        editor = ComfyPage(context.new_page(), server.base_url)
        editor.open("RetrieveStyle")
        editor.sidebar_tab("Styles").click()
        tab = editor.page.locator(".style-rag")
        status, cells = tab.get_by_role("status"), tab.locator(".style-rag-cell span")
        expect(status).to_have_text("3 styles", timeout=SLOW_MS)
        pictures = "[...document.querySelectorAll('.style-rag-cell img')]"
        editor.page.wait_for_function(f"{pictures}.every(image => image.naturalWidth)", timeout=SLOW_MS)

        server.stop()
        tab.get_by_label("Search styles").fill("a cat")
        away = "The server does not answer. It is asked again once it is back."
        expect(status).to_have_text(away, timeout=SLOW_MS)
        expect(tab.locator(".style-rag-error")).to_have_count(1)

        server.start()
        expect(status).to_have_text("3 best of “a cat”", timeout=SLOW_MS)
        expect(tab.locator(".style-rag-error")).to_have_count(0)
        assert cells.first.inner_text() == "a cat"
        tab.get_by_label("Search styles").fill("")
        expect(status).to_have_text("3 styles", timeout=SLOW_MS)
        assert tab.get_by_label("Knowledge base").input_value() == NAME
        ours = [error for error in editor.unexpected_errors() if "style" in (error.text + error.url).lower()]
        assert not [error for error in ours if not any(away in error.text for away in AWAY)]
        context.close()
