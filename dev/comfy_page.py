"""ComfyUI's page in headless Chromium, for tests and tools. Knows the front end's own objects, not the pack's."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from front_end import chosen_version, static_folder
from places import find_chromium
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, Route, sync_playwright

READY_MS = 60_000
RUN_MS = 180_000

# Without these Chromium looks for updates and other services at every start, which a closed network answers slowly.
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
QUIET += ("--disable-component-update", "--disable-sync")


class BrowserMissing(RuntimeError):
    """There is no Chromium; the message says how to get one."""


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        raise BrowserMissing(
            "Chromium is missing. Install it, e.g. `sudo apt-get install chromium`, or set CHROMIUM=/path/to/it."
        )
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium has no sandbox for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*QUIET, *["--no-sandbox"] * is_root])
        yield browser
        browser.close()


@dataclass(frozen=True)
class PageError:
    """An error that the browser reported: its text, and the file that it is about or that raised it."""

    text: str
    url: str


@dataclass
class ComfyPage:
    """A page that collects every error from the moment it is made.

    version: of the front end, "" for the one that ComfyUI pins; another than the server's own is put in its place.
    """

    page: Page
    base_url: str
    version: str = field(default_factory=chosen_version)
    errors: list[PageError] = field(default_factory=list)
    errors_at_start: int = 0

    def __post_init__(self) -> None:
        self.page.set_default_timeout(READY_MS)  # Playwright's own is half of it
        self.page.on("console", self._note_console)
        self.page.on("pageerror", self._note_exception)
        if self.version != chosen_version():
            self._replace_front_end()

    def _replace_front_end(self) -> None:
        root = static_folder(self.version)

        def answer(route: Route) -> None:
            file = root / (urlsplit(route.request.url).path.lstrip("/") or "index.html")
            if file.is_file():
                route.fulfill(path=file)
            else:
                route.continue_()

        self.page.route(lambda url: not urlsplit(url).path.startswith(("/api/", "/extensions/")), answer)
        with contextlib.suppress(Error):  # unknown to a Chromium that lets such a page talk to this machine anyway
            self.page.context.grant_permissions(["local-network-access"])

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(PageError(message.text, message.location["url"]))

    def _note_exception(self, error: Error) -> None:
        self.errors.append(PageError(f"{error.message}\n{error.stack}", ""))

    def open(self, node_type: str) -> None:
        """Loads the page and waits until the graph editor is there and knows `node_type`."""
        self.page.goto(self.base_url)
        is_ready = (
            "type => !!(window.app?.graph && app.extensionManager && window.LiteGraph?.registered_node_types[type])"
        )
        self.page.wait_for_function(is_ready, arg=node_type, timeout=READY_MS)
        self.errors_at_start = len(self.errors)

    def unexpected_errors(self) -> list[PageError]:
        """Errors since the page was ready, and those of any pack's own files since ever.

        ComfyUI itself reports errors while it loads, and it looks for a service that its own policy forbids.
        """
        of_packs = [error for error in self.errors[: self.errors_at_start] if "/extensions/" in error.text + error.url]
        later = [error for error in self.errors[self.errors_at_start :] if "https://api.comfy.org/" not in error.text]
        if self.version:  # a page that is newer than its server asks for routes that are not there
            later = [error for error in later if "/extensions/" in error.text + error.url or "/style_rag/" in error.url]
        return of_packs + later

    def sidebar_tab(self, title: str) -> Locator:
        """The button that opens a tab of the sidebar."""
        return self.page.get_by_role("button", name=title, exact=True)

    def search_nodes(self, words: str) -> Locator:
        """Opens the box in which nodes are searched, and returns its field with the words in it; Enter adds the best.

        By its command, not by a double click on the canvas, whose two halves may come too late on a slow machine.
        """
        self.page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle').then(() => null)")
        field = self.page.locator("input[role=combobox]").last
        field.fill(words)
        return field

    def load_workflow(self, workflow: dict[str, Any], name: str) -> None:
        """Opens a workflow, and its graph if the page shows it as an app."""
        self.page.evaluate("([workflow, name]) => app.loadGraphData(workflow, true, true, name)", [workflow, name])
        self.show_graph()

    def show_graph(self) -> None:
        """Leaves the app that the open workflow is shown as, if it is."""
        if self.page.evaluate("!!app.graph.extra.linearMode"):
            run = self.page.get_by_test_id("linear-run-button").first
            run.wait_for(timeout=READY_MS)
            self.page.evaluate("app.extensionManager.command.execute('Comfy.ToggleLinear').then(() => null)")
            run.wait_for(state="hidden", timeout=READY_MS)

    def show_templates(self, category: str) -> None:
        """Opens the template browser at a category: for a pack, the name of its folder."""
        self.page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates').then(() => null)")
        self.page.get_by_text(category, exact=True).click()

    def template(self, name: str) -> Locator:
        """The card of a template in the template browser; a click on it opens the workflow."""
        return self.page.get_by_test_id(f"template-workflow-{name}")

    def export(self) -> dict[str, Any]:
        """The open graph as {"workflow": editor form, "api": API form}."""
        # Made into text in the page: the way out turns what is undefined into null.
        text = self.page.evaluate(
            "app.graphToPrompt().then(o => JSON.stringify({workflow: o.workflow, api: o.output}))"
        )
        return json.loads(text)

    def node_types(self) -> list[str]:
        return self.page.evaluate("app.graph.nodes.map(node => node.type)")

    def red_nodes(self) -> list[str]:
        """Types of nodes that the editor marks as broken or does not know."""
        is_red = "node.has_errors || !LiteGraph.registered_node_types[node.type]"
        return self.page.evaluate(f"app.graph.nodes.filter(node => {is_red}).map(node => node.type)")

    def warnings(self) -> list[str]:
        """What the page says of a workflow by itself: in a dialog, or laid over the canvas."""
        said = self.page.get_by_role("dialog").or_(self.page.get_by_test_id("error-overlay"))
        return said.all_inner_texts()

    def cut_nodes(self) -> list[str]:
        """Types of nodes that are smaller than their widgets and sockets need."""
        is_cut = "node.computeSize().some((needed, axis) => needed > node.size[axis])"
        return self.page.evaluate(f"app.graph.nodes.filter(node => {is_cut}).map(node => node.type)")

    def queue(self) -> None:
        """Presses the button that runs the workflow."""
        self.page.locator('[data-testid="queue-button"]').first.click()

    def wait_for_output(self, node_id: str, timeout_ms: int = RUN_MS) -> dict[str, Any]:
        """What the page has received as the output of a node, once it has."""
        self.page.wait_for_function("id => !!app.nodeOutputs[id]", arg=node_id, timeout=timeout_ms)
        return self.page.evaluate("id => app.nodeOutputs[id]", node_id)

    def wait_for_pictures(self) -> dict[str, list[list[int]]]:
        """The pictures that the editor draws on nodes, once all are loaded: node id to their widths and heights."""
        shown = "app.graph.nodes.filter(node => app.nodeOutputs[node.id]?.images)"
        is_loaded = "node => node.imgs?.length && node.imgs.every(image => image.complete && image.naturalWidth)"
        sizes = "node => [node.id, node.imgs.map(image => [image.naturalWidth, image.naturalHeight])]"
        # One look for both: the editor takes a node's pictures away while it loads others.
        read = f"nodes.every({is_loaded}) && Object.fromEntries(nodes.map({sizes}))"
        look = f"() => {{ const nodes = {shown}; return {read}; }}"
        return self.page.wait_for_function(look, timeout=READY_MS).json_value()
