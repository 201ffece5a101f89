// How long the loop of connect-redis' own suite takes that writes 1,000 sessions of one second one after the other
// and then counts them all: five times, and the best, since the machine may do something else meanwhile.
//
//   node sequential_sets.mjs PORT
import { createClient } from "redis";

const client = createClient({ url: `redis://localhost:${process.argv[2]}` });
await client.connect();
const session = JSON.stringify({ cookie: { originalMaxAge: null, expires: new Date(), httpOnly: true, path: "/" } });
const times = [];
for (let round = 0; round < 5; round++) {
  const begin = performance.now();
  for (let number = 0; number < 1000; number++) {
    await client.set(`sess:s${number}`, session, { expiration: { type: "EX", value: 1 } });
  }
  times.push(performance.now() - begin);
}
console.log(`1,000 SETs one after the other: ${times.map(Math.round).join(", ")} ms, at best ${Math.round(Math.min(...times))} ms`);
client.destroy();
