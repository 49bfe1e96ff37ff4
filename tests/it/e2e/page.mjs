// Checks a report page in a browser, by the actions of a reader: `node page.mjs URL` prints one line for each check,
// and exits with 1 if a check failed. It runs in the image `browser`.

import { chromium } from "/opt/parallax/browser/chromium.mjs";

const RED = "presign/presigned-url+no-rewrite";
/** A step in an area that is closed at first. */
const CLOSED = "area7/presigned-url:put";
const WITHIN_MS = 120000;
/** Longer than all checks on a busy machine: a browser that hangs must not hang the tests. */
setTimeout(() => {
  console.log("FAILED the checks did not end in time");
  process.exit(2);
}, 540000).unref();

const [, , url] = process.argv;
const { child, browser } = await chromium();
let failed = 0;

/** Opens the page, with what the browser complains about in `page.complaints`. */
async function open(hash = "", { script = true, width = 1280, dark = false } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(WITHIN_MS);
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(error.message));
  page.on("console", (message) => page.complaints.push(message.text()));
  page.on("request", (request) => {
    if (request.url().split("#")[0] !== url) page.complaints.push(`asks for ${request.url()}`);
  });
  await page.setJavaScriptEnabled(script);
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  await page.goto(url + hash, { waitUntil: "load", timeout: WITHIN_MS });
  return page;
}

/** One check: what it finds must be what is expected. */
async function check(name, expected, find) {
  let found;
  try {
    found = await find();
  } catch (error) {
    found = `error: ${error.message}`;
  }
  const same = JSON.stringify(found) === JSON.stringify(expected);
  if (!same) failed += 1;
  console.log(same ? `ok ${name}` : `FAILED ${name}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found).slice(0, 400)}`);
}

/** The variants that a person sees, after `input` events had their effect. */
const seen = (page) =>
  page.evaluate(() => [...document.querySelectorAll(".variant")].filter((it) => !it.hidden).map((it) => it.id));
/** Whether a condition comes true. */
const until = (page, condition, ...values) =>
  page.waitForFunction(condition, { timeout: 10000 }, ...values).then(
    () => true,
    () => false,
  );
/** A click. That it was not possible is seen by the check after it. */
const click = (page, selector) => page.click(selector).catch(() => {});
const inView = (id) => {
  const box = document.getElementById(id)?.querySelector("summary").getBoundingClientRect();
  return Boolean(box && box.height > 0 && box.top >= 0 && box.bottom <= innerHeight);
};

const page = await open();
const variants = await seen(page);
await check("more than 240 variants", true, async () => variants.length > 240);
await check("the verdict is the first thing", ["the system under test is not as declared", "1 failed"], () =>
  page.evaluate(() => [document.querySelector("main h1").innerText, document.querySelector(".counts span").innerText]),
);
await check("failures come before the timeline, and it before the scenarios", true, () =>
  page.evaluate(() => {
    const at = ["#px-failures", "#px-timeline", "#px-scenarios"].map((it) => document.querySelector(it));
    return at.every((it, index) => index === 0 || at[index - 1].compareDocumentPosition(it) & Node.DOCUMENT_POSITION_FOLLOWING);
  }),
);
await check("only the red area, scenario and variant are open", ["presign", "presign/presigned-url", RED], () =>
  page.evaluate(() => {
    const name = (it) => it.id || it.querySelector(".name").textContent;
    return [...document.querySelectorAll(".area[open], .scenario[open], .variant[open]")].map(name);
  }),
);
await check("both vantages stand side by side, and the DNS answer differs", [["app", "host", "app"], true], () =>
  page.evaluate(() => {
    const table = document.querySelector(".red .beside");
    const from = [...table.querySelectorAll("thead .from")].map((it) => it.innerText.replace("from ", ""));
    const dns = [...table.querySelectorAll("tbody tr")].find((it) => it.querySelector("th").innerText === "DNS answer");
    const cells = [...dns.querySelectorAll("td")];
    return [from, cells[0].innerText.startsWith("no-such-name") && cells[1].classList.contains("differs")];
  }),
);

