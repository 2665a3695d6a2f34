"""The console in a browser. Each case prints a line; the first that fails ends the suite with exit code 1.

Every page must ask nothing of any other host, break no rule of its own content policy, and show axe no serious fault."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from hub import PASSWORD, Hub, code  # noqa: E402

CHROMIUM = os.environ.get("CIVILHUB_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
PHONE = {"width": 390, "height": 844}
PAGES = ["", "/map", "/records", "/failures", "/reviews", "/books", "/alerts", "/citizens", "/ledger", "/adapters",
         "/adapters/funeral", "/partners", "/catalogue", "/doctor"]


class Suite:
    def __init__(self, hub, browser, axe, out):
        self.hub, self.browser, self.axe, self.out = hub, browser, axe, out
        self.pages, self.states, self.foreign, self.broken = {}, {}, [], []

    def fresh(self, **options):
        context = self.browser.new_context(locale="zh-CN", **options)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("request", lambda request: self.foreign.append(request.url) if not request.url.startswith(self.hub.address) else None)
        page.on("console", lambda message: self.broken.append(message.text) if "Content Security Policy" in message.text else None)
        return page

    def login(self, name, **options):
        """A page of this account. A code is good once, so the session is kept for further windows."""
        if name not in self.states:
            page = self.fresh(**options)
            page.goto(self.hub.address + "/console")
            assert page.url.endswith("/console/login"), page.url
            page.get_by_label("姓名").fill(name)
            page.get_by_label("密码").fill(PASSWORD)
            page.get_by_label("验证码").fill(code(self.hub.secrets[name]))
            page.get_by_role("button", name="登录").click()
            page.wait_for_url(self.hub.address + "/console")
            self.states[name] = page.context.storage_state()
            return page
        return self.fresh(storage_state=self.states[name], **options)

    def go(self, page, path):
        return page.goto(self.hub.address + "/console" + path)

    def shot(self, page, name):
        page.screenshot(path=str(self.out / f"{name}.png"), full_page=True)

    def check(self, page, where):
        """No serious fault of accessibility."""
        page.evaluate(self.axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, (where, serious)

    # --- cases, in their order ---

    def nobody_gets_in(self):
        page = self.fresh()
        for path in PAGES:
            self.go(page, path)
            assert page.url.endswith("/console/login"), (path, page.url)
        self.check(page, "login")
        self.shot(page, "login")
        page.get_by_label("姓名").fill("ops")
        page.get_by_label("密码").fill("not the password at all")
        page.get_by_label("验证码").fill(code(self.hub.secrets["ops"]))
        page.get_by_role("button", name="登录").click()
        assert "不正确" in page.get_by_role("alert").inner_text()
        answer = page.request.post(self.hub.address + "/console/failures/replay", form={"reason": "none at all", "count": "1"})
        assert answer.url.endswith("/console/login"), answer.url

    def overview_under_load(self):
        page = self.login("ops")
        times = []
        for _ in range(10):
            began = time.perf_counter()
            answer = page.request.get(self.hub.address + "/console")
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status == 200
            time.sleep(0.2)
        self.go(page, "")
        rows = page.get_by_role("region", name="业务系统").locator("tbody tr")
        assert rows.count() == 28, rows.count()
        assert page.get_by_role("region", name="机构").locator("tbody tr").count() >= 3
        self.shot(page, "overview-under-load")
        times.sort()
        # The machine is shared: the figure is printed, the bound is loose.
        assert times[5] < 2_000, times
        return f"median {times[5]:.0f} ms, worst {times[-1]:.0f} ms while records flow"

    def every_page_is_accessible(self):
        self.hub.settled()
        page = self.login("admin")
        self.go(page, "/doctor")
        for path in PAGES:
            answer = self.go(page, path)
            assert answer.status == 200, (path, answer.status)
            assert page.locator("h1").count() == 1 and page.locator("main").count() == 1, path
            self.check(page, path)
            self.shot(page, "page" + (path or "/overview").replace("/", "-"))
        self.go(page, "/failures")
        page.get_by_role("link", name="English").click()
        assert page.locator("html").get_attribute("lang") == "en" and page.url.endswith("/failures")
        assert page.locator("h1").inner_text() == "Failures"
        self.check(page, "english")
        self.shot(page, "english")
        page.get_by_role("link", name="中文").click()
        assert page.locator("h1").inner_text() == "失败"
        return f"{len(PAGES)} pages"

    def a_record_by_its_case_number(self):
        number, event = self.hub.case()
        page = self.login("ops")
        self.go(page, "/records")
        page.get_by_label("案件号").fill(number)
        page.get_by_role("button", name="查找").click()
        page.get_by_role("link", name=event).click()
        text = page.locator("ol.steps").inner_text()
        assert "收到" in text and "已交付" in text, text
        assert page.locator("h1").inner_text() == "记录详情"
        self.check(page, "record")
        self.shot(page, "record")
        self.go(page, "/records?q=" + number[:-1])
        assert page.get_by_role("link", name=event).count() == 0, "a part of a number finds nothing"
        answer = self.go(page, "/records?q=220171197001010053")
        assert answer.status == 422 and "CH-8309" in page.locator("main").inner_text()

    def a_failure_is_replayed(self):
        page = self.login("ops")
        self.go(page, "/failures")
        kinds = page.get_by_role("region", name="按种类").locator("tbody tr")
        for index in range(kinds.count()):
            self.go(page, "/failures")
            kinds.nth(index).get_by_role("link").click()
            button = page.get_by_role("button", name="重放这")
            if button.count() and page.locator("text=须由另一人批准").count() == 0:
                break
        else:
            raise AssertionError("there is nothing to replay")
        self.check(page, "kind of failure")
        self.shot(page, "failure")
        count = int(page.locator("input[name=count]").get_attribute("value"))
        page.get_by_label("理由").fill("浏览器测试重放")
        button.click()
        page.wait_for_url(self.hub.address + "/console/failures")
        self.shot(page, "replay")
        rows = [row for row in self.hub.ledger() if row["kind"] == "replayed" and "浏览器测试重放" in row["body"].get("reason", "")]
        assert len(rows) == count and rows[0]["body"]["reason"].startswith("ops: "), (count, rows[:1])
        return f"{count} letters"

    def a_review_is_decided(self):
        before = self.hub.json("identity", "review", "list", "--state", "open")
        assert before, "the province has no question"
        page = self.login("rev")
        self.go(page, "/reviews")
        link = page.get_by_role("region", name="待处理").get_by_role("link").first
        item = link.inner_text()
        link.click()
        assert "*" in page.get_by_role("region", name="逐项比较").inner_text(), "values are masked"
        self.check(page, "review")
        self.shot(page, "review")
        page.get_by_role("button", name="两个人").or_(page.get_by_role("button", name="记录有误")).first.click()
        assert page.url.endswith(item), "without a reason the browser does not send it"
        page.locator("form", has=page.get_by_role("button", name="以后再定")).get_by_label("理由").fill("浏览器测试：核对过档案")
        page.get_by_role("button", name="两个人").or_(page.get_by_role("button", name="记录有误")).first.click()
        page.wait_for_url(self.hub.address + "/console/reviews")
        closed = [one for one in self.hub.json("identity", "review", "list", "--state", "closed") if one["id"] == item]
        assert closed and closed[0]["decision"] == "rejected" and closed[0]["note"].startswith("rev: "), closed

    def plain_values_need_a_reason(self):
        letter = next(one for one in self.hub.json("dead", "list", "--limit", "1000") if one["stage"] == "route")
        path = "/records/" + letter["event_id"]
        page = self.login("ops")
        self.go(page, path)
        assert page.get_by_role("button", name="查看明文").count() == 0, "an operator may not"
        page = self.login("aud")
        self.go(page, path)
        shown = page.locator("pre").first.inner_text()
        assert "***" in shown
        page.get_by_label("理由").fill("浏览器测试：信访核查")
        page.get_by_role("button", name="查看明文").click()
        plain = page.locator("pre").first.inner_text()
        assert "***" not in plain and json.loads(plain)["data"]["record"], plain[:200]
        self.go(page, "/ledger")
        assert "浏览器测试：信访核查" in page.get_by_role("region", name="谁看过明文").inner_text()
        seen = [row for row in self.hub.ledger() if row["kind"] == "seen" and row["event_id"] == letter["event_id"]]
        assert [row["body"]["by"] for row in seen] == ["aud"], seen
        self.hub.run("ledger", "verify")
        return "one row in the ledger, its chain verified"

    def a_form_from_elsewhere_is_refused(self):
        page = self.login("ops")
        answer = page.request.post(self.hub.address + "/console/failures/stop", form={"csrf": "0" * 64})
        assert answer.status == 403 and "CH-8303" in answer.text(), answer.status
        answer = page.request.get(self.hub.address + "/console/ledger")
        assert answer.status == 403 and "CH-8302" in answer.text(), answer.status

    def a_county_sees_its_county(self):
        page = self.login("county")
        inside, outside = self.hub.inside, self.hub.outside
        assert self.go(page, "/records/" + inside).status == 200
        assert self.go(page, "/records/" + outside).status == 404
        assert self.go(page, "/failures?division=" + self.hub.elsewhere).status == 404
        assert self.go(page, "/alerts?division=" + self.hub.elsewhere).status == 404
        self.go(page, "/map")
        assert page.locator("svg.map g").count() == 1
        self.go(page, "/failures")
        letters = sum(int(cell) for cell in page.locator("main tbody tr td:nth-child(3)").all_inner_texts())
        all_letters = len(self.hub.json("dead", "list", "--limit", "100000"))
        assert letters < all_letters, (letters, all_letters)
        self.shot(page, "county")
        assert "全省" not in page.locator(".who").inner_text()
        return f"{letters} of {all_letters} letters are its own"

    def by_keyboard_alone(self):
        page = self.fresh()
        page.goto(self.hub.address + "/console/login")
        def tab_to(what):
            for _ in range(60):
                page.keyboard.press("Tab")
                here = page.evaluate("(document.activeElement.name || document.activeElement.innerText || '').trim()")
                if here == what:
                    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    assert style != "none", f"{what} does not show that it is chosen"
                    return
            raise AssertionError(f"{what} is not reached")
        tab_to("name")
        page.keyboard.type("keys")
        tab_to("password")
        page.keyboard.type(PASSWORD)
        tab_to("code")
        page.keyboard.type(code(self.hub.secrets["keys"]))
        page.keyboard.press("Enter")
        page.wait_for_url(self.hub.address + "/console")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", "the first stop leads to the content"
        tab_to("记录")
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/records")
        tab_to("q")
        number, event = self.hub.case()
        page.keyboard.type(number)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/records?q=**")
        tab_to(event)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/records/" + event + "**")

    def on_a_phone(self):
        page = self.login("admin", viewport=PHONE, is_mobile=True, has_touch=True)
        for path in PAGES:
            self.go(page, path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE["width"] + 1, (path, wide)
        self.go(page, "")
        self.check(page, "phone")
        self.shot(page, "phone")
        self.go(page, "/failures")
        self.shot(page, "phone-failures")

    def a_second_person_approves(self):
        """A replay above the size that one person may start."""
        self.hub.many()
        page = self.login("ops")
        self.go(page, "/failures")
        page.get_by_role("row", name="CH-9999").get_by_role("link").click()
        page.get_by_label("理由").fill("四眼测试")
        page.get_by_role("button", name="重放这").click()
        page.wait_for_url(self.hub.address + "/console/failures")
        assert "待批准" in page.locator("main").inner_text()
        page.get_by_role("button", name="批准").click()
        assert "CH-8308" in page.locator("main").inner_text(), "not by the one who asked"
        second = self.login("ops2")
        self.go(second, "/failures")
        self.check(second, "approval")
        self.shot(second, "approval")
        second.get_by_role("button", name="批准").click()
        second.wait_for_url(self.hub.address + "/console/failures")
        assert "待批准" not in second.locator("main").inner_text()
        reasons = {row["body"]["reason"] for row in self.hub.ledger() if row["kind"] == "replayed" and "四眼测试" in row["body"].get("reason", "")}
        assert reasons == {"ops: 四眼测试; approved by ops2"}, reasons

    def out_again(self):
        page = self.login("ops2")
        self.go(page, "")
        page.get_by_role("button", name="退出").click()
        assert page.url.endswith("/console/login")
        again = self.fresh(storage_state=self.states["ops2"])
        self.go(again, "/failures")
        assert again.url.endswith("/console/login"), "the old cookie is worth nothing"

    def first_page_over_a_million_events(self):
        self.hub.grow(1_000_000)
        page = self.login("ops")
        times = []
        for _ in range(20):
            began = time.perf_counter()
            assert page.request.get(self.hub.address + "/console").status == 200
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.5)
        times.sort()
        assert times[10] < 200, times
        return f"median {times[10]:.1f} ms, worst {times[-1]:.1f} ms"


CASES = ["nobody_gets_in", "overview_under_load", "every_page_is_accessible", "a_record_by_its_case_number", "a_failure_is_replayed",
         "a_review_is_decided", "plain_values_need_a_reason", "a_form_from_elsewhere_is_refused", "a_county_sees_its_county",
         "by_keyboard_alone", "on_a_phone", "a_second_person_approves", "out_again"]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--axe", required=True)
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    cases = CASES + (["first_page_over_a_million_events"] if os.environ.get("CIVILHUB_MILLION") else [])
    hub = Hub()
    try:
        hub.start()
        for name, role in [("ops", "operator"), ("ops2", "operator"), ("rev", "reviewer"), ("aud", "auditor"),
                           ("admin", "administrator"), ("keys", "viewer")]:
            hub.account(name, role)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            suite = Suite(hub, browser, Path(given.axe).read_text(), Path(given.out))
            for case in cases:
                began = time.time()
                if case == "a_county_sees_its_county":
                    hub.choose_county()
                told = getattr(suite, case)() or ""
                print(f"ok {case} ({time.time() - began:.1f} s) {told}", flush=True)
            browser.close()
        assert not suite.foreign, suite.foreign[:3]
        assert not suite.broken, suite.broken[:3]
        print(f"ok nothing from elsewhere, no broken policy; screenshots in {given.out}")
    except BaseException:
        print(hub.tail() if hub.process else "", file=sys.stderr)
        raise
    finally:
        hub.stop()


if __name__ == "__main__":
    main()
