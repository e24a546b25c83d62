-- expand: the ledger's first shape. Times are milliseconds since the epoch, UTC; sizes are bytes.
-- STRICT tables keep types honest; the CHECKs refuse rows that contradict themselves. One with more than two words to
-- choose
-- from is a chain of ORs: for a longer IN list SQLite builds a temporary index, anew for every row that is written.

CREATE TABLE jobs (
    id                  TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 5 AND 64),
    provider            TEXT    NOT NULL CHECK (length(provider) BETWEEN 1 AND 32),
    model               TEXT    NOT NULL CHECK (length(model) BETWEEN 1 AND 200),
    state               TEXT    NOT NULL CHECK (state = 'waiting' OR state = 'accepted' OR state = 'submitting'
                                                OR state = 'unconfirmed' OR state = 'submitted' OR state = 'completed'
                                                OR state = 'failed' OR state = 'canceled' OR state = 'expired'),
    idempotency_key     TEXT             CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    request_digest      TEXT    NOT NULL,
    provider_request_id TEXT             CHECK (length(provider_request_id) BETWEEN 1 AND 200),
    status_url          TEXT,
    response_url        TEXT,
    cancel_url          TEXT,
    -- how many requests of this job may have reached the provider: more than one only by RESUBMIT_UNCONFIRMED
    submissions         INTEGER NOT NULL DEFAULT 0 CHECK (submissions >= 0),
    claimed_until       INTEGER,
    unconfirmed_at      INTEGER,
    created_at          INTEGER NOT NULL,
    submitted_at        INTEGER,
    finalized_at        INTEGER,
    source              TEXT             CHECK (source IN ('callback', 'poll')),
    fingerprint         TEXT,
    processing_time_ms  INTEGER,
    warning             TEXT,
    error_fault         TEXT             CHECK (error_fault = 'input' OR error_fault = 'account'
        OR error_fault = 'provider'
                                                OR error_fault = 'network' OR error_fault = 'us'),
    error_code          TEXT,
    error_message       TEXT,
    error_retryable     INTEGER          CHECK (error_retryable IN (0, 1)),
    last_sequence       INTEGER NOT NULL DEFAULT 0,
    -- the name of the last move: what follows a move in its transaction asks for it, and so does nothing when it failed
    last_transition            TEXT    NOT NULL,
    CHECK ((state = 'completed' OR state = 'failed' OR state = 'canceled'
        OR state = 'expired') = (finalized_at IS NOT NULL)),
    CHECK ((finalized_at IS NOT NULL) = (fingerprint IS NOT NULL)),
    CHECK ((state = 'submitting') = (claimed_until IS NOT NULL)),
    CHECK (state <> 'unconfirmed' OR unconfirmed_at IS NOT NULL),
    CHECK (state <> 'submitted' OR (provider_request_id IS NOT NULL AND submitted_at IS NOT NULL)),
    CHECK (state NOT IN ('failed', 'expired') OR error_fault IS NOT NULL),
    CHECK (state <> 'completed' OR error_fault IS NULL),
    CHECK ((error_fault IS NULL) = (error_code IS NULL)),
    CHECK ((error_fault IS NULL) = (error_message IS NULL)),
    CHECK ((error_fault IS NULL) = (error_retryable IS NULL)),
    CHECK (source IS NULL OR finalized_at IS NOT NULL)
) STRICT;

-- rule: one job per Idempotency-Key
CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- rule: a provider's request belongs to one job
CREATE UNIQUE INDEX jobs_provider_request ON jobs (provider, provider_request_id) WHERE provider_request_id IS NOT NULL;
-- query: list_jobs_by_provider
CREATE INDEX jobs_by_provider ON jobs (provider, id);
-- query: list_jobs_by_state and list_jobs_by_provider_and_state. One for both: every move of a job is paid for here.
CREATE INDEX jobs_by_state ON jobs (state, provider, id);

-- What the user sent with a job. Apart from it because it may be long and never changes, and a job's row is written
-- anew
-- at every move.
CREATE TABLE inputs (
    job_id   TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id),
    input    TEXT NOT NULL,
    metadata TEXT NOT NULL
) STRICT;

CREATE TABLE outputs (
    job_id       TEXT    NOT NULL REFERENCES jobs (id),
    position     INTEGER NOT NULL CHECK (position >= 1),
    url          TEXT    NOT NULL,
    content_type TEXT,
    file_name    TEXT,
    file_size    INTEGER CHECK (file_size >= 0),
    width        INTEGER CHECK (width >= 0),
    height       INTEGER CHECK (height >= 0),
    PRIMARY KEY (job_id, position)
) STRICT, WITHOUT ROWID;

-- A job as it is read: a row for each of its outputs, and one when it has none. Only the first row carries what may be
-- long, or a job with a thousand outputs would be read with a thousand copies of its input.
CREATE VIEW job_rows AS
SELECT j.id, j.provider, j.model, j.state, j.provider_request_id, j.status_url, j.response_url, j.cancel_url,
    j.submissions,
       j.claimed_until, j.unconfirmed_at, j.created_at, j.submitted_at, j.finalized_at, j.source, j.processing_time_ms,
       j.warning, j.error_fault, j.error_code, j.error_message, j.error_retryable, j.last_transition,
       CASE WHEN o.position > 1 THEN NULL ELSE i.input END AS input,
       CASE WHEN o.position > 1 THEN NULL ELSE i.metadata END AS metadata,
       o.position, o.url, o.content_type, o.file_name, o.file_size, o.width, o.height
