// Programs that an example starts, and the ports that they listen on.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { createInterface } from "node:readline";

const children = [];
const running = (child) => child.exitCode === null && child.signalCode === null;

/** Ends everything that was started; a cluster ends its nodes itself, so it has to be waited for. */
export async function end() {
  const ends = children.filter(running).map((child) => once(child, "exit"));
  children.splice(0).forEach((child) => child.kill("SIGTERM"));
  await Promise.all(ends);
}

/** Runs it, then ends everything; the exit status is what it returns, or 1 if it throws. A signal ends everything too. */
export async function run(main) {
  const stop = (status) => end().then(() => process.exit(status));
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop(0));
  try {
    await stop(await main());
  } catch (error) {
    console.error(error);
    await stop(1);
  }
}

/** A program of ours; what it says comes line by line. */
export function start(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

/** Kills a program as a machine that fails would, and waits until it is gone. */
export async function kill({ child }) {
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** The first line that matches; those before it are dropped. */
export async function line(program, pattern) {
  for (;;) {
    const { value, done } = await program.lines.next();
    if (done) throw new Error(`it ended before it said ${pattern}`);
    const found = value.match(pattern);
    if (found) return found;
  }
}

/** A port that is free, as are those that lie so many above it. */
export async function freePorts(offsets) {
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
    const ports = offsets.map((offset) => first + offset);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first;
  }
}
