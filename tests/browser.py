"""A headless Chromium as a person uses it: by what can be seen, not by how pages are made."""

import os
import pathlib
import shutil
import tempfile

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys  # noqa: F401  (for tests)
from selenium.webdriver.support.ui import Select

from service import BINARY, wait_until  # noqa: F401  (for tests)

DESK, PHONE = (1280, 900), (390, 844)
# Where screenshots of a run go, for people to look at; without it none are taken.
SHOTS = os.environ.get("LARDER_SCREENSHOTS")


def missing():
    """The program that is missing for these tests, if one is."""
    return next((name for name in ("chromium", "chromedriver") if not shutil.which(name)), None)


class Browser:
    """One window, with a profile of its own."""

    def __init__(self, size=DESK, dark=False):
        self.profile = tempfile.TemporaryDirectory(prefix="larder-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={self.profile.name}"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium's sandbox does not work for root
        if dark:
            arguments.append("--blink-settings=preferredColorScheme=0")
        for argument in arguments:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        self.resize(size)

    def close(self):
        self.driver.quit()
        self.profile.cleanup()

    def resize(self, size):
        width, height = size
        # The size of the page, not of the window, which has a least width.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    # -- seeing --------------------------------------------------------------------------------------------------

    @property
    def path(self):
        return "/" + self.driver.current_url.split("/", 3)[3]

    def text(self):
        """The page as it reads."""
        try:
            return self.driver.find_element(By.TAG_NAME, "body").text
        except (NoSuchElementException, StaleElementReferenceException):
            return ""  # between two pages

    def heading(self):
        return self.driver.find_element(By.TAG_NAME, "h1").text

    def waits_for(self, text, patience_s=60):
        wait_until(f"the page says {text!r}; it says:\n{self.text()}", lambda: text in self.text(), patience_s)

    def refusal(self):
        return self.driver.find_element(By.CSS_SELECTOR, "[role=alert]").text

    def code(self, heading):
        """The text to copy below a heading."""
        found = self.driver.find_element(By.XPATH, f"//h2[normalize-space()='{heading}']/following::pre[1]")
        return found.get_attribute("textContent")

    def rows(self):
        """The rows of the page's tables as lists of texts."""
        try:
            rows = self.driver.find_elements(By.CSS_SELECTOR, "tbody tr")
            return [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
        except StaleElementReferenceException:
            return []

    def is_too_wide(self):
        """Whether a person would have to scroll sideways."""
        return self.driver.execute_script("return document.documentElement.scrollWidth > innerWidth")

    def complaints(self):
        """What the browser has to complain about: broken scripts, things that the policy forbids. Not refused forms."""
        severe = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in severe if "the server responded with a status of 4" not in message]

    def shot(self, name):
        if SHOTS:
            folder = pathlib.Path(SHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            height = self.driver.execute_script("return Math.min(document.documentElement.scrollHeight, 3000)")
            width = self.driver.execute_script("return innerWidth")
            self.resize((width, max(height, 600)))
            self.driver.save_screenshot(str(folder / f"{name}.png"))
            self.resize((width, PHONE[1] if width < 600 else DESK[1]))

    # -- doing ---------------------------------------------------------------------------------------------------

    def go(self, url):
        self.driver.get(url)

    def field(self, label):
        """The field with that label."""
        wanted = f"//label[starts-with(normalize-space(), '{label}')]//*[self::input or self::select or self::textarea]"
        return self.driver.find_element(By.XPATH, wanted)

    def type(self, label, text):
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def choose(self, label, value):
        Select(self.field(label)).select_by_value(value)

    def tick(self, label):
        field = self.field(label)
        if not field.is_selected():
            field.click()

    def click(self, text):
        """The button or link with that text; waits for the page that follows."""
        wanted = f"//*[self::button or self::a][normalize-space()='{text}' or b[normalize-space()='{text}']]"
        before = self.driver.find_element(By.TAG_NAME, "html")
        self.driver.find_element(By.XPATH, wanted).click()

        def followed():
            try:
                before.is_enabled()
            except WebDriverException:  # stale, or in the middle of going
                return self.driver.execute_script("return document.readyState") == "complete"
            return False

        wait_until(f"a page follows {text!r}", followed)

    def open(self, summary):
        self.driver.find_element(By.XPATH, f"//summary[normalize-space()='{summary}']").click()

    def sign_in(self, service):
        self.go(service.info["console"])
        self.type("Access key id", service.info["access_key_id"])
        self.type("Secret access key", service.info["secret_access_key"])
        self.click("Sign in")
