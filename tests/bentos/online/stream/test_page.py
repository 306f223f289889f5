"""The page `/live` in a real browser: everyone, one subject, old news, many, a phone, the keyboard, a token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from live_support import (
    ACTIVITIES,
    CHROMIUM,
    SECOND,
    STRIDE,
    ServeStreaming,
    Streaming,
    answers_until,
    browser,
    crowd,
    now_us,
    signal_until,
    state_of,
)

from har.streaming.state import Answer
from har.tokens import add_token

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")]

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
ROWS = "#everyone tbody tr"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture
def crowded(streaming: ServeStreaming) -> Streaming:
    served = streaming()
    crowd(served.store, 20, ACTIVITIES)
    return served


def fits(page: Any) -> bool:
    """Whether nothing is cut off at the right, or has to be scrolled to."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_everyone_at_a_glance(crowded: Streaming, chromium: Any) -> None:
    with chromium(viewport=DESKTOP) as page:
        page.goto(f"{crowded.url}/live")
        page.wait_for_selector(ROWS)
        rows = page.locator(ROWS)
        assert rows.count() == 20
        assert page.inner_text("#matches") == "20 subjects, 2 stale"
        assert "unknown" in rows.nth(4).inner_text()
        assert "4 min ago, stale" in rows.nth(6).inner_text()
        assert "3 missing, 2 late" in rows.nth(5).inner_text()
        assert "clock 64 s ahead" in rows.nth(5).inner_text()
        balance = re.sub(r"\s+", " ", page.inner_text("#balance"))
        assert "1,204 received = 1,180 scored + 12 waiting + 5 late + 4 duplicate + 3 rejected" in balance
        assert "It balances" in balance
        counts = page.locator("#counts button")
        assert sum(int(text.split()[-1]) for text in counts.all_inner_texts()) == 20
        # What comes in is seen without a reload.
        answer = answers_until(now_us(), 1, ("RUN",), seed=3)[0]
        crowded.store.write([state_of("a-new-one", replace(answer, confidence=0.77, abstained=False))], {})
        page.wait_for_selector("text=a-new-one")
        assert "77 %" in rows.first.inner_text()
        assert fits(page)


def test_five_hundred_are_found_sorted_and_filtered(streaming: ServeStreaming, chromium: Any) -> None:
    served = streaming()
    crowd(served.store, 500, ACTIVITIES)
    with chromium(viewport=DESKTOP) as page:
        page.goto(f"{served.url}/live")
        page.wait_for_selector(ROWS)
        rows = page.locator(ROWS)
        assert rows.count() == 500
        page.get_by_label("Find").fill("s04")
        assert rows.count() == 10
        page.get_by_label("Find").fill("")
        page.get_by_label("Show").select_option("stale")
        assert rows.count() == 71
        page.get_by_label("Show").select_option("everyone")
        page.get_by_role("button", name="Confidence").click()
        shown = [int(text.rstrip(" %")) for text in page.locator(f"{ROWS} td:nth-child(3)").all_inner_texts()]
        assert shown == sorted(shown)
        assert page.locator("th[aria-sort]").get_attribute("data-sort") == "confidence"
        page.get_by_role("button", name="Confidence").click()
        shown = [int(text.rstrip(" %")) for text in page.locator(f"{ROWS} td:nth-child(3)").all_inner_texts()]
        assert shown == sorted(shown, reverse=True)
        walking = page.get_by_role("button", name=re.compile("WALK"))
        walking.click()
        assert set(page.locator(f"{ROWS} .activity > span:nth-child(2)").all_inner_texts()) == {"WALK"}
        assert walking.get_attribute("aria-pressed") == "true"