FROM jobs AS j JOIN inputs AS i ON i.job_id = j.id LEFT JOIN outputs AS o ON o.job_id = j.id;

-- One verified callback, or one poll that ended a job, byte for byte. `job_id` has no reference: orphans are kept too.
CREATE TABLE receipts (
    id          TEXT    NOT NULL,
    job_id      TEXT    NOT NULL,
    provider    TEXT    NOT NULL CHECK (length(provider) BETWEEN 1 AND 32),
    source      TEXT    NOT NULL CHECK (source IN ('callback', 'poll')),
    request_id  TEXT,
    result      TEXT    NOT NULL CHECK (result = 'recorded' OR result = 'duplicate' OR result = 'conflict'
        OR result = 'orphan'
                                        OR result = 'pending'),
    headers     TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

-- rule: a report is kept once; query: list_receipts of a job
CREATE UNIQUE INDEX receipts_by_job ON receipts (job_id, id);
-- query: count_receipts_needing_attention
CREATE INDEX receipts_needing_attention ON receipts (result, received_at) WHERE result IN ('conflict', 'orphan');

CREATE TABLE events (
    job_id   TEXT    NOT NULL REFERENCES jobs (id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    type     TEXT    NOT NULL CHECK (type = 'job.accepted' OR type = 'job.submitted' OR type = 'job.unconfirmed'
                                     OR type = 'job.completed' OR type = 'job.failed' OR type = 'job.canceled'
                                     OR type = 'job.expired'),
    at       INTEGER NOT NULL,
    PRIMARY KEY (job_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    id              TEXT    NOT NULL PRIMARY KEY,
    url             TEXT    NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    scope           TEXT    NOT NULL CHECK (scope IN ('all', 'job')),
    created_at      INTEGER NOT NULL,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    removed_at      INTEGER,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT;

-- query: fan_out, the endpoints that hear of every job
CREATE INDEX endpoints_for_all ON endpoints (id) WHERE scope = 'all' AND removed_at IS NULL;

-- A job's own `notify` URLs.
CREATE TABLE subscriptions (
    job_id      TEXT NOT NULL REFERENCES jobs (id),
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id),
    PRIMARY KEY (job_id, endpoint_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    -- msg_<job>_<sequence>_<endpoint>, without their prefixes: so an endpoint is told of an event once, and those of a
    -- job
    -- stand together
    id           TEXT    NOT NULL PRIMARY KEY,
    job_id       TEXT    NOT NULL,
    sequence     INTEGER NOT NULL,
    endpoint_id  TEXT    NOT NULL REFERENCES endpoints (id),
    state        TEXT    NOT NULL CHECK (state = 'pending' OR state = 'delivered' OR state = 'dead'
        OR state = 'discarded'),
    attempts     INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- attempts that failed since it was made or replayed: where it is in the schedule
    failures     INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    created_at   INTEGER NOT NULL,
    due_at       INTEGER,
    finalized_at INTEGER,
    reason       TEXT,
    FOREIGN KEY (job_id, sequence) REFERENCES events (job_id, sequence),
    CHECK ((state = 'pending') = (finalized_at IS NULL)),
    CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CHECK (state NOT IN ('dead', 'discarded') OR reason IS NOT NULL),
    CHECK (id = 'msg_' || substr(job_id, 5) || '_' || sequence || '_' || substr(endpoint_id, 4))
) STRICT, WITHOUT ROWID;

-- query: read_due_deliveries of an endpoint, and release_endpoint
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at) WHERE state = 'pending';
-- query: list_dead_deliveries, count_deliveries_needing_attention. One for each state: SQLite uses a partial index only
-- where the
-- statement has its very condition.
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';
-- query: list_discarded_deliveries, count_deliveries_needing_attention
CREATE INDEX deliveries_discarded ON deliveries (id) WHERE state = 'discarded';

CREATE TABLE attempts (
    delivery_id TEXT    NOT NULL REFERENCES deliveries (id),
    number      INTEGER NOT NULL CHECK (number >= 1),
    at          INTEGER NOT NULL,
    status      INTEGER,
    latency_ms  INTEGER NOT NULL,
    error       TEXT,
    response    BLOB    CHECK (length(response) <= 2048),
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- The kinds of work, and which goes first where one worker has several: the lower number.
CREATE TABLE work_kinds (
    name     TEXT    NOT NULL PRIMARY KEY,
    priority INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO work_kinds (name, priority) VALUES ('submit', 1), ('poll', 2), ('deliver', 3);

-- Who does what next. A fetched row is leased: its `due_at` is the lease's end, so a dead worker's row comes due by
-- itself.
-- The subject of `submit` and `check` is a job, that of `deliver` an endpoint: one worker at a time delivers to an
-- endpoint, so
-- that a slow one can keep nobody waiting but itself.
CREATE TABLE work (
    kind    TEXT    NOT NULL REFERENCES work_kinds (name),
    subject TEXT    NOT NULL,
    due_at  INTEGER NOT NULL,
    lease   TEXT,
    tries   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- query: fetch_work, and next_due
CREATE INDEX work_due ON work (kind, due_at);
