-- A unique index says so in its name.
-- Owner: crates/queue. Locks: a short one on queue.nodes. Undo: rename it back.

ALTER INDEX queue.idx_nodes_extends RENAME TO uq_nodes_extends;