await page.keyboard.press("/");
await page.keyboard.type("lb-termination annotation");
await until(page, () => document.querySelector("#px-found").innerText.includes(" of "));
const found = await seen(page);
await check("search leaves what has every word", true, async () =>
  found.length > 0 && found.length < variants.length && found.every((id) => id.includes("lb-termination")),
);
await check("search says how many", `${found.length} of ${variants.length} variants`, () =>
  page.$eval("#px-found", (it) => it.innerText),
);
await page.keyboard.press("Escape");
await check("Escape shows everything", variants.length, async () => (await seen(page)).length);
await page.keyboard.type("/");
await page.keyboard.type("nothing-has-this-word");
await until(page, () => document.querySelector("#px-found").innerText.startsWith("Nothing"));
await check("search without a match leaves nothing", 0, async () => (await seen(page)).length);
await page.keyboard.press("Escape");
await click(page, "[data-show=bad]");
await check("the filter shows the failed alone", [RED], () => seen(page));
await click(page, "[data-show=bad]");
await check("the same filter again shows everything", variants.length, async () => (await seen(page)).length);

await page.keyboard.press("n");
await check("n leads to the first failure", true, () => page.evaluate(() => document.activeElement.matches(".red")));
await page.keyboard.press("?");
await check("? shows the keys", true, () => page.$eval("#px-help", (it) => it.open));
await click(page, "#px-close");

const colours = [];
for (let turn = 0; turn < 3; turn += 1) {
  colours.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  await page.keyboard.press("t");
}
await check("t turns light, dark, light", [true, true], async () => [colours[0] !== colours[1], colours[0] === colours[2]]);

const width = () => page.$eval("#px-wide", (it) => it.offsetWidth);
const whole = await width();
const labels = () => page.$$eval("#px-axis text", (all) => all.length);
const few = await labels();
await page.keyboard.press("+");
await page.keyboard.press("+");
await check("+ zooms the timeline by two", 4, async () => Math.round((await width()) / whole));
await check("the axis has more marks", true, async () => (await labels()) > few);
await page.keyboard.press("0");
await check("0 shows the whole run", whole, width);
await page.$eval("#px-time", (it) => it.scrollIntoView({ block: "center" }));
const axis = await page.$eval("#px-axis", (it) => it.getBoundingClientRect().toJSON());
await page.mouse.move(axis.left + 200, axis.top + 8);
await page.mouse.down();
await page.mouse.move(axis.left + 300, axis.top + 8);
await page.mouse.up();
await check("dragging along the axis zooms into the span", true, async () => (await width()) > 5 * whole);
await check("a bar leads to its variant", true, async () => {
  await page.evaluate((id) => [...document.querySelectorAll(".lanes a")].find((it) => it.getAttribute("href") === `#${id}`).dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true })), RED);
  await until(page, (id) => decodeURIComponent(location.hash) === `#${id}`, RED);
  return page.evaluate(inView, RED);
});
await check("nothing is loaded, and nothing complains", [], async () => page.complaints);
await check("no other script runs", "blocked", () =>
  page.evaluate(async () => {
    const blocked = new Promise((resolve) => addEventListener("securitypolicyviolation", () => resolve("blocked"), { once: true }));
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    return window.ran ? "ran" : blocked;
  }),
);
await page.close();

for (const id of [`${RED}:inside`, CLOSED]) {
  const linked = await open(`#${id}`);
  await check(`the permalink of ${id} opens it`, true, async () => {
    const isInView = await until(linked, inView, id);
    return isInView && linked.evaluate((id) => document.getElementById(id).open, id);
  });
  await linked.close();
}

const narrow = await open("", { width: 400, dark: true });
await check("a narrow window scrolls in one direction", true, () =>
  narrow.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth),
);
await check("dark is as the system says", true, async () =>
  (await narrow.evaluate(() => getComputedStyle(document.body).backgroundColor)) !== colours[0],
);
await narrow.close();

const still = await open("", { script: false });
await check("without a script all is there, and no control that needs one", true, async () => {
  const text = await still.content();
  const controls = await still.$$(".js");
  const shown = await Promise.all(controls.map((it) => it.boundingBox()));
  return text.includes(`id="${CLOSED}"`) && shown.every((it) => it === null);
});

browser.disconnect();
child.kill("SIGKILL");
process.exit(failed > 0 ? 1 : 0);
