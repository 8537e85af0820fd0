-- What runs say beside their outcome: results of steps, progress, log lines, costs.
-- Owner: crates/queue. Locks: none, everything is new.
-- Undo: DROP TABLE queue.steps, queue.progress, queue.logs, queue.costs.

-- No foreign keys: jobs are dropped by the day, and these rows follow in batches.

CREATE TABLE queue.steps (
    job       uuid        NOT NULL,
    name      text        NOT NULL CONSTRAINT ck_steps_name CHECK (char_length(name) BETWEEN 1 AND 120),
    result    json        NOT NULL,
    attempt   smallint    NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT steps_pkey PRIMARY KEY (job, name)
);
COMMENT ON TABLE queue.steps IS 'Results of the steps of jobs: a later attempt takes them from here. Insert only.';
COMMENT ON COLUMN queue.steps.name IS 'As the handler names it. With # and a number: a child that the step pushed.';
COMMENT ON COLUMN queue.steps.result IS 'As it was serialised; json and not jsonb, because it must come back as it went.';

CREATE TABLE queue.progress (
    job     uuid        NOT NULL CONSTRAINT progress_pkey PRIMARY KEY,
    token   bigint      NOT NULL,
    attempt smallint    NOT NULL,
    percent smallint    NOT NULL CONSTRAINT ck_progress_percent CHECK (percent BETWEEN 0 AND 100),
    note    text        NOT NULL,
    said_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE queue.progress IS 'How far a job is, as its latest run said; only for jobs that say it.';
COMMENT ON COLUMN queue.progress.token IS 'The lease of the run that said it. Leases grow: an earlier one does not write over a later one.';

CREATE TABLE queue.logs (
    job     uuid        NOT NULL,
    token   bigint      NOT NULL,
    line    integer     NOT NULL,
    attempt smallint    NOT NULL,
    level   text        NOT NULL CONSTRAINT ck_logs_level CHECK (level IN ('debug', 'info', 'warn', 'error')),
    message text        NOT NULL,
    said_at timestamptz NOT NULL,
    CONSTRAINT logs_pkey PRIMARY KEY (job, token, line)
);
COMMENT ON TABLE queue.logs IS 'Lines that runs have logged. Insert only.';
COMMENT ON COLUMN queue.logs.token IS 'The lease of the run: a snoozed job has several runs of one attempt.';
COMMENT ON COLUMN queue.logs.line IS 'Counted from 1 in each run, so that a batch that is written twice is stored once.';

CREATE TABLE queue.costs (
    job          uuid        NOT NULL,
    token        bigint      NOT NULL,
    nth          integer     NOT NULL,
    kind         text        NOT NULL,
    name         text        NOT NULL CONSTRAINT ck_costs_name CHECK (char_length(name) BETWEEN 1 AND 100),
    quantity     bigint      NOT NULL CONSTRAINT ck_costs_quantity CHECK (quantity >= 0),
    amount_micro bigint      NOT NULL CONSTRAINT ck_costs_amount_micro CHECK (amount_micro >= 0),
    currency     text        NOT NULL CONSTRAINT ck_costs_currency CHECK (currency ~ '^[A-Z]{3}$'),
    spent_at     timestamptz NOT NULL,
    CONSTRAINT costs_pkey PRIMARY KEY (job, token, nth)
);
CREATE INDEX idx_costs_spent_at ON queue.costs (spent_at);
COMMENT ON TABLE queue.costs IS 'What runs have spent, also those that failed. Insert only.';
COMMENT ON COLUMN queue.costs.nth IS 'Counted from 1 in each run.';
COMMENT ON COLUMN queue.costs.name IS 'What was bought, with its unit: openai/gpt-4o-mini input tokens.';
COMMENT ON COLUMN queue.costs.quantity IS 'How much of it.';
COMMENT ON COLUMN queue.costs.amount_micro IS 'Millionths of the currency: a call to a language model costs less than a cent.';
COMMENT ON COLUMN queue.costs.currency IS 'ISO 4217.';

ALTER TABLE queue.steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue.costs ENABLE ROW LEVEL SECURITY;
