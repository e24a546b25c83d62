// Receive Renderhook's notifications with nothing but Node's standard library (18 or newer).
//
// NOTIFY_SECRET=whsec_... node verify_notification.mjs

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { access, mkdir, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const TOLERANCE_SECONDS = 300;
const SHORTEST_SECRET = 24;
const LONGEST_BODY = 8 << 20;

export class NotVerifiedError extends Error {}

// Returns the webhook-id of a notification, or throws NotVerifiedError. `headers` have lower-case names, as Node gives
// them; `body` is a Buffer of the bytes as they came; `secrets` is `whsec_...`, or several with commas between them
// during a rotation; `now` is seconds since the epoch.
export function verify(headers, body, secrets, now) {
  const webhookId = String(headers["webhook-id"] ?? "");
  const timestamp = String(headers["webhook-timestamp"] ?? "");
  const given = String(headers["webhook-signature"] ?? "").split(" ");
  if (!/^[A-Za-z0-9_-]{1,200}$/.test(webhookId) || !/^[0-9]{1,12}$/.test(timestamp)) {
    throw new NotVerifiedError("a header is missing or malformed");
  }
  if (Math.abs(now - Number(timestamp)) > TOLERANCE_SECONDS) {
    throw new NotVerifiedError("the timestamp is too far from now");
  }
  let good = false;
  for (const secret of secrets.split(",")) {
    const key = Buffer.from(secret.trim().replace(/^whsec_/, ""), "base64");
    // anyone can sign with an empty key
    if (key.length < SHORTEST_SECRET) throw new Error("NOTIFY_SECRET must be whsec_ and base64");
    const digest = createHmac("sha256", key).update(`${webhookId}.${timestamp}.`).update(body).digest("base64");
    const expected = Buffer.from(`v1,${digest}`);
    for (const signature of given) {
      // several during a rotation of the secret: one that matches is enough
      const found = Buffer.from(signature);
      good = (found.length === expected.length && timingSafeEqual(found, expected)) || good;
    }
  }
  if (!good) throw new NotVerifiedError("no signature matches");
  return webhookId;
}

// Stores a new notification. With a database, insert the id and do the work in one transaction.
async function store(inbox, webhookId, body) {
  const stored = join(inbox, `${webhookId}.json`);
  const known = await access(stored).then(() => true, () => false);
  if (known) return; // delivered before: at least once means sometimes twice
  const part = join(inbox, `${randomUUID()}.part`);
  await writeFile(part, body);
  await rename(part, stored);
  const { type, data } = JSON.parse(body);
  console.error(type, data.job.id, data.job.outputs.map((output) => output.url));
}

async function receive(request, inbox) {
  if (request.method !== "POST") return 405;
  try {
    const chunks = [];
    let length = 0;
    for await (const chunk of request) {
      length += chunk.length;
      if (length > LONGEST_BODY) return 413;
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    const webhookId = verify(request.headers, body, process.env.NOTIFY_SECRET ?? "", Date.now() / 1000);
    await store(inbox, webhookId, body);
    return 204;
  } catch (error) {
    console.error("refused:", error.message);
    return error instanceof NotVerifiedError ? 401 : 500;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const inbox = process.env.INBOX ?? "inbox";
  await mkdir(inbox, { recursive: true });
  const port = Number(process.env.PORT ?? 9100);
  createServer(async (request, response) => {
    response.writeHead(await receive(request, inbox)).end();
  }).listen(port, "127.0.0.1", () => console.error(`listening on http://127.0.0.1:${port}`));
}
