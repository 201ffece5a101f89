// The login page of the servers that keep their sessions themselves, in a browser: three processes, one killed.
//
// node embedded.js PROGRAM

import { freePorts, kill, line, run, start } from "./processes.js";
import { walk } from "./browser.js";

const [program] = process.argv.slice(2);

run(async () => {
  // Each has a port for browsers, and a hundred above it one for the other nodes.
  const first = await freePorts([0, 1, 2, 100, 101, 102]);
  const begin = (number) => start(program, [String(first), String(number)]);
  const servers = [0, 1, 2].map(begin);
  const urls = [];
  for (const server of servers) urls.push((await line(server, /^http:\S+/))[0] + "/");
  return walk({
    servers: urls,
    fields: { name: "Ada" },
    who: "Ada",
    async kill() {
      await kill(servers[0]);
      return urls.slice(1);
    },
    async revive() {
      await line(begin(0), /^http:/);
      return urls;
    },
  });
});
