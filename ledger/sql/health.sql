-- Whether the ledger can be written.

-- name: prove_writable
-- Writes a page: what a full or read-only disk refuses. An update to the same value would not; SQLite skips its write.
UPDATE migrations SET applied_at = applied_at + 1 WHERE number = 1;

-- name: undo_prove_writable
-- In the transaction of prove_writable, which then has changed nothing.
UPDATE migrations SET applied_at = applied_at - 1 WHERE number = 1;
