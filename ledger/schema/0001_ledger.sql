-- expand: the first schema. Times are milliseconds since the epoch, UTC; sizes are bytes.
--
-- One text for both databases, written for SQLite; ledger/storage/migrations.py renders it for Postgres. ID is TEXT
-- that sorts by its bytes (on Postgres COLLATE "C"), because pages, ranges of keys and copies need one order on both.
-- Lists of words that grow are tables; closed lists are CHECKs. A CHECK on more than two words is a chain of ORs,
-- because for a longer IN list SQLite builds a temporary index at every write.

-- Every registered provider, inserted when a process starts.
CREATE TABLE providers (name ID NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64)) STRICT, WITHOUT ROWID;

-- The types of events, the kind of their subject, and whether endpoints receive them. `EventType` in ledger/records.py.
CREATE TABLE event_types (
    type ID NOT NULL PRIMARY KEY, subject ID NOT NULL, public INTEGER NOT NULL CHECK (public IN (0, 1)),
    UNIQUE (type, public)
) STRICT, WITHOUT ROWID;
INSERT INTO event_types (type, subject, public) VALUES
    ('job.accepted', 'job', 0), ('job.unconfirmed', 'job', 0), ('job.submitted', 'job', 1), ('job.completed', 'job', 1),
    ('job.failed', 'job', 1), ('job.canceled', 'job', 1), ('job.expired', 'job', 1), ('run.completed', 'run', 1),
    ('run.failed', 'run', 1), ('run.canceled', 'run', 1), ('output.archived', 'output', 1),
    ('endpoint.disabled', 'endpoint', 1), ('endpoint.test', 'endpoint', 1);

-- The results of recording a report, and whether an operator should see them. `RecordResult` in ledger/records.py.
CREATE TABLE receipt_results (
    result ID NOT NULL PRIMARY KEY, needs_attention INTEGER NOT NULL CHECK (needs_attention IN (0, 1))
) STRICT, WITHOUT ROWID;
INSERT INTO receipt_results (result, needs_attention) VALUES
    ('recorded', 0), ('duplicate', 0), ('conflict', 1), ('orphan', 1), ('pending', 0);

CREATE TABLE jobs (
    id                  ID      NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 5 AND 64),
    provider            ID      NOT NULL REFERENCES providers (name),
    model               TEXT    NOT NULL CHECK (length(model) BETWEEN 1 AND 200),
    state               ID      NOT NULL CHECK (state = 'waiting' OR state = 'accepted' OR state = 'submitting'
                                                OR state = 'unconfirmed' OR state = 'submitted' OR state = 'completed'
                                                OR state = 'failed' OR state = 'canceled' OR state = 'expired'),
    idempotency_key     ID               CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    request_digest      TEXT    NOT NULL,
    provider_request_id ID               CHECK (length(provider_request_id) BETWEEN 1 AND 200),
    status_url TEXT, response_url TEXT, cancel_url TEXT,
    -- how many submissions may have reached the provider: more than one only by RESUBMIT_UNCONFIRMED
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
                                                OR error_fault = 'network' OR error_fault = 'provider'
                                                OR error_fault = 'renderhook'),
    error_code TEXT, error_message TEXT, error_retryable INTEGER CHECK (error_retryable IN (0, 1)),
    last_sequence       INTEGER NOT NULL DEFAULT 0,
    -- the id of the last transition: the statements after a transition have it in their conditions, and so change
    -- nothing if the transition changed nothing
    last_transition     ID      NOT NULL,
    server_errors       INTEGER NOT NULL DEFAULT 0 CHECK (server_errors >= 0), -- submissions answered HTTP 500 etc.
    CHECK ((state = 'completed' OR state = 'failed' OR state = 'canceled' OR state = 'expired')
           = (finalized_at IS NOT NULL)),
    CHECK ((finalized_at IS NOT NULL) = (fingerprint IS NOT NULL)),
    CHECK ((state = 'submitting') = (claimed_until IS NOT NULL)),
    CHECK (state <> 'unconfirmed' OR unconfirmed_at IS NOT NULL),
    CHECK (state <> 'submitted' OR (provider_request_id IS NOT NULL AND submitted_at IS NOT NULL)),
    CHECK (state NOT IN ('failed', 'expired') OR error_fault IS NOT NULL),
    CHECK (state <> 'completed' OR error_fault IS NULL),
    CHECK ((error_fault IS NULL) = (error_code IS NULL) AND (error_fault IS NULL) = (error_message IS NULL)
           AND (error_fault IS NULL) = (error_retryable IS NULL)),
    CHECK (source IS NULL OR finalized_at IS NOT NULL)
) STRICT;

