use std::{fs, os::unix::fs::PermissionsExt as _};

use embedded::{Error, Home};

use crate::Place;

#[test]
fn a_second_owner_is_refused_and_told_who_owns_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    let first = place.open()?;
    let error = place.open().unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
    assert!(message.contains(&first.path().display().to_string()), "{message}");
    assert!(message.contains("BEADLE_HOME"), "{message}");
    let clone = first.clone();
    drop(first);
    place.open().unwrap_err();
    drop(clone);
    place.open()?;
    Ok(())
}

#[test]
fn a_home_is_made_where_there_is_none_and_keeps_secrets_to_itself() -> anyhow::Result<()> {
    let place = Place::new()?;
    let home = Home::open(Some(place.join("a/b")))?;
    for dir in [home.mail_dir(), home.storage_dir(), home.log_dir()] {
        assert!(dir.is_dir(), "{dir:?}");
    }
    let mode = fs::metadata(home.path().join("keys"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    Ok(())
}

#[test]
fn a_home_that_cannot_be_made_is_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    let file = place.join("file");
    fs::write(&file, "")?;
    let error = Home::open(Some(file.join("home"))).unwrap_err();
    assert!(error.to_string().contains(&file.join("home").display().to_string()), "{error}");
    Ok(())
}

#[test]
fn a_throwaway_home_is_gone_after_use_and_so_is_an_abandoned_one() -> anyhow::Result<()> {
    let first = Home::throwaway()?;
    let path = first.path().to_owned();
    // What a killed owner leaves: the directory, with a lock that nobody holds.
    let abandoned = path.with_file_name("beadle-throwaway-abandoned");
    fs::create_dir_all(&abandoned)?;
    fs::write(abandoned.join("lock"), "4194304\n")?;
    let second = Home::throwaway()?;
    assert!(!abandoned.exists());
    assert!(path.exists(), "one in use stays");
    drop((first, second));
    assert!(!path.exists());
    Ok(())
}
