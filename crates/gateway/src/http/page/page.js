"use strict"
// Shows what /v1/members and /v1/explain say. Every text goes through textContent.
const $ = (id) => document.getElementById(id)
let password = ""

async function ask(path) {
  const headers = password ? {authorization: `Bearer ${password}`} : {}
  const answer = await fetch(path, {headers})
  $("login").hidden = answer.status !== 401
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer.json()
}

function fill(table, columns, rows) {
  table.replaceChildren(...[columns, ...rows].map((cells, at) => {
    const tr = document.createElement("tr")
    tr.append(...cells.map((cell) => {
      const td = document.createElement(at ? "td" : "th")
      td.textContent = cell ?? ""
      if (cell === "down" || cell === "unreachable") td.className = "down"
      return td
    }))
    return tr
  }))
}

async function members() {
  try {
    const now = await ask("/v1/members")
    $("state").textContent = `node ${now.node.slice(0, 8)}, ${now.ready ? "ready" : "not ready"}, ` +
      `${now.records} records, ${now.bytes} bytes`
    fill($("members"), ["node", "state", "rtt µs", "zone", "weight", "redis", "http"], now.members.map((m) =>
      [m.id.slice(0, 8), m.up ? "up" : "down", m.rtt_us, m.zone, m.weight, m.resp, m.http]))
  } catch (error) {
    $("state").textContent = error.message
  }
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault()
  password = $("password").value
  members()
})
$("ask").addEventListener("submit", async (event) => {
  event.preventDefault()
  const found = await ask(`/v1/explain/${encodeURIComponent($("key").value)}`)
  fill($("replicas"), ["place", "node", "state", "ttl ms", "digest", "bytes"], found.replicas.map((r) =>
    [r.place, r.node.slice(0, 8), r.state, r.ttl_ms, r.digest, r.size]))
})
members()
setInterval(members, 2000)
