-- queue.take
-- A claim of one queue that has rules; see the function. The last row is about the claim, and each of the
-- others about a job.
SELECT
    turn AS "turn?", exhausted AS "exhausted?", is_fair AS "is_fair?", wait_seconds AS "wait_seconds?",
    xmin AS "xmin?", number AS "number?", last_seq AS "last_seq?",
    passed_priorities AS "passed_priorities?", passed_seqs AS "passed_seqs?",
    token AS "token?", seq AS "seq?", priority AS "priority?", attempt AS "attempt?",
    max_attempts AS "max_attempts?", key AS "key?", tenant AS "tenant?", id AS "id?",
    kind AS "kind?", args AS "args?: Json<Box<RawValue>>", owner AS "owner?",
    trace AS "trace?", workflow AS "workflow?", keyed AS "keyed?", cancelled AS "cancelled?"
FROM queue.take($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
