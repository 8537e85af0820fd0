//! The promises about clock changes, in every zone from 2020 to 2040.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::Cron;

/// An expression, whether its hours are an interval, and the same in Rust.
type Case = (&'static str, bool, fn(NaiveDateTime) -> bool);

const CASES: [Case; 10] = [
    ("17 0 * * *", false, |wall| at(wall, 0, 17)),
    ("0 1 * * *", false, |wall| at(wall, 1, 0)),
    ("30 2 * * *", false, |wall| at(wall, 2, 30)),
    ("59 23 * * *", false, |wall| at(wall, 23, 59)),
    ("20 1,2,3 * * *", false, |wall| (1..=3).contains(&wall.hour()) && wall.minute() == 20),
    ("30 * * * *", true, |wall| wall.minute() == 30),
    ("0 */2 * * *", true, |wall| wall.hour() % 2 == 0 && wall.minute() == 0),
    ("*/15 * * * *", true, |wall| wall.minute() % 15 == 0),
    ("30 2 1 * *", false, |wall| at(wall, 2, 30) && wall.day() == 1),
    ("0 2 * * 0", false, |wall| at(wall, 2, 0) && wall.weekday().num_days_from_sunday() == 0),
];

fn at(wall: NaiveDateTime, hour: u32, minute: u32) -> bool {
    (wall.hour(), wall.minute()) == (hour, minute)
}

/// A moment at which a clock is set, and how far it was and is ahead of UTC, in minutes.
type Change = (DateTime<Utc>, i64, i64);

/// On each side of a change: more than a day, so that no day can be missed or doubled.
const NEAR: TimeDelta = TimeDelta::hours(26);

#[test]
fn around_every_clock_change_each_reading_ticks_as_promised() {
    // What happens around a change depends on nothing else, so zones that share one are one.
    let mut seen = BTreeSet::new();
    for zone in TZ_VARIANTS {
        let crons = CASES.map(|(expression, ..)| Cron::parse(expression, zone).unwrap());
        for change in changes(zone).into_iter().filter(|change| seen.insert(*change)) {
            let minutes = minutes(change);
            for (cron, (expression, repeats, matches)) in crons.iter().zip(CASES) {
                let expected = expected(&minutes, repeats, matches);
                let (from, to) = (change.0 - NEAR, change.0 + NEAR);
                let ticks: Vec<_> = cron.ticks_after(from).take_while(|tick| *tick < to).collect();
                assert_eq!(ticks, expected, "{expression} in {zone} around {}", change.0);
            }
        }
    }
    assert!(seen.len() > 1000, "only {} clock changes were found", seen.len());
}

#[test]
fn far_from_clock_changes_a_day_has_one_tick_at_its_reading() {
    for zone in TZ_VARIANTS {
        let cron = Cron::parse("10 12 * * *", zone).unwrap();
        for (year, month) in (2020..=2040).flat_map(|year| [(year, 1), (year, 6)]) {
            let from = Utc.with_ymd_and_hms(year, month, 15, 0, 0, 0).unwrap();
            let readings = cron.ticks_after(from).take(3);
            let readings: Vec<_> =
                readings.map(|tick| tick.with_timezone(&zone).naive_local()).collect();
            assert!(readings.iter().all(|wall| at(*wall, 12, 10)), "{zone}: {readings:?}");
            let days = readings.windows(2).map(|two| two[1].date() - two[0].date());
            assert!({ days }.all(|days| days.num_days() == 1), "{zone}: {readings:?}");
        }
    }
}

/// The minutes around a change, and what the clock then shows: from nothing but the offsets before
/// and after it.
fn minutes((change, before, after): Change) -> Vec<(DateTime<Utc>, NaiveDateTime)> {
    let minutes = 0..(NEAR * 2).num_minutes();
    let show = |minute| {
        let time = change - NEAR + TimeDelta::minutes(minute);
        let ahead = if time < change { before } else { after };
        (time, time.naive_utc() + TimeDelta::minutes(ahead))
    };
    minutes.map(show).collect()
}

fn expected(
    minutes: &[(DateTime<Utc>, NaiveDateTime)],
    repeats: bool,
    matches: fn(NaiveDateTime) -> bool,
) -> Vec<DateTime<Utc>> {
    let (mut ticks, mut shown) = (Vec::new(), minutes[0].1);
    for (time, wall) in &minutes[1..] {
        let again = *wall <= shown;
        let skipped = (1..(*wall - shown).num_minutes())
            .any(|minutes| matches(shown + TimeDelta::minutes(minutes)));
        if skipped || matches(*wall) && (repeats || !again) {
            ticks.push(*time);
        }
        shown = shown.max(*wall);
    }
    ticks
}

fn changes(zone: Tz) -> Vec<Change> {
    // No zone changes its clock and changes it back within a stretch of this length.
    const STRETCH: TimeDelta = TimeDelta::days(6);
    let start = Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap();
    let starts = (0..21 * 366 / 6).map(|n| start + STRETCH * n);
    let ahead = |time: DateTime<Utc>| {
        i64::from(zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())
    };
    let changed = starts.filter(|start| ahead(*start) != ahead(*start + STRETCH));
    let find = |mut before: DateTime<Utc>| {
        let mut after = before + STRETCH;
        let (was, is) = (ahead(before), ahead(after));
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if ahead(middle) == was { before = middle } else { after = middle }
        }
        assert!(was % 60 == 0 && is % 60 == 0, "{zone} is not at a whole minute");
        (after, was / 60, is / 60)
    };
    changed.map(find).collect()
}
