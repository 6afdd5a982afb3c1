import os
import shutil
from pathlib import Path

import pytest


def leave_out(reason: str) -> None:
    """Skip a browser test without a browser, or fail it if browser tests are required."""
    if os.environ.get("SPACY_MSVSE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium():
    try:
        from playwright import sync_api as playwright
    except ImportError:
        leave_out("needs Playwright")
    with playwright.sync_playwright() as driver:
        path = shutil.which("chromium") or driver.chromium.executable_path
        if not Path(path).exists():
            leave_out("needs a Chromium: install it, or run `playwright install chromium`")
        # In a container, Chromium's own sandbox cannot be set up.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
