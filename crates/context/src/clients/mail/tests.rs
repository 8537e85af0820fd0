use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::*;
use crate::Settings;

fn unset() -> settings::Mail {
    Settings::load_from([]).unwrap().mail
}

fn by_file(directory: &Path) -> Mailer {
    let directory = directory.display().to_string();
    Mailer::new(&settings::Mail { directory, ..unset() }).unwrap()
}

fn by_smtp(url: &str) -> anyhow::Result<Mailer> {
    let smtp_url = Some(url.into());
    Mailer::new(&settings::Mail { transport: MailTransport::Smtp, smtp_url, ..unset() })
}

fn mail() -> Mail {
    Mail {
        id: Uuid::from_u128(7),
        to: "Ada <ada@example.org>".to_owned(),
        subject: "Your course".to_owned(),
        text: "It starts on Monday.".to_owned(),
        html: Some("<p>It starts on <b>Monday</b>.</p>".to_owned()),
    }
}

#[tokio::test]
async fn a_mail_sent_twice_is_one_file() {
    let directory = TempDir::new().unwrap();
    let mailer = by_file(&directory.path().join("made/when/missing"));
    mailer.check().await.unwrap();
    mailer.send(&mail()).await.unwrap();
    mailer.send(&mail()).await.unwrap();

    let files = std::fs::read_dir(directory.path().join("made/when/missing")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with("00000000-0000-0000-0000-000000000007.eml"));
    let text = std::fs::read_to_string(&files[0]).unwrap();
    for part in [
        "Message-ID: <00000000-0000-0000-0000-000000000007@localhost>\r\n",
        "From: Beadle <beadle@localhost>\r\n",
        "To: Ada <ada@example.org>\r\n",
        "Subject: Your course\r\n",
        "It starts on Monday.",
        "<p>It starts on <b>Monday</b>.</p>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mailer = by_file(&file);
    let expected = format!("write mail into {} (`mail.directory`): ", file.display());
    for error in [mailer.check().await.unwrap_err(), mailer.send(&mail()).await.unwrap_err()] {
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
    }
}

#[tokio::test]
async fn mail_that_is_not_configured_says_so_when_it_is_used() {
    let mailer = Mailer::new(&unset()).unwrap();
    let expected = "mail is not configured: set `mail.directory`";
    assert_eq!(mailer.send(&mail()).await.unwrap_err().to_string(), expected);
    let smtp = settings::Mail { transport: MailTransport::Smtp, ..unset() };
    let expected = "mail is not configured: set `mail.smtp_url`";
    assert_eq!(Mailer::new(&smtp).unwrap().check().await.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let settings = settings::Mail { from: "nobody".to_owned(), ..unset() };
    let error = format!("{:#}", Mailer::new(&settings).err().unwrap());
    assert!(error.starts_with("read `mail.from`: `nobody` is not a mail address: "), "{error}");

    let directory = TempDir::new().unwrap();
    let injected = "ada@example.org\r\nBcc: eve@example.org".to_owned();
    let mail = Mail { to: injected, ..mail() };
    let error = by_file(directory.path()).send(&mail).await.unwrap_err();
    assert!(error.to_string().starts_with("read the receiver's address"), "{error:#}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_line_break_in_a_subject_adds_no_header() {
    let directory = TempDir::new().unwrap();
    let subject = "Hello\r\nBcc: eve@example.org".to_owned();
    by_file(directory.path()).send(&Mail { subject, ..mail() }).await.unwrap();
    let path = directory.path().join("00000000-0000-0000-0000-000000000007.eml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
}

#[tokio::test]
async fn an_smtp_server_gets_the_mail() {
    let (address, mut received) = simulated_smtp_server("250 taken").await;
    let mailer = by_smtp(&format!("smtp://{address}")).unwrap();
    mailer.check().await.unwrap();
    mailer.send(&mail()).await.unwrap();
    let received = received.recv().await.unwrap();
    assert!(received.contains("MAIL FROM:<beadle@localhost>"), "{received}");
    assert!(received.contains("RCPT TO:<ada@example.org>"), "{received}");
    assert!(received.contains("Subject: Your course"), "{received}");
}

#[tokio::test]
async fn what_an_smtp_server_refuses_is_an_error_with_its_words() {
    let (address, _received) = simulated_smtp_server("550 mailbox full").await;
    let mailer = by_smtp(&format!("smtp://{address}")).unwrap();
    let error = format!("{:#}", mailer.send(&mail()).await.unwrap_err());
    assert!(error.starts_with("hand mail to the SMTP server: "), "{error}");
    assert!(error.contains("mailbox full"), "{error}");
}

#[tokio::test]
async fn an_smtp_server_that_is_not_there_is_an_error_without_the_password() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mailer = by_smtp(&format!("smtp://user:hunter2@{address}")).unwrap();
    let error = format!("{:#}", mailer.check().await.unwrap_err());
    assert!(error.starts_with("reach the SMTP server; "), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_url_that_would_show_its_password_or_is_none_is_refused() {
    let refusal = |url: &str| format!("{:#}", by_smtp(url).err().expect(url));
    let in_the_clear = "`mail.smtp_url` would send its password unencrypted; \
                        use smtps://, or add ?tls=required";
    for url in [
        "smtp://user:hunter2@mail.example.org",
        "smtp://user:hunter2@mail.example.org?tls=opportunistic",
        "SMTP://user:hunter2@mail.example.org",
        "smtp://user:hunter2@mail.example.org?x=tls=required",
        "smtp://user:hunter2@localhost.example.org:25",
    ] {
        assert_eq!(refusal(url), in_the_clear);
    }
    let broken = refusal("http://user:hunter2@mail.example.org");
    assert!(broken.starts_with("`mail.smtp_url` must look like smtps://"), "{broken}");
    assert!(!broken.contains("hunter2"), "{broken}");
    for url in [
        "smtps://user:hunter2@mail.example.org",
        "smtp://user:hunter2@mail.example.org?tls=required",
        "smtp://user:hunter2@localhost:25",
        "smtp://mail.example.org",
    ] {
        assert!(by_smtp(url).is_ok(), "{url}");
    }
}

/// Speaks as much SMTP as a client needs, answers each mail with `verdict`, and passes on what it
/// heard.
async fn simulated_smtp_server(verdict: &'static str) -> (SocketAddr, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, verdict, sender.clone()));
        }
    });
    (address, receiver)
}

async fn converse(mut stream: TcpStream, verdict: &str, heard: UnboundedSender<String>) {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let (mut said, mut in_body) = (String::new(), false);
    writer.write_all(b"220 simulated\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        said.push_str(&line);
        said.push('\n');
        let answer = match (in_body, line.as_str()) {
            (true, ".") => {
                in_body = false;
                heard.send(std::mem::take(&mut said)).unwrap();
                verdict
            }
            (true, _) => continue,
            (false, "DATA") => {
                in_body = true;
                "354 go on"
            }
            (false, "QUIT") => "221 bye",
            (false, _) => "250 fine",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
    }
}