def test_a_phone_shows_it_without_scrolling_sideways(crowded: Streaming, chromium: Any) -> None:
    given = answers_until(now_us(), 300, ACTIVITIES)
    crowded.store.write([state_of("s001", given[-1])], {"s001": given})
    with chromium(viewport=PHONE, color_scheme="dark", is_mobile=True, has_touch=True) as page:
        page.goto(f"{crowded.url}/live")
        page.wait_for_selector(ROWS)
        assert fits(page)
        assert page.locator(ROWS).first.locator("small").is_visible()  # the confidence, whose column is hidden
        page.get_by_role("link", name="s001").tap()
        page.wait_for_selector("#minutes tbody tr")
        crowded.store.write_signal("s001", signal_until(now_us()))
        page.wait_for_selector("#plots canvas")
        assert fits(page)
        dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert max(int(value) for value in re.findall(r"\d+", dark)[:3]) < 64


def test_one_subject_while_it_comes_in(streaming: ServeStreaming, chromium: Any) -> None:
    served = streaming()
    end = now_us() - 4 * SECOND
    given = answers_until(end, 200, ("SIT", "WALK"))
    given[-1] = replace(given[-1], activity="SIT", abstained=False, unknown=False)
    served.store.write([state_of("s001", given[-1])], {"s001": given})
    served.store.write_ledger({"total": {}, "subjects": {"s001": {"received": 9, "scored": 8, "waiting": 1}}})
    with chromium(viewport=DESKTOP) as page:
        page.goto(f"{served.url}/live#/s001")
        page.wait_for_selector("#answers li")
        assert page.locator("#now").inner_text().startswith("SIT")
        assert page.locator("#answers li").count() == 12
        assert page.locator("#minutes th").all_inner_texts()[3:] == ["SIT", "WALK", "uncertain"]
        assert page.title() == "s001: activities"
        new = Answer(given[-1].start_us + STRIDE, given[-1].end_us + STRIDE, "RUN", 0.91, False, 3, "", True)
        served.store.write([state_of("s001", new)], {"s001": [new]})
        page.wait_for_selector("#now :text('RUN')")
        assert "unknown" in page.inner_text("#now")
        assert "91 %" in page.locator("#answers li").first.inner_text()
        assert "s001: RUN, unlike the training data" in page.locator("[role=status]").inner_text()
        served.store.write_signal("s001", signal_until(now_us()))
        page.wait_for_selector("#plots canvas[aria-label*='accel_x from']")
        drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v)"
        assert all(page.eval_on_selector_all("#plots canvas, #band", f"all => all.map({drawn})"))
        assert "It balances" in page.inner_text("#messages")


def test_the_keyboard_is_enough(crowded: Streaming, chromium: Any) -> None:
    given = [replace(one, abstained=False) for one in answers_until(now_us(), 60, ("SIT", "WALK"), seed=2)]
    crowded.store.write([state_of("s000", given[-1])], {"s000": given})
    with chromium(viewport=DESKTOP) as page:
        page.goto(f"{crowded.url}/live")
        page.wait_for_selector(ROWS)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.get_by_role("link", name="s000").focus()
        with page.expect_response("**/subjects"):
            pass
        # What is new does not take the focus away.
        assert page.evaluate("document.activeElement.textContent") == "s000"
        page.keyboard.press("Enter")
        page.wait_for_selector("#answers li")
        assert page.evaluate("document.activeElement.id") == "subject-title"
        page.locator("#band").focus()
        page.keyboard.press("Home")
        first = page.locator("#band").get_attribute("aria-valuetext")
        page.keyboard.press("ArrowRight")
        second = page.locator("#band").get_attribute("aria-valuetext")
        assert re.fullmatch(r"\d\d:\d\d:\d\d to \d\d:\d\d:\d\d: (SIT|WALK)(, unlike the training data)?", first or "")
        assert first != second
        assert second in page.inner_text("#band-text")
        page.get_by_role("link", name="← Everyone").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(ROWS)


def test_every_control_has_a_name_and_every_part_a_landmark(crowded: Streaming, chromium: Any) -> None:
    with chromium(viewport=DESKTOP) as page:
        page.goto(f"{crowded.url}/live")
        page.wait_for_selector(ROWS)
        nameless = """all => all.filter(one => !one.textContent.trim() && !one.labels?.length
            && !one.getAttribute('aria-label')).map(one => one.outerHTML)"""
        assert page.eval_on_selector_all("button, input, select, a, canvas", nameless) == []
        assert page.locator("main, header, html[lang=en], table caption, [role=status][aria-live=polite]").count() == 6
        assert page.get_by_role("table").get_by_role("columnheader").count() == 6
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CONTRASTS) == []


CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (v) => v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = parts(colour).slice(0, 3).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const one of document.querySelectorAll("main *, header *")) {
    const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!says || !one.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${one.tagName} ${one.className} ${one.textContent.slice(0, 20)}: ${contrast}`);
  }
  return found;
}"""
"""Texts whose contrast is below what WCAG 2.2 AA asks of text (1.4.3)."""


def test_old_news_is_called_old(streaming: ServeStreaming, chromium: Any) -> None:
    served = streaming()
    answer = answers_until(now_us() - 240 * SECOND, 1, ("SIT",))[0]
    served.store.write([state_of("s01", answer, silent_s=240)], {"s01": [answer]})
    with chromium(viewport=DESKTOP, reduced_motion="reduce") as page:
        page.goto(f"{served.url}/live")
        page.wait_for_selector(ROWS)
        assert "No consumer has reported yet" in page.inner_text("#notice")
        page.goto(f"{served.url}/live#/s01")
        page.wait_for_selector("#now .mark.stale")
        assert "Last heard 4 min ago: this is no longer the present" in page.inner_text("#heard")
        served.store.write_ledger({"total": {"received": 0}, "reported_us": now_us() - 600 * SECOND})
        page.get_by_role("link", name="← Everyone").click()
        page.wait_for_selector("#notice:has-text('No consumer runs: the last one reported 10 min ago')")


@pytest.mark.release
def test_it_says_when_the_store_or_the_service_is_away(streaming: ServeStreaming, chromium: Any) -> None:
    served = streaming()
    crowd(served.store, 3, ACTIVITIES)
    folder = served.service.settings.path("stream")
    with chromium(viewport=DESKTOP) as page:
        page.goto(f"{served.url}/live")
        page.wait_for_selector(ROWS)
        served.store.close()
        folder.rename(folder.with_name("gone"))
        folder.write_text("a file in the folder's place")
        page.wait_for_selector("#notice.bad:has-text('the hot store')")
        assert page.locator(ROWS).count() == 3  # what was known stays
        folder.unlink()
        folder.with_name("gone").rename(folder)
        page.wait_for_selector("#notice", state="hidden")
        page.route("**/subjects", lambda route: route.abort())
        page.wait_for_selector("#notice.bad:has-text('The service does not answer')")
        page.unroute("**/subjects")
        page.wait_for_selector("#notice", state="hidden")


def test_without_a_stream_it_asks(crowded: Streaming, chromium: Any) -> None:
    with chromium(viewport=DESKTOP) as page:
        page.route(
            "**/live", lambda route: route.fulfill(status=429) if "subjects" in route.request.url else route.continue_()
        )
        page.goto(f"{crowded.url}/live#/s002")
        page.wait_for_selector("#answers li")
        assert "asks every 3 s" in page.inner_text("#no-signal")


def test_a_visitor_from_elsewhere_signs_in(streaming: ServeStreaming, chromium: Any) -> None:
    served = streaming(pages="token")
    crowd(served.store, 3, ACTIVITIES)
    token = add_token(served.service.settings.path("feedback_token"), "gym")
    with chromium(viewport=PHONE, extra_http_headers={"X-Forwarded-For": "203.0.113.9"}) as page:
        page.goto(f"{served.url}/live")
        page.get_by_label("Token").fill("x" * 20)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("text=The service does not know this token.")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_selector(ROWS)
        assert token not in page.url
        assert token not in page.evaluate("document.cookie + JSON.stringify(localStorage)")
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.goto(f"{served.url}/live#/s001")
        page.wait_for_selector("#answers li")  # the stream has the cookie
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_selector("#token")
        assert page.context.cookies() == []
