//! A context for tests: a database of its own, a fixed time, mail into a temporary directory.

use std::{ops::Deref, sync::Arc};

use queue::testing::TestDatabase;
use tempfile::TempDir;

use crate::{Clock, Context, MIGRATOR, Mailer, Settings, Storage};

/// A [`Context`] together with what it stands on; all of it goes away with the value.
pub struct TestContext {
    context: Context,
    pub database: TestDatabase,
    mail_directory: TempDir,
}

impl Context {
    /// A migrated database on the server of `DATABASE_URL`, at a time such as
    /// `2025-03-01T00:00:00Z`. Object storage is not configured.
    pub async fn for_test(now: &str) -> TestContext {
        let now = now.parse().expect("the time of a test is written in RFC 3339");
        let database = queue::testing::database(&MIGRATOR).await;
        let mail_directory = TempDir::new().expect("a temporary directory for mail");
        let mut settings = Settings::load_from([]).expect("the defaults are valid");
        settings.database.url = Some(database.url().into());
        settings.database.pooled = queue::testing::is_pooled();
        settings.mail.directory = mail_directory.path().display().to_string();
        let context = Context {
            pool: database.pool.clone(),
            clock: Clock::fixed(now),
            storage: Storage::new(&settings.storage).expect("storage may be left out"),
            mail: Mailer::new(&settings.mail).expect("a directory is enough for mail"),
            settings: Arc::new(settings),
        };
        TestContext { context, database, mail_directory }
    }
}

impl TestContext {
    /// The mails sent so far, as they went out, in the order of their names.
    pub fn sent_mails(&self) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.mail_directory.path()).expect("read the directory of mail");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read_to_string(path).expect("read a mail")).collect()
    }
}

impl Deref for TestContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use crate::{Context, clients::mail::Mail};

    #[tokio::test]
    async fn a_test_has_its_own_time_database_and_mail() -> anyhow::Result<()> {
        let cx = Context::for_test("2025-03-01T00:00:00Z").await;
        let other = Context::for_test("2025-03-01T00:00:00Z").await;
        cx.clock.advance(Duration::from_secs(60));
        assert_eq!(cx.clock.now().to_rfc3339(), "2025-03-01T00:01:00+00:00");
        sqlx::raw_sql("CREATE TABLE mine ()").execute(&cx.pool).await?;
        sqlx::raw_sql("CREATE TABLE mine ()").execute(&other.pool).await?;

        let mail = Mail {
            id: Uuid::from_u128(1),
            to: "ada@example.org".to_owned(),
            subject: "Hello".to_owned(),
            text: "Hello Ada".to_owned(),
            html: None,
        };
        cx.mail.send(&mail).await?;
        assert!(cx.sent_mails()[0].contains("Hello Ada"));
        assert_eq!(other.sent_mails().len(), 0);
        Ok(())
    }
}
