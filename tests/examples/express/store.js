// Sessions of express in a Henge cluster: connect-redis over a client that knows all nodes.
//
// connect-redis asks its client for little: get, set, expire, del. The one made here asks the nearest
// node and, while that cannot be reached, the next: what connect-redis asks may be asked twice.
//
// With `tokens`, a read waits for one replica only and still never shows the session from before the
// browser's own login: what was written comes back as a token, which the browser keeps in a cookie and
// each read names (HENGE.GET ... AFTER).

import { AsyncLocalStorage } from "node:async_hooks";
import { RedisStore } from "connect-redis";
import { createClient } from "redis";

const COOKIE = "seen";

/** What the request that is being served has seen, and has written. */
const served = new AsyncLocalStorage();

/** One client per node. It gives up a question at once when its node cannot be reached. */
function connect(port) {
  const client = createClient({
    socket: { host: "127.0.0.1", port, reconnectStrategy: 100, connectTimeout: 1000 },
    disableOfflineQueue: true,
  });
  client.on("error", () => {}); // each question that it cannot ask says so itself
  client.connect().catch(() => {});
  return client;
}

/** An answer of the cluster, as against none at all. */
const isAnswer = (error) => /^(ERR|FAILED|UNKNOWN|OOM|BUSY|WRONGTYPE|NOAUTH)\b/.test(error.message);

/** The value under a name in an answer of HENGE.*, which RESP2 gives as a list. */
const named = (pairs, name) => pairs[pairs.indexOf(name) + 1];

/** A session store over the nodes at these ports, nearest first. */
export function store(ports, { tokens = true } = {}) {
  const clients = ports.map(connect);
  const ask = async (question) => {
    let silence;
    for (const client of clients) {
      try {
        return await question(client);
      } catch (error) {
        if (isAnswer(error)) throw error;
        silence = error;
      }
    }
    throw silence;
  };

  const client = {
    async get(key) {
      const after = tokens && served.getStore()?.after;
      if (!after) return ask((node) => node.get(key));
      try {
        const words = ["HENGE.GET", key, "R", "1", "AFTER", after];
        return named(await ask((node) => node.sendCommand(words)), "values")[0] ?? null;
      } catch (error) {
        // The token of another session: the browser has a new one since.
        if (!error.message.startsWith("ERR the context")) throw error;
        return ask((node) => node.get(key));
      }
    },
    async set(key, value, { expiration }) {
      const words = ["HENGE.SET", key, value, expiration.type, String(expiration.value), "TOKEN"];
      const done = await ask((node) => node.sendCommand(words));
      const request = served.getStore();
      if (request && done.includes("context")) request.wrote = named(done, "context");
    },
    expire: (key, seconds) => ask((node) => node.expire(key, seconds)),
    del: (keys) => ask((node) => node.del(keys)),
  };
  return new RedisStore({ client });
}

/** Before the sessions: what the browser has seen goes with every read of this request. */
export function remembers(request, response, next) {
  const cookies = (request.headers.cookie ?? "").split(/; */).map((pair) => pair.split("="));
  const after = cookies.find(([name]) => name === COOKIE)?.[1];
  served.run({ after }, next);
}

/** After a session was saved: the browser is given the token of it. */
export function remember(response) {
  const { wrote } = served.getStore() ?? {};
  if (wrote) response.cookie(COOKIE, wrote, { httpOnly: true, sameSite: "lax" });
}

/** After a logout. */
export const forget = (response) => response.clearCookie(COOKIE);