-- rule: one job per Idempotency-Key
CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- rule: a provider's request belongs to one job
CREATE UNIQUE INDEX jobs_provider_request ON jobs (provider, provider_request_id) WHERE provider_request_id IS NOT NULL;
-- query: list_jobs_by_provider
CREATE INDEX jobs_by_provider ON jobs (provider, id);
-- query: list_jobs_by_state and list_jobs_by_provider_and_state. One for both, because every transition writes it.
CREATE INDEX jobs_by_state ON jobs (state, provider, id);

-- What the user sent with a job. Not in `jobs`, whose row is written at every transition. `short_input` is the input
-- with its data: URIs shortened, or NULL if it has none; it comes first, so that SQLite reads no pages of `input`.
CREATE TABLE inputs (
    job_id      ID   NOT NULL PRIMARY KEY REFERENCES jobs (id),
    metadata    TEXT NOT NULL,
    short_input TEXT,
    input       TEXT NOT NULL
) STRICT;

CREATE TABLE outputs (
    job_id       ID      NOT NULL REFERENCES jobs (id),
    position     INTEGER NOT NULL CHECK (position >= 1),
    url          TEXT    NOT NULL,
    content_type TEXT,
    file_name    TEXT,
    file_size    INTEGER CHECK (file_size >= 0),
    width INTEGER CHECK (width >= 0), height INTEGER CHECK (height >= 0),
    PRIMARY KEY (job_id, position)
) STRICT, WITHOUT ROWID;

-- A job with a row for each output, or one row if it has none. Only the first row has the input (the short one), or a
-- job with a thousand outputs would be read with a thousand copies of it.
CREATE VIEW job_rows AS
SELECT j.*,
       CASE WHEN o.position > 1 THEN NULL ELSE COALESCE(i.short_input, i.input) END AS input,
       CASE WHEN o.position > 1 THEN NULL ELSE i.metadata END AS metadata,
       o.position, o.url, o.content_type, o.file_name, o.file_size, o.width, o.height
FROM jobs AS j JOIN inputs AS i ON i.job_id = j.id LEFT JOIN outputs AS o ON o.job_id = j.id;

-- One verified callback, or one poll that ended a job, byte for byte. `job_id` has no reference: orphans are kept too.
CREATE TABLE receipts (
    job_id      ID      NOT NULL,
    id          ID      NOT NULL,
    provider    ID      NOT NULL REFERENCES providers (name),
    source      TEXT    NOT NULL CHECK (source IN ('callback', 'poll')),
    request_id  TEXT,
    result      ID      NOT NULL REFERENCES receipt_results (result),
    headers     TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (job_id, id)
) STRICT;

-- query: count_receipts_needing_attention
CREATE INDEX receipts_needing_attention ON receipts (result, received_at) WHERE result IN ('conflict', 'orphan');

-- The events of a job, a run, an endpoint or an output. `subject` has no reference, because it may be in any of several
-- tables. `public` is a copy of that of the type, because every callback needs it. `transition` is the id of the
-- transition, which is that of the receipt if a report caused it. `data` is JSON, or NULL.
CREATE TABLE events (
    subject    ID      NOT NULL,
    sequence   INTEGER NOT NULL CHECK (sequence >= 1),
    type       ID      NOT NULL,
    public     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    transition ID      NOT NULL,
    data       TEXT,
    PRIMARY KEY (subject, sequence),
    FOREIGN KEY (type, public) REFERENCES event_types (type, public)
) STRICT, WITHOUT ROWID;

