"""Knowledge bases as a whole in the Styles tab: renamed, copied, backed up, deleted; one that can't be used."""

import shutil
import zipfile

from comfy_page import ComfyPage
from comfyui import ComfyServer
from http_calls import add, call
from playwright.sync_api import Locator, expect


def names(server: ComfyServer) -> set[str]:
    return {base["name"] for base in call(server, "GET", "knowledge_bases").json["knowledge_bases"]}


def chosen(tab: Locator, name: str) -> None:
    expect(tab.get_by_label("Knowledge base")).to_have_value(name)


def test_it_is_renamed_copied_backed_up_and_deleted(browser_page: ComfyPage, comfy_server: ComfyServer) -> None:
    add(comfy_server, "upkeep", [4300, 4301], "one\ntwo")
    browser_page.open("RetrieveStyle")
    browser_page.sidebar_tab("Styles").click()
    tab = browser_page.page.locator(".style-rag")
    tab.locator("select").first.select_option("upkeep")
    group = tab.get_by_role("group", name="Rename, copy, back up or delete")
    expect(group).to_be_hidden()
    tab.get_by_role("button", name="Rename, copy, back up or delete").click()
    expect(group.get_by_label("New name")).to_have_value("upkeep")

    group.get_by_label("New name").fill("../out")
    group.get_by_role("button", name="Rename").click()
    expect(tab.get_by_role("status")).to_contain_text("use 1 to 64 letters")
    group.get_by_label("New name").fill("upkept")
    group.get_by_role("button", name="Rename").click()
    expect(tab.get_by_role("status")).to_have_text("Renamed to “upkept”.")
    chosen(tab, "upkept")
    expect(tab.locator(".style-rag-cell")).to_have_count(2)
    assert names(comfy_server) >= {"upkept"} and "upkeep" not in names(comfy_server)

    tab.get_by_role("button", name="Rename, copy, back up or delete").click()
    group.get_by_label("New name").fill("upkept copy")
    group.get_by_role("button", name="Copy").click()
    expect(tab.get_by_role("status")).to_have_text("Copied to “upkept copy”.")
    chosen(tab, "upkept copy")
    tab.get_by_role("button", name="Rename, copy, back up or delete").click()
    with browser_page.page.expect_download() as download:
        group.get_by_role("link", name="Back up").click()
    assert download.value.suggested_filename == "upkept copy.zip"
    assert "styles.sqlite" in zipfile.ZipFile(download.value.path()).namelist()

    group.get_by_role("button", name="Delete").click()
    expect(tab.get_by_role("status")).to_contain_text("Delete “upkept copy” with its 2 styles?")
    expect(tab.get_by_role("button", name="Keep")).to_be_focused()
    tab.get_by_role("button", name="Keep").click()
    expect(tab.get_by_role("status")).to_have_text("2 styles")
    assert "upkept copy" in names(comfy_server)
    group.get_by_role("button", name="Delete").click()
    tab.get_by_role("button", name="Delete for good").click()
    expect(tab.get_by_role("status")).to_have_text("Deleted “upkept copy”.")
    assert "upkept copy" not in names(comfy_server) and "upkept" in names(comfy_server)


def test_one_that_cannot_be_used_says_why_and_the_others_work(
    browser_page: ComfyPage, comfy_server: ComfyServer
) -> None:
    add(comfy_server, "usable", [4310], "fine")
    broken = comfy_server.base / "user" / "__style_rag" / "0 broken"
    broken.mkdir()
    (broken / "styles.sqlite").write_bytes(b"no database at all" * 1000)
    try:
        browser_page.open("RetrieveStyle")
        browser_page.sidebar_tab("Styles").click()
        tab = browser_page.page.locator(".style-rag")
        bases = tab.locator("select").first
        expect(bases.locator("option[value='0 broken']")).to_have_text("⚠ 0 broken")
        expect(bases).not_to_have_value("0 broken")
        bases.select_option("0 broken")
        expect(tab.get_by_role("status")).to_contain_text("knowledge base '0 broken' can't be used")
        bases.select_option("usable")
        expect(tab.locator(".style-rag-cell")).to_have_count(1)
        bases.select_option("0 broken")
        tab.get_by_role("button", name="Rename, copy, back up or delete").click()
        tab.get_by_role("group", name="Rename, copy, back up or delete").get_by_role("button", name="Delete").click()
        tab.get_by_role("button", name="Delete for good").click()
        expect(tab.get_by_role("status")).to_have_text("Deleted “0 broken”.")
        assert not broken.exists()
    finally:
        shutil.rmtree(broken, ignore_errors=True)
