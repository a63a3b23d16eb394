"""A browser for the tests of pages: Chromium as the system has it, driven by Playwright."""

import shutil
from contextlib import contextmanager
from importlib.util import find_spec

NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing_browser():
    """Why no page can be tested here; ``None`` where one can be."""
    if not any(map(shutil.which, NAMES)):
        return f"browser: none of {', '.join(NAMES)} is installed"
    lacking = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
    return f"browser: {lacking[0]} is not installed (the extra [browser])" if lacking else None


@contextmanager
def opened(path, width=1440, scheme="light"):
    """A page in Chromium, with a list of the messages and requests that it makes beside its own file."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox: in a container there is none to be had, and the page is our own.
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, NAMES))), args=["--no-sandbox"]
        )
        try:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            noticed = []
            page.on("console", lambda message: noticed.append(message.text))
            page.on("pageerror", lambda error: noticed.append(str(error)))
            page.on("request", lambda request: request.url == path.as_uri() or noticed.append(request.url))
            page.goto(path.as_uri())
            yield page, noticed
        finally:
            browser.close()


def violations(page):
    """What axe-core finds against WCAG 2.2, levels A and AA."""
    from pathlib import Path

    import axe_playwright_python

    axe = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    session = page.context.new_cdp_session(page)  # its scripts are not the page's, whose policy would refuse them
    program = f"{axe}; axe.run({{runOnly: {tags}}}).then((found) => found.violations)"
    options = {"expression": program, "awaitPromise": True, "returnByValue": True}
    return [
        (one["id"], one["nodes"][0]["html"]) for one in session.send("Runtime.evaluate", options)["result"]["value"]
    ]
