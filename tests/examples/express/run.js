// Three nodes and three express servers on them. Without arguments they run until Ctrl-C; with --check
// a client and then a browser go through a login, a killed node and a logout, and the exit status tells
// whether all went well (77: it did, but there is no browser).
//
// node run.js HENGE_BINARY [--check]

import assert from "node:assert/strict";
import { end, freePorts, line, run, start } from "../check/processes.js";

const [binary, mode] = process.argv.slice(2);

/** A client with a browser's cookies, and nothing else of it. */
class Client {
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
  const client = new Client();
  assert.equal(await client.who(first), "Not logged in.");
  const wrong = await client.ask(`${first}login`, { user: "ada", password: "wrong" });
  assert.equal(wrong.status, 401);
  const login = await client.ask(`${first}login`, { user: "ada", password: "henge" });
  assert.equal(login.status, 303, login.body);
  assert.ok(client.cookies.get("seen").length < 120, "the token is short");
  for (const server of servers) assert.equal(await client.who(server), "Logged in as ada.");
  console.log("logged in on the first server, seen by all three");

  process.kill(nodes[0].pid, "SIGKILL");
  for (const server of servers) assert.equal(await client.who(server), "Logged in as ada.");
  console.log("the first server's node was killed; still logged in on all three");

  const thief = new Client();
  thief.cookies = new Map(client.cookies);
  const logout = await client.ask(`${others[0]}logout`, {});
  assert.equal(logout.status, 303, logout.body);
  for (const server of servers) {
    assert.equal(await client.who(server), "Not logged in.");
    assert.equal(await thief.who(server), "Not logged in.", "the old cookie, token and all");
  }
  const again = await client.ask(`${first}login`, { user: "bob", password: "henge" });
  assert.equal(again.status, 303, again.body);
  for (const server of servers) assert.equal(await client.who(server), "Logged in as bob.");
  console.log("logged out on the second server, and out everywhere; logged in anew");
}

/** A cluster, and for each of its nodes a server that goes there first. */
async function begin() {
  const port = await freePorts([0, 10, 20].flatMap((node) => [0, 1, 2].map((port) => node + port)));
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
  return { servers, nodes };
}

async function checkInBrowser(servers, nodes) {
  const { walk } = await import("../check/browser.js");
  return walk({
    servers,
    fields: { user: "ada", password: "henge" },
    who: "ada",
    async kill() {
      process.kill(nodes[0].pid, "SIGKILL");
      return servers;
    },
  });
}

run(async () => {
  let { servers, nodes } = await begin();
  if (mode === "--check") {
    await check(servers, nodes);
    await end();
    ({ servers, nodes } = await begin());
    return checkInBrowser(servers, nodes);
  }
  console.log(`log in at ${servers[0]} and reload ${servers[1]} and ${servers[2]}`);
  console.log(`then stop a node: ${nodes.map((node) => `kill -9 ${node.pid}`).join(", or ")}`);
  await new Promise(() => {});
});