-- Where notifications go: NOTIFY_URL ('settings'), the `notify` URLs of jobs ('job'), and those of the API ('api').
CREATE TABLE endpoints (
    id              ID      NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 4 AND 64),
    url             TEXT    NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    source          ID      NOT NULL CHECK (source = 'settings' OR source = 'job' OR source = 'api'),
    -- JSON lists and objects. NULL: NOTIFY_SECRET signs; every event; of every job; the default limit or schedule.
    secrets         TEXT,
    event_filter    TEXT,
    metadata_filter TEXT,
    max_concurrency INTEGER CHECK (max_concurrency >= 1),
    rate_per_second INTEGER CHECK (rate_per_second >= 1),
    timeout_ms      INTEGER CHECK (timeout_ms >= 1),
    schedule        TEXT,
    created_at      INTEGER NOT NULL,
    -- paused: it receives events, and their deliveries wait
    paused_at INTEGER, paused_reason TEXT,
    -- disabled: it answered 410, and its new deliveries are dead at once
    disabled_at INTEGER, disabled_reason TEXT,
    removed_at      INTEGER,
    last_sequence   INTEGER NOT NULL DEFAULT 0,
    last_transition ID,
    CHECK ((paused_at IS NULL) = (paused_reason IS NULL) AND (disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT;

-- query: fan_out, the endpoints for the events of all jobs
CREATE INDEX endpoints_for_all ON endpoints (id) WHERE source <> 'job' AND removed_at IS NULL;
-- rule: one endpoint for each `notify` URL; query: subscribe_job_endpoint
CREATE UNIQUE INDEX endpoints_of_jobs ON endpoints (url) WHERE source = 'job';
-- query: resume_unsigned_endpoints, count_paused_deliveries
CREATE INDEX endpoints_paused ON endpoints (id) WHERE paused_at IS NOT NULL;

-- A job's own `notify` URLs.
CREATE TABLE subscriptions (
    job_id ID NOT NULL REFERENCES jobs (id), endpoint_id ID NOT NULL REFERENCES endpoints (id),
    PRIMARY KEY (job_id, endpoint_id)
) STRICT, WITHOUT ROWID;

-- The endpoints for the events of all jobs, and the public events that pass their filters. An endpoint does not receive
-- its own events. A metadata filter passes only jobs whose metadata has each of its pairs.
-- only sqlite: it filters by json_each(text)
CREATE VIEW general_listeners AS
SELECT v.subject, v.sequence, v.transition, e.id AS endpoint_id, e.url, e.paused_at, e.disabled_at, e.disabled_reason
FROM events AS v JOIN endpoints AS e ON e.id <> v.subject
WHERE v.public = 1 AND e.source <> 'job' AND e.removed_at IS NULL
  AND (e.event_filter IS NULL OR EXISTS (SELECT 1 FROM json_each(e.event_filter) AS f WHERE f.value = v.type))
  AND (e.metadata_filter IS NULL
       OR EXISTS (SELECT 1 FROM inputs AS i
                  WHERE i.job_id = v.subject
                    AND NOT EXISTS (SELECT 1 FROM json_each(e.metadata_filter) AS f
                                    WHERE NOT EXISTS (SELECT 1 FROM json_each(i.metadata) AS m
                                                      WHERE m.key = f.key AND m.type = f.type
                                                        AND m.value IS NOT DISTINCT FROM f.value))));
-- end only
-- only postgres: it filters by a function, because subqueries would cost time at every callback, even without a filter.
-- A callback must not fail because of a job's metadata: what is not valid JSONB passes no filter.
CREATE FUNCTION passes(event_filter TEXT, metadata_filter TEXT, event_type TEXT, job TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
DECLARE
    metadata JSONB;
BEGIN
    IF event_filter IS NOT NULL AND NOT event_filter::jsonb ? event_type THEN
        RETURN false;
    END IF;
    IF metadata_filter IS NULL THEN
        RETURN true;
    END IF;
    SELECT i.metadata::jsonb INTO metadata FROM inputs AS i WHERE i.job_id = job;
    RETURN FOUND AND NOT EXISTS (SELECT FROM jsonb_each(metadata_filter::jsonb) AS f
                                 WHERE metadata -> f.key IS DISTINCT FROM f.value);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN false;
END $$;
CREATE VIEW general_listeners AS
SELECT v.subject, v.sequence, v.transition, e.id AS endpoint_id, e.url, e.paused_at, e.disabled_at, e.disabled_reason
FROM events AS v JOIN endpoints AS e ON e.id <> v.subject
WHERE v.public = 1 AND e.source <> 'job' AND e.removed_at IS NULL
  AND (e.event_filter IS NULL AND e.metadata_filter IS NULL
       OR passes(e.event_filter, e.metadata_filter, v.type, v.subject));
-- end only

-- Which endpoints receive an event, for every statement: those above, and the job's own endpoints, except if one of
-- those above has the same URL and is neither paused nor disabled.
CREATE VIEW listeners AS
SELECT subject, sequence, transition, endpoint_id, paused_at, disabled_at, disabled_reason FROM general_listeners
UNION ALL
SELECT v.subject, v.sequence, v.transition, e.id, e.paused_at, e.disabled_at, e.disabled_reason
FROM subscriptions AS s
JOIN events AS v ON v.subject = s.job_id
JOIN endpoints AS e ON e.id = s.endpoint_id
WHERE v.public = 1 AND e.removed_at IS NULL
  AND e.url NOT IN (SELECT g.url FROM general_listeners AS g
                    WHERE g.subject = v.subject AND g.sequence = v.sequence
                      AND g.paused_at IS NULL AND g.disabled_at IS NULL);

CREATE TABLE deliveries (
    -- msg_<subject>_<sequence>_<endpoint without its prefix>: an endpoint has one delivery of an event, and the
    -- deliveries of a job are adjacent
    id           ID      NOT NULL PRIMARY KEY,
    subject      ID      NOT NULL,
    sequence     INTEGER NOT NULL,
    endpoint_id  ID      NOT NULL REFERENCES endpoints (id),
    state        ID      NOT NULL CHECK (state = 'pending' OR state = 'delivered' OR state = 'dead'
                                         OR state = 'discarded'),
    attempts     INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- failed attempts since it was created or replayed: its place in the schedule
    failures     INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    created_at   INTEGER NOT NULL,
    due_at       INTEGER,
    finalized_at INTEGER,
    reason       TEXT,
    FOREIGN KEY (subject, sequence) REFERENCES events (subject, sequence),
    CHECK ((state = 'pending') = (finalized_at IS NULL)),
    CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CHECK (state NOT IN ('dead', 'discarded') OR reason IS NOT NULL),
    CHECK (id = 'msg_' || subject || '_' || CAST(sequence AS TEXT) || '_' || substr(endpoint_id, 4))
) STRICT, WITHOUT ROWID;

-- query: read_due_deliveries of an endpoint, and release_endpoint, which also relies on the lock of the foreign key
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at) WHERE state = 'pending';
-- query: list_dead_deliveries, count_deliveries_needing_attention. SQLite needs the same condition in the statement.
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';
-- query: list_discarded_deliveries, count_deliveries_needing_attention
CREATE INDEX deliveries_discarded ON deliveries (id) WHERE state = 'discarded';

CREATE TABLE attempts (
    delivery_id ID      NOT NULL REFERENCES deliveries (id),
    number      INTEGER NOT NULL CHECK (number >= 1),
    at          INTEGER NOT NULL,
    status      INTEGER,
    latency_ms  INTEGER NOT NULL,
    error       TEXT,
    response    BLOB    CHECK (length(response) <= 2048),
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- The kinds of work; lower priorities come first. `work` has no reference to them, because its checks cost SQLite a
-- twentieth of a callback. A test checks that no statement names another kind.
CREATE TABLE work_kinds (name ID NOT NULL PRIMARY KEY, priority INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO work_kinds (name, priority) VALUES ('submit', 1), ('poll', 2), ('deliver', 3);

-- The tasks. `due_at` of a leased row is the end of its lease, so the tasks of a dead worker come due again. The
-- subject of `submit` and `poll` is a job, that of `deliver` an endpoint: one worker at a time delivers to an endpoint,
-- so a slow one delays no other.
CREATE TABLE work (
    kind    ID      NOT NULL,
    subject ID      NOT NULL,
    due_at  INTEGER NOT NULL,
    lease   ID,
    tries   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- only postgres: rows change often, so vacuum early, however many tasks there are
ALTER TABLE work SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
-- end only

-- query: fetch_work, and next_due
CREATE INDEX work_due ON work (kind, due_at);
