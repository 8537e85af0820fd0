-- The owner's own: one that is not there yet, with an upload, and one that is ready. One that everybody sees, and one for premium.
-- The video of the paid lesson is in the world of content.
INSERT INTO media.assets (id, uploaded_by, asset_type, purpose, access_level, object_key, upload_status, ready_at) VALUES
    ('a0000000-0000-4000-8000-000000000001', world.id('owner'), 'image', 'avatar', 'private', NULL, 'pending', NULL),
    ('a0000000-0000-4000-8000-000000000002', world.id('owner'), 'video', 'lesson', 'private', 'assets/2', 'ready', now()),
    ('a0000000-0000-4000-8000-000000000004', NULL, 'image', 'other', 'public', 'assets/4', 'ready', now()),
    ('a0000000-0000-4000-8000-000000000005', NULL, 'video', 'other', 'premium_only', 'assets/5', 'ready', now());
INSERT INTO media.asset_variants (id, asset_id, variant_type, status, object_key) VALUES
    ('a1000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002', 'high', 'ready', 'assets/2/high'),
    ('a1000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000003', 'high', 'ready', 'assets/3/high'),
    ('a1000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000004', 'thumbnail', 'ready', 'assets/4/thumbnail');
INSERT INTO media.transcode_jobs (id, asset_id, kind) VALUES ('a2000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002', 'probe');
INSERT INTO media.uploads (id, user_id, asset_id, filename, mime_type, expected_size_bytes) VALUES
    ('a3000000-0000-4000-8000-000000000001', world.id('owner'), 'a0000000-0000-4000-8000-000000000001', 'me.png', 'image/png', 1000);
