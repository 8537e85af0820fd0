-- promise: The video of a lesson is for who may read the lesson; its variants with it.
SELECT world.act_as('owner');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000003'), true);
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000003'), false);
SELECT world.same((SELECT count(*) FROM media.asset_variants WHERE asset_id = 'a0000000-0000-4000-8000-000000000003'), 0::bigint);
SELECT world.act_as('operator');
UPDATE access.user_entitlements SET tier_id = access.find_tier('premium') WHERE user_id = world.id('other');
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000003'), true);
SELECT world.act_as('operator');
UPDATE access.user_entitlements SET status = 'revoked' WHERE user_id = world.id('other');
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000003'), false);
SELECT world.act_as('operator');
UPDATE content.lessons SET is_free_preview = true;
SELECT world.act_as('anon');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000003'), true);
SELECT world.same((SELECT count(*) FROM media.asset_variants WHERE asset_id = 'a0000000-0000-4000-8000-000000000003'), 1::bigint);

-- promise: What is attached is for who sees the attachment.
UPDATE media.assets SET access_level = 'course_access', uploaded_by = NULL WHERE object_key = 'assets/2';
UPDATE content.attachments SET kind = 'file', url = NULL, asset_id = 'a0000000-0000-4000-8000-000000000002' WHERE title = 'Of the paid one';
SELECT world.act_as('owner');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000002'), true);
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000002'), false);
SELECT world.act_as('operator');
UPDATE content.attachments SET kind = 'file', url = NULL, asset_id = 'a0000000-0000-4000-8000-000000000002' WHERE title = 'Of the library';
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000002'), true);
SELECT world.act_as('anon');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000002'), false);

-- promise: Media for premium members are for those of the tier premium and above, for as long as they have it.
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000005'), false);
SELECT world.act_as('operator');
UPDATE access.user_entitlements SET tier_id = access.find_tier('enterprise') WHERE user_id = world.id('other');
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000005'), true);
SELECT world.act_as('operator');
UPDATE access.user_entitlements SET starts_at = now() - interval '1 day', expires_at = now() WHERE user_id = world.id('other');
SELECT world.act_as('other');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000005'), false);

-- promise: Nothing is handed out before it is ready, or by a key of its own.
SELECT world.act_as('owner');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000001'), false);
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000002'), true);
SELECT world.same(media.may_read(gen_random_uuid()), false);
SELECT world.fails($$SELECT object_key FROM media.assets$$, '42501');
SELECT world.fails($$SELECT object_key FROM media.asset_variants$$, '42501');
SELECT world.act_as('operator');
UPDATE media.assets SET upload_status = 'processing' WHERE access_level IN ('public', 'course_access');
SELECT world.act_as('anon');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000004'), false);
SELECT world.same((SELECT count(*) FROM media.assets), 0::bigint);
SELECT world.act_as('service');
SELECT world.same(media.may_read('a0000000-0000-4000-8000-000000000005'), true);

-- promise: Everybody uploads for themselves, and nobody names somebody else's file as theirs.
SELECT world.act_as('other');
INSERT INTO media.assets (id, asset_type, purpose) VALUES ('a0000000-0000-4000-8000-0000000000aa', 'image', 'avatar');
INSERT INTO media.uploads (asset_id, filename, mime_type, expected_size_bytes) VALUES ('a0000000-0000-4000-8000-0000000000aa', 'me.png', 'image/png', 5);
SELECT world.same((SELECT user_id FROM media.uploads), world.id('other'));
SELECT world.fails($$INSERT INTO media.assets (asset_type, object_key) VALUES ('image', 'assets/2')$$, '42501');
SELECT world.fails($$INSERT INTO media.assets (asset_type, uploaded_by) VALUES ('image', world.id('owner'))$$, '42501');
SELECT world.fails($$INSERT INTO media.assets (asset_type, access_level) VALUES ('image', 'public')$$, '42501');
SELECT world.fails($$INSERT INTO media.assets (asset_type, external_provider, external_id) VALUES ('video', 'vimeo', '1')$$, '42501');
SELECT world.fails($$UPDATE media.assets SET access_level = 'public' WHERE uploaded_by = world.id('other')$$, '42501');
SELECT world.fails($$UPDATE media.assets SET upload_status = 'ready'$$, '42501');
SELECT world.fails($$UPDATE media.uploads SET state = 'completed'$$, '42501');
SELECT world.fails($$INSERT INTO media.uploads (asset_id, filename, mime_type, expected_size_bytes) VALUES ('a0000000-0000-4000-8000-000000000001', 'x', 'image/png', 5)$$, '42501');
DELETE FROM media.assets WHERE id = 'a0000000-0000-4000-8000-0000000000aa';
SELECT world.same((SELECT count(*) FROM media.uploads), 0::bigint);

