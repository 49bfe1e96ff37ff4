#!/usr/bin/node
// A real browser's fetch, by the contract in ../clients/programs/clients/contract.py. A page of `origin` is opened in a
// headless Chromium, and its script fetches the URL: with the preflight, the refusals and the headers that a web
// application gets to see.

import { readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "./chromium.mjs";

const ORIGIN = "http://app.example.com";
/** How long the reason of a failure may come after the failure. */
const REASON_WITHIN_MS = 2000;

/** Serves one empty page on loopback. */
async function serve() {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>a page of another origin</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** What a page's script would do; it runs in the page. */
async function fetchInPage({ method, url, headers, body }) {
  try {
    const response = await fetch(url, { method, headers, body: body ?? undefined, cache: "no-store", redirect: "manual" });
    const seen = Object.fromEntries(response.headers.entries());
    return { status: response.status, headers: seen, body: await response.text() };
  } catch (error) {
    return { failed: String(error) };
  }
}

async function http(task, origin) {
  if (task.host) return { failed: "a page's script may not set Host" };
  const { hostname } = new URL(origin);
  const server = await serve();
  const { child, browser } = await chromium(`--host-resolver-rules=MAP ${hostname} 127.0.0.1:${server.address().port}`);
  try {
    const page = await browser.newPage();
    // The script sees "Failed to fetch" and no more, as scripts shall; the reason is in the console and the network log.
    const reasons = [];
    let heard;
    const reason = new Promise((resolve) => (heard = resolve));
    page.on("console", (message) => message.type() === "error" && heard(reasons.push(message.text())));
    const network = await page.createCDPSession();
    await network.send("Network.enable");
    network.on("Network.loadingFailed", (event) => {
      const cors = event.corsErrorStatus ? ` (CORS: ${event.corsErrorStatus.corsError})` : "";
      heard(reasons.push(`${event.errorText}${cors}`));
    });
    await page.goto(`${origin}/`);
    const outcome = await page.evaluate(fetchInPage, task);
    // The script's failure and its reason come on ways of their own.
    if (outcome.failed) await Promise.race([reason, new Promise((resolve) => setTimeout(resolve, REASON_WITHIN_MS))]);
    if (outcome.failed) outcome.failed = [outcome.failed, ...new Set(reasons)].join("; ");
    return outcome;
  } finally {
    browser.disconnect();
    child.kill("SIGKILL");
    server.close();
  }
}

const task = JSON.parse(readFileSync(0, "utf8"));
let outcome;
try {
  outcome = task.http ? await http(task.http, task.origin ?? ORIGIN) : { failed: "a browser can only do `http`" };
} catch (error) {
  outcome = { failed: String(error?.message ?? error) };
}
writeSync(1, JSON.stringify(outcome));
process.exit(0);
