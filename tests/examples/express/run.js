// Three nodes and three express servers on them. Without arguments they run until Ctrl-C; with --check
// a client goes through a login, a killed node and a logout, and the exit status tells whether all went well.
//
// node run.js HENGE_BINARY [--check]

import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";

const [binary, mode] = process.argv.slice(2);
const children = [];
/** Ends everything that was started; the cluster ends its nodes itself, so it has to be waited for. */
async function stop(status) {
  const ends = children.filter((child) => child.exitCode === null).map((child) => once(child, "exit"));
  children.forEach((child) => child.kill("SIGTERM"));
  await Promise.all(ends);
  process.exit(status);
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop(0));

/** A program of ours; what it says comes line by line. */
function start(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

/** The first line that matches; those before it are dropped. */
async function line(program, pattern) {
  for (;;) {
    const { value, done } = await program.lines.next();
    if (done) throw new Error(`it ended before it said ${pattern}`);
    const found = value.match(pattern);
    if (found) return found;
  }
}

/** A port from which 23 are free: `henge dev` takes three for each of three nodes, ten apart. */
async function freePorts() {
  const isFree = async (port) => {
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
      return true;
    } catch {
      return false;
    } finally {
      server.close();
    }
  };
  for (;;) {
    const first = 12000 + Math.floor(Math.random() * 18000);
    const ports = [0, 10, 20].flatMap((node) => [0, 1, 2].map((port) => first + node + port));
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first;
  }
}

/** A browser's cookies, and nothing else of it. */
class Browser {
  cookies = new Map();

  async ask(url, form) {
    const cookie = [...this.cookies].map((pair) => pair.join("=")).join("; ");
    const body = form && new URLSearchParams(form);
    const method = form ? "POST" : "GET";
    const response = await fetch(url, { method, body, headers: { cookie }, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]*)=([^;]*)/);
      if (value === "") this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return { status: response.status, body: await response.text() };
  }

  async who(server) {
    const { status, body } = await this.ask(server);
    assert.equal(status, 200, body);
    return body.match(/<p id="who">([^<]*)</)[1];
  }
}

async function check(servers, nodes) {
  const [first, ...others] = servers;
  const browser = new Browser();
  assert.equal(await browser.who(first), "Not logged in.");
  const wrong = await browser.ask(`${first}login`, { user: "ada", password: "wrong" });
  assert.equal(wrong.status, 401);
  const login = await browser.ask(`${first}login`, { user: "ada", password: "henge" });
  assert.equal(login.status, 303, login.body);
  assert.ok(browser.cookies.get("seen").length < 120, "the token is short");
  for (const server of servers) assert.equal(await browser.who(server), "Logged in as ada.");
  console.log("logged in on the first server, seen by all three");

  process.kill(nodes[0].pid, "SIGKILL");
  for (const server of servers) assert.equal(await browser.who(server), "Logged in as ada.");
  console.log("the first server's node was killed; still logged in on all three");

  const thief = new Browser();
  thief.cookies = new Map(browser.cookies);
  const logout = await browser.ask(`${others[0]}logout`, {});
  assert.equal(logout.status, 303, logout.body);
  for (const server of servers) {
    assert.equal(await browser.who(server), "Not logged in.");
    assert.equal(await thief.who(server), "Not logged in.", "the old cookie, token and all");
  }
  const again = await browser.ask(`${first}login`, { user: "bob", password: "henge" });
  assert.equal(again.status, 303, again.body);
  for (const server of servers) assert.equal(await browser.who(server), "Logged in as bob.");
  console.log("logged out on the second server, and out everywhere; logged in anew");
  await inBrowser(others[0]);
}

/** The login page as a browser shows it, where one is installed. */
async function inBrowser(server) {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const found = names.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (!found) {
    console.log("*** NOT RUN: the login page in a browser (no chromium or chrome is installed) ***");
    return;
  }
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"];
  const shown = spawnSync(found, [...flags, server], { encoding: "utf8", timeout: 60_000 });
  assert.match(shown.stdout, /<button>Log in<\/button>/, shown.stderr);
  console.log(`${found} shows the login page`);
}

async function main() {
  const port = await freePorts();
  const cluster = start(binary, ["dev", "--port", String(port)]);
  const nodes = [];
  for (let node = 0; node < 3; node++) {
    const [, pid] = await line(cluster, /^ *node \d+ .* pid (\d+)/);
    nodes.push({ pid: Number(pid), port: port + 10 * node });
  }
  const servers = [];
  for (const near of nodes) {
    const order = [near, ...nodes.filter((node) => node !== near)].map((node) => String(node.port));
    const listen = mode === "--check" ? 0 : 3000 + servers.length;
    const app = new URL("app.js", import.meta.url).pathname;
    const server = start(process.execPath, [app, String(listen), ...order]);
    servers.push((await line(server, /^(http:\S+)/))[1]);
  }
  if (mode === "--check") {
    await check(servers, nodes);
    await stop(0);
  }
  console.log(`log in at ${servers[0]} and reload ${servers[1]} and ${servers[2]}`);
  console.log(`then stop a node: ${nodes.map((node) => `kill -9 ${node.pid}`).join(", or ")}`);
}

main().catch((error) => {
  console.error(error);
  return stop(1);
});