-- promise: What a lesson shows is not deleted under it.
SELECT world.act_as('admin');
SELECT world.fails($$DELETE FROM media.assets WHERE id = 'a0000000-0000-4000-8000-000000000003'$$, 'fk_lessons_primary_media');

-- promise: The dashboard counts what there is, for who manages media and for nobody else.
UPDATE media.assets SET upload_status = 'error', error_message = 'unreadable' WHERE access_level = 'premium_only';
UPDATE media.assets SET file_size_bytes = 10;
UPDATE media.asset_variants SET file_size_bytes = 1;
SELECT world.act_as('admin');
SELECT world.same((SELECT array_agg(concat_ws(' ', asset_type, assets, pending, ready, failed, error_rate, source_bytes, variant_bytes, failed_variants) ORDER BY asset_type) FROM media.admin_dashboard),
    '{image 2 1 1 0 0.0000 20 1 0,video 3 0 2 1 0.3333 30 2 0}'::text[]);
SELECT world.act_as('owner');
SELECT world.same((SELECT count(*) FROM media.admin_dashboard), 0::bigint);
SELECT world.act_as('service');
SELECT world.same((SELECT sum(assets) FROM media.admin_dashboard), 5::numeric);

-- promise: Work on an asset is entered once, and so is a file of a provider.
INSERT INTO media.assets (asset_type, external_provider, external_id) VALUES ('video', 'vimeo', '1');
SELECT world.fails($$INSERT INTO media.assets (asset_type, external_provider, external_id) VALUES ('video', 'vimeo', '1')$$, 'uq_assets_external_id');
INSERT INTO media.assets (asset_type, external_provider, external_id) VALUES ('video', 'youtube', '1');
SELECT world.fails($$INSERT INTO media.transcode_jobs (asset_id, kind) VALUES ('a0000000-0000-4000-8000-000000000002', 'probe')$$, 'uq_transcode_jobs_work');
INSERT INTO media.transcode_jobs (asset_id, kind, plan_version) VALUES ('a0000000-0000-4000-8000-000000000002', 'probe', 2);
SELECT world.fails($$INSERT INTO media.asset_variants (asset_id, variant_type, preset_version) VALUES ('a0000000-0000-4000-8000-000000000002', 'high', 2)$$, 'uq_asset_variants_type');
INSERT INTO media.asset_variants (asset_id, variant_type, language) VALUES ('a0000000-0000-4000-8000-000000000002', 'captions', 'fr'), ('a0000000-0000-4000-8000-000000000002', 'captions', 'en');
SELECT world.fails($$INSERT INTO media.uploads (user_id, asset_id, filename, mime_type, expected_size_bytes) VALUES (world.id('owner'), 'a0000000-0000-4000-8000-000000000001', 'x', 'image/png', 5)$$, 'uq_uploads_open');
UPDATE media.uploads SET state = 'expired';
INSERT INTO media.uploads (user_id, asset_id, filename, mime_type, expected_size_bytes) VALUES (world.id('owner'), 'a0000000-0000-4000-8000-000000000001', 'x', 'image/png', 5);

