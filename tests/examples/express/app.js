// An express server with a login page: node app.js PORT NODE_PORT [NODE_PORT ...]
//
// PORT 0 takes any; the line that is printed says which. Everybody's password is `henge`.

import express from "express";
import session from "express-session";
import { forget, remember, remembers, store } from "./store.js";

const [port, ...nodes] = process.argv.slice(2).map(Number);
const escape = (text) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
const page = (body) => `<!doctype html><title>Henge</title><h1>Henge</h1>${body}`;

const app = express();
app.use(express.urlencoded({ extended: false }));
app.use(remembers);
app.use(
  session({
    store: store(nodes),
    secret: "the same on every server, and a real one where it matters",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 30 * 60 * 1000 },
  }),
);

app.get("/", (request, response) => {
  const { user } = request.session;
  response.send(
    page(
      user
        ? `<p id="who">Logged in as ${escape(user)}.</p><form method="post" action="/logout"><button>Log out</button></form>`
        : `<p id="who">Not logged in.</p><form method="post" action="/login"><input name="user" placeholder="name">` +
            `<input name="password" type="password" placeholder="password: henge"><button>Log in</button></form>`,
    ),
  );
});

app.post("/login", (request, response, next) => {
  const { user, password } = request.body ?? {};
  if (!user || password !== "henge") return response.status(401).send(page("<p>No.</p>"));
  // A new id, so that nobody who knew the old one is logged in too.
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.user = user;
    request.session.save((error) => {
      if (error) return next(error);
      remember(response);
      response.redirect(303, "/");
    });
  });
});

app.post("/logout", (request, response, next) => {
  request.session.destroy((error) => {
    if (error) return next(error);
    forget(response);
    response.redirect(303, "/");
  });
});

// The cluster says what is wrong, and whether it may be asked again.
app.use((error, request, response, next) => response.status(503).send(page(escape(`${error.message}`))));

const server = app.listen(port, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
