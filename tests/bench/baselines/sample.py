"""The handler that fal's sample leads to: verify, connect, insert, commit, for every callback. BENCH_DB is its file.

It has what such handlers have: one table, the request id as its key, the body as text.
"""

import json
import os
import sqlite3

import aiosqlite
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.bench.baselines.signature import is_signed

PATH = os.environ["BENCH_DB"]
TABLE = "CREATE TABLE IF NOT EXISTS results (request_id TEXT PRIMARY KEY, status TEXT, payload TEXT, received_at TEXT)"
INSERT = "INSERT OR IGNORE INTO results VALUES (?, ?, ?, datetime('now'))"

with sqlite3.connect(PATH) as connection:
    connection.execute(f"PRAGMA journal_mode = {os.environ.get('BENCH_JOURNAL', 'DELETE')}")
    connection.execute(TABLE)


async def receive(request: Request) -> Response:
    """Read the body, verify, store, answer."""
    body = await request.body()
    if not is_signed(request.headers, body):
        return JSONResponse({"detail": "bad signature"}, status_code=401)
    content = json.loads(body)
    async with aiosqlite.connect(PATH) as database:
        await database.execute(INSERT, (content["request_id"], content["status"], json.dumps(content["payload"])))
        await database.commit()
    return JSONResponse({"ok": True})


app = Starlette(routes=[Route("/callbacks/fal/{token}", receive, methods=["POST"])])