-- promise: Wrong input is refused by name.
SELECT world.fails($$UPDATE media.assets SET duration_seconds = 'NaN'$$, 'ck_assets_duration_seconds');
SELECT world.fails($$INSERT INTO media.assets (asset_type) VALUES ('hologram')$$, 'ck_assets_asset_type');
SELECT world.fails($$INSERT INTO media.assets (asset_type, access_level) VALUES ('video', 'secret')$$, 'ck_assets_access_level');
SELECT world.fails($$INSERT INTO media.assets (asset_type, external_provider) VALUES ('video', 'vimeo')$$, 'ck_assets_external');
SELECT world.fails($$INSERT INTO media.assets (asset_type, external_provider, external_id) VALUES ('video', 'myspace', '1')$$, 'ck_assets_external_provider');
SELECT world.fails($$INSERT INTO media.assets (asset_type, object_key) VALUES ('video', '../etc/passwd')$$, 'ck_assets_object_key');
SELECT world.fails($$INSERT INTO media.assets (asset_type, object_key) VALUES ('video', 'assets/2')$$, 'uq_assets_object_key');
SELECT world.fails($$UPDATE media.assets SET upload_status = 'ready', ready_at = now() WHERE upload_status = 'pending'$$, 'ck_assets_ready');
SELECT world.fails($$UPDATE media.assets SET upload_status = 'error'$$, 'ck_assets_error');
SELECT world.fails($$UPDATE media.assets SET width = 100$$, 'ck_assets_dimensions');
SELECT world.fails($$UPDATE media.assets SET file_size_bytes = -1$$, 'ck_assets_file_size_bytes');
SELECT world.fails($$UPDATE media.assets SET duration_seconds = -1$$, 'ck_assets_duration_seconds');
SELECT world.fails($$UPDATE media.assets SET sha256 = '\x00'$$, 'ck_assets_sha256');
SELECT world.fails($$UPDATE media.assets SET uploaded_by = gen_random_uuid()$$, 'fk_assets_uploaded_by');
SELECT world.fails($$UPDATE media.assets SET original_filename = 'a/b'$$, 'ck_assets_original_filename');
SELECT world.fails($$UPDATE media.asset_variants SET variant_type = '8k'$$, 'ck_asset_variants_variant_type');
SELECT world.fails($$UPDATE media.asset_variants SET status = 'error'$$, 'ck_asset_variants_error');
SELECT world.fails($$UPDATE media.asset_variants SET object_key = NULL$$, 'ck_asset_variants_ready');
SELECT world.fails($$INSERT INTO media.asset_variants (asset_id, variant_type) VALUES (gen_random_uuid(), 'low')$$, 'fk_asset_variants_asset');
SELECT world.fails($$UPDATE media.transcode_jobs SET progress = 101$$, 'ck_transcode_jobs_progress');
SELECT world.fails($$UPDATE media.transcode_jobs SET status = 'paused'$$, 'ck_transcode_jobs_status');
SELECT world.fails($$UPDATE media.transcode_jobs SET status = 'running'$$, 'ck_transcode_jobs_started');
SELECT world.fails($$UPDATE media.transcode_jobs SET status = 'completed', started_at = now(), progress = 100$$, 'ck_transcode_jobs_completed');
SELECT world.fails($$UPDATE media.transcode_jobs SET status = 'completed', started_at = now(), completed_at = now()$$, 'ck_transcode_jobs_done');
SELECT world.fails($$INSERT INTO media.transcode_jobs (asset_id, kind) VALUES ('a0000000-0000-4000-8000-000000000002', 'transcode')$$, 'ck_transcode_jobs_variant');
SELECT world.fails($$UPDATE media.uploads SET expected_size_bytes = 0$$, 'ck_uploads_expected_size_bytes');
SELECT world.fails($$UPDATE media.uploads SET received_bytes = 1001$$, 'ck_uploads_received_bytes');
SELECT world.fails($$UPDATE media.uploads SET state = 'lost'$$, 'ck_uploads_state');
SELECT world.fails($$UPDATE media.uploads SET state = 'completed'$$, 'ck_uploads_completed');
SELECT world.fails($$UPDATE media.uploads SET parts = '{}'$$, 'ck_uploads_parts');
SELECT world.fails($$UPDATE media.uploads SET part_size_bytes = 5242880$$, 'ck_uploads_part_size');
SELECT world.fails($$UPDATE media.uploads SET mime_type = 'png'$$, 'ck_uploads_mime_type');
SELECT world.fails($$UPDATE media.uploads SET expires_at = created_at$$, 'ck_uploads_expires_at');
