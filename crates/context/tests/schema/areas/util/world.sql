INSERT INTO util.partitioned_tables (parent) VALUES ('world.events');
