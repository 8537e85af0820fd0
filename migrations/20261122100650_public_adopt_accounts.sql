-- Accounts that were there before this platform, as on a Supabase project in use, get profiles, settings and the role of a member.
-- Owner: crates/api. Locks: none. Undo: nothing; a profile is never deleted.

SELECT public.adopt_account(u.id, u.email::text, coalesce(u.raw_user_meta_data, '{}'))
FROM auth.users u
WHERE NOT EXISTS (SELECT FROM public.profiles p WHERE p.id = u.id)
ORDER BY u.created_at, u.id;
