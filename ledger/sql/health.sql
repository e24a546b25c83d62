-- Whether the ledger can be written.

-- name: prove_writable
-- Writes a page and changes nothing: what a full or read-only disk refuses.
UPDATE migrations SET applied_at = applied_at WHERE number = 1;
