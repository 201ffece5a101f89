// Hooks of mocha that tell, for each test, how it went and what the node was asked meanwhile: one line of JSON per
// test to the file TOLD, as pytest_told.py does (its head says what is in one). METRICS: the node's counters.
const fs = require("fs");
const http = require("http");
const path = require("path");

const told = fs.openSync(process.env.TOLD, "a");
const COUNT = /^henge_resp_commands_total\{command="(.*)"\} (\d+)$/gm;

// Commands since the node began, and the unknown ones among them.
function asked() {
  if (!process.env.METRICS) return Promise.resolve([0, 0]);
  return new Promise((resolve, reject) => {
    const read = (page) => {
      let text = "";
      page.on("data", (piece) => (text += piece));
      page.on("end", () => {
        const counts = [...text.matchAll(COUNT)].map(([, name, count]) => [name, Number(count)]);
        const sum = (some) => some.reduce((all, [, count]) => all + count, 0);
        resolve([sum(counts), sum(counts.filter(([name]) => name === "unknown"))]);
      });
    };
    http.get(process.env.METRICS, { agent: false }, read).on("error", reject);
  });
}

let before;

exports.mochaHooks = {
  async beforeEach() {
    before = await asked();
  },
  async afterEach() {
    const after = await asked();
    const test = this.currentTest;
    const line = {
      name: `${path.relative(process.cwd(), test.file)}: ${test.fullTitle()}`,
      outcome: test.state === "passed" ? "passed" : test.isPending() ? "skipped" : "failed",
      words: test.err ? `${test.err.message}\n${test.err.stack}` : "",
      commands: after[0] - before[0],
      unknown: after[1] - before[1],
    };
    fs.writeSync(told, JSON.stringify(line) + "\n");
  },
};
