// Chromium, headless, with the certificates of PARALLAX_CA_BUNDLE as its authorities: it reads an NSS database, which is made
// from them.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

/** A home folder whose NSS database holds each certificate of the bundle as an authority. */
function home() {
  const folder = mkdtempSync(join(tmpdir(), "browser-"));
  const database = join(folder, ".pki", "nssdb");
  mkdirSync(database, { recursive: true });
  const certutil = (...words) => execFileSync("certutil", ["-d", `sql:${database}`, ...words]);
  certutil("-N", "--empty-password");
  const bundle = readFileSync(process.env.PARALLAX_CA_BUNDLE, "utf8");
  const certificates = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  certificates.forEach((certificate, index) => {
    const file = join(folder, `${index}.pem`);
    writeFileSync(file, certificate);
    certutil("-A", "-n", `authority ${index}`, "-t", "C,,", "-i", file);
  });
  return folder;
}

/** Chromium in our own process group, so that whoever ends the group ends it too; with further `flags`. */
export async function chromium(...more) {
  const folder = home();
  const flags = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    `--user-data-dir=${join(folder, "profile")}`,
    ...more,
    "--remote-debugging-port=0",
    "about:blank",
  ];
  const child = spawn("/usr/bin/chromium", flags, {
    env: { ...process.env, HOME: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const endpoint = await new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk) => {
      said = (said + chunk).slice(-16384);
      const listening = said.match(/DevTools listening on (\S+)/);
      if (listening) resolve(listening[1]);
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`chromium ended with ${code}: ${said.slice(-2000)}`)));
  });
  return { child, browser: await puppeteer.connect({ browserWSEndpoint: endpoint }) };
}
