//! Sends mail, or writes it into a directory.

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart, SinglePart},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::fs;
use uuid::Uuid;

use crate::settings::{self, MailTransport};

const SMTP_TIMEOUT: Duration = Duration::from_secs(15);

/// One mail to one person.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The same on every attempt: it becomes the Message-ID, by which receivers drop a twin.
    pub id: Uuid,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}

/// Sends mail by the transport of the settings. Without one, every call says so.
#[derive(Clone)]
pub struct Mailer {
    from: Mailbox,
    transport: Transport,
}

#[derive(Clone)]
enum Transport {
    Missing(&'static str),
    Directory(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

impl Mailer {
    pub fn new(settings: &settings::Mail) -> anyhow::Result<Mailer> {
        let from = mailbox(&settings.from).context("read `mail.from`")?;
        let transport = match (settings.transport, &settings.smtp_url) {
            (MailTransport::File, _) if settings.directory.is_empty() => {
                Transport::Missing("mail is not configured: set `mail.directory`")
            }
            (MailTransport::File, _) => Transport::Directory(PathBuf::from(&settings.directory)),
            (MailTransport::Smtp, None) => {
                Transport::Missing("mail is not configured: set `mail.smtp_url`")
            }
            (MailTransport::Smtp, Some(url)) => Transport::Smtp(smtp(url)?),
        };
        Ok(Mailer { from, transport })
    }

    /// Hands the mail over. With `file`, an attempt after the first writes the same file again.
    pub async fn send(&self, mail: &Mail) -> anyhow::Result<()> {
        let message = self.compose(mail)?;
        match &self.transport {
            Transport::Missing(reason) => anyhow::bail!(*reason),
            Transport::Directory(directory) => {
                let name = format!("{}.eml", mail.id);
                write(directory, &name, &message.formatted()).await
            }
            Transport::Smtp(smtp) => {
                smtp.send(message).await.context("hand mail to the SMTP server")?;
                Ok(())
            }
        }
    }

    /// Reaches the SMTP server, or writes into the directory.
    pub async fn check(&self) -> anyhow::Result<()> {
        match &self.transport {
            Transport::Missing(reason) => anyhow::bail!(*reason),
            Transport::Directory(directory) => {
                let name = format!(".check-{}", Uuid::new_v4());
                write(directory, &name, b"").await?;
                let path = directory.join(name);
                fs::remove_file(&path).await.with_context(|| format!("remove {}", path.display()))
            }
            Transport::Smtp(smtp) => {
                let alive = smtp.test_connection().await.context(
                    "reach the SMTP server; is it running, and is `mail.smtp_url` right?",
                )?;
                ensure!(alive, "the SMTP server closed the connection");
                Ok(())
            }
        }
    }

    fn compose(&self, mail: &Mail) -> anyhow::Result<Message> {
        let domain = self.from.email.domain();
        let builder = Message::builder()
            .message_id(Some(format!("<{}@{domain}>", mail.id)))
            .from(self.from.clone())
            .to(mailbox(&mail.to).context("read the receiver's address")?)
            .subject(&mail.subject);
        let text = mail.text.clone();
        let message = match mail.html.clone() {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, html)),
            None => builder.singlepart(SinglePart::plain(text)),
        };
        message.context("compose mail")
    }
}

fn mailbox(text: &str) -> anyhow::Result<Mailbox> {
    text.parse().with_context(|| format!("`{text}` is not a mail address"))
}

fn smtp(url: &SecretString) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    let url = url.expose_secret();
    ensure!(
        !sends_password_in_the_clear(url),
        "`mail.smtp_url` would send its password unencrypted; \
         use smtps://, or add ?tls=required"
    );
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
        .context("`mail.smtp_url` must look like smtps://user:password@host:465")?;
    Ok(transport.timeout(Some(SMTP_TIMEOUT)).build())
}

/// Between processes of one machine nobody listens in; anywhere else somebody may.
fn sends_password_in_the_clear(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if !scheme.eq_ignore_ascii_case("smtp") {
        return false;
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let Some((_, server)) = authority.rsplit_once('@') else { return false };
    let is_local = ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        server.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
    });
    !is_local && !rest.split(['?', '&']).any(|part| part == "tls=required")
}

/// Writes beside and renames, so that nobody reads half a mail.
async fn write(directory: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = directory.join(format!(".{}", Uuid::new_v4()));
    let written = async {
        fs::create_dir_all(directory).await?;
        fs::write(&partial, bytes).await?;
        fs::rename(&partial, directory.join(name)).await
    };
    let written = written.await;
    if written.is_err() {
        // Often there is nothing to remove; the error worth telling is the first one.
        let _ = fs::remove_file(&partial).await;
    }
    written.with_context(|| format!("write mail into {} (`mail.directory`)", directory.display()))
}
