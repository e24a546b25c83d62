-- The check whether the database can be written.

-- name: prove_writable
-- Writes a page, which a full or read-only disk refuses. SQLite would skip an update to the same value.
UPDATE migrations SET applied_at = applied_at + 1 WHERE number = 1;

-- name: undo_prove_writable
-- In the same transaction, so that no row changes.
UPDATE migrations SET applied_at = applied_at - 1 WHERE number = 1;
