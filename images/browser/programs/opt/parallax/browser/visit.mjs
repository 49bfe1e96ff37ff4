#!/usr/bin/node
// A person at a page: `visit URL` opens it in a headless Chromium and tells as JSON what is to be seen. Standard input may say
// what is done there, in this order: {"type": {"SELECTOR": "text", "SELECTOR": "$VARIABLE"}, "press": "Enter", "until": "text"};
// `until` is what the page must say in the end.

import { readFileSync, writeSync } from "node:fs";
import { chromium } from "./chromium.mjs";

/** A page may take this long to say what it is to say. */
const WITHIN_MS = 10000;
/** So much of what a page says is told. */
const TEXT_LIMIT = 4000;

/** Waits until the page's text holds `text`, and says whether it did. */
async function says(page, text) {
  const there = page.waitForFunction((text) => document.body.innerText.includes(text), { timeout: WITHIN_MS }, text);
  return there.then(
    () => true,
    () => false,
  );
}

/** What a person sees; it runs in the page. */
function look() {
  const shown = (element) => element.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  return {
    url: location.href,
    title: document.title,
    text: document.body.innerText,
    fields: all("input").map((input) => input.id || input.name),
    buttons: all("button, a").map((button) => button.innerText.trim()).filter(Boolean),
  };
}

const [, , url] = process.argv;
const input = readFileSync(0, "utf8").trim();
const task = input ? JSON.parse(input) : {};
const { child, browser } = await chromium();
let seen;
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("requestfailed", (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
  const response = await page.goto(url, { waitUntil: "networkidle2", timeout: WITHIN_MS });
  for (const [selector, text] of Object.entries(task.type ?? {})) {
    await page.waitForSelector(selector, { visible: true, timeout: WITHIN_MS });
    // A secret comes by the environment: what is typed would else stand in the scenario's record.
    await page.type(selector, text.startsWith("$") ? (process.env[text.slice(1)] ?? "") : text);
  }
  if (task.press) await page.keyboard.press(task.press);
  const reached = task.until ? await says(page, task.until) : true;
  seen = { status: response?.status(), reached, ...(await page.evaluate(look)), errors };
  seen.text = seen.text.slice(0, TEXT_LIMIT);
} catch (error) {
  seen = { failed: String(error?.message ?? error) };
} finally {
  browser.disconnect();
  child.kill("SIGKILL");
}
writeSync(1, JSON.stringify(seen));
process.exit(seen.failed ? 1 : 0);
