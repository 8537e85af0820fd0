-- queue.inputs
-- What the nodes that a job needed had to say. Where one of them fanned out, also what came last.
WITH RECURSIVE needed AS (
    SELECT u.node FROM queue.nodes me CROSS JOIN LATERAL unnest(me.needs) AS u(node) WHERE me.job = $1
    UNION
    SELECT n.job FROM needed x JOIN queue.nodes n ON n.extends = x.node
)
SELECT n.name AS "name!", o.output AS "output?"
FROM needed x
JOIN queue.nodes n ON n.job = x.node
LEFT JOIN queue.outputs o ON o.job = x.node
