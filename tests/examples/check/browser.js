// An example's login page in a real browser: typed into, clicked, and reloaded while a node dies.

import { spawnSync } from "node:child_process";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

/** What a check returns that could not run, as an exit status. */
export const NOT_RUN = 77;

/** How long a page may take that is asked for while a node has just died. */
const PATIENCE_MS = 20_000;

/** The browser of this machine: what BROWSER names, or else the first of those that are installed. */
function installed() {
  const names = [process.env.BROWSER, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  for (const name of names.filter(Boolean)) {
    const { status, stdout } = spawnSync("/bin/sh", ["-c", 'command -v "$0"', name], { encoding: "utf8" });
    if (status === 0) return stdout.trim();
    if (name === process.env.BROWSER) throw new Error(`BROWSER is ${name}, which is no program`);
  }
}

/** A window of its own, with cookies of its own or a copy of others'. */
async function open(browser, storageState) {
  const page = await (await browser.newContext({ storageState })).newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const text = () => page.locator("body").innerText();
  const button = (name) => page.getByRole("button", { name, exact: true });
  return {
    cookies: () => page.context().storageState(),

    /** The page, opened or reloaded. One that cannot be served says so with a 503, and is asked for again. */
    async visit(url) {
      const patience = Date.now() + PATIENCE_MS;
      for (;;) {
        const answer = page.url() === url ? await page.reload() : await page.goto(url);
        if (answer.status() === 200) return text();
        assert.equal(answer.status(), 503, `${url}: ${await text()}`);
        assert.ok(Date.now() < patience, `${url} is not served: ${await text()}`);
      }
    },

    /** Types into the page's form, clicks the button, and gives the page that comes of it. */
    async submit(name, fields) {
      for (const [field, value] of Object.entries(fields)) {
        await page.locator(`input[name=${field}]`).pressSequentially(value);
      }
      const answer = page.waitForResponse((it) => it.request().isNavigationRequest() && it.status() !== 303);
      await button(name).click();
      assert.equal((await answer).status(), 200, await text());
      await button(name).waitFor({ state: "detached" });
      return text();
    },

    shows: (name) => button(name).isVisible(),
  };
}

/**
 * Logs in with `fields` on the first of the servers, kills a node with `kill`, which gives the servers that are still
 * up, and logs out on the last of these. `revive` starts again what was killed and gives all servers.
 */
export async function walk({ servers, fields, who, kill, revive }) {
  const executablePath = installed();
  if (!executablePath) {
    console.log("*** NOT RUN: the login page in a browser (no chromium or chrome is installed) ***");
    return NOT_RUN;
  }
  const browser = await chromium.launch({
    executablePath,
    // Which root cannot have.
    chromiumSandbox: process.getuid() !== 0,
    args: ["--disable-gpu", "--disable-quic", "--disable-sync"],
  });
  try {
    const window = await open(browser);
    const logged = `Logged in as ${who}.`;
    const out = async (window, servers) => {
      for (const server of servers) {
        const text = await window.visit(server);
        assert.ok(!text.includes(who), `${server}: ${text}`);
        assert.ok(await window.shows("Log in"), `${server}: ${text}`);
      }
    };
    const stillIn = async (servers) => {
      for (const server of servers) assert.match(await window.visit(server), new RegExp(logged), server);
    };

    await out(window, servers);
    await window.visit(servers[0]);
    assert.match(await window.submit("Log in", fields), new RegExp(logged));
    await stillIn(servers);
    console.log("browser: typed a name and clicked; logged in on the first server, seen by all");
    const thief = await open(browser, await window.cookies());

    const left = await kill();
    await stillIn(left);
    console.log(`browser: the first node was killed; reloaded, and still logged in on ${left.length} servers`);

    await window.visit(left.at(-1));
    assert.match(await window.submit("Log out", {}), /^(?!.*Logged in)/s);
    await out(window, left);
    await out(thief, left);
    console.log("browser: clicked, and logged out everywhere, also with a copy of the cookies from before");
    if (revive) {
      const all = await revive();
      await out(window, all);
      await out(thief, all);
      console.log("browser: the killed node is back, and does not show the session either");
    }
    return 0;
  } finally {
    await browser.close();
  }
}
