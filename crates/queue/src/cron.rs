//! When a schedule ticks: cron expressions in a time zone, with clock changes defined.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

use crate::Error;

/// A parsed expression and its zone.
///
/// When a clock change skips a reading that should tick, the tick happens once, right after the
/// skipped stretch. When it repeats a reading, what the hour field says decides:
/// - hours by number (`3`, `2,14`) are times of the day, and tick once, the first time;
/// - `*`, ranges and steps (`*`, `*/2`, `8-18`) are intervals, and tick both times: otherwise an
///   expression such as `*/5 * * * *` would be silent for an hour.
#[derive(Clone, Debug)]
pub struct Cron {
    expression: String,
    zone: Tz,
    schedule: cron::Schedule,
    repeats: bool,
}

impl Cron {
    /// Five fields: minute, hour, day of month, month, day of week (0 or 7 is Sunday).
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, Error> {
        let (schedule, repeats) = parse(expression)
            .map_err(|reason| Error::BadCron { expression: expression.to_owned(), reason })?;
        Ok(Self { expression: expression.to_owned(), zone, schedule, repeats })
    }

    pub fn expression(&self) -> &str {
        &self.expression
    }

    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The ticks after `at`; they end when the calendar has no such day any more.
    pub fn ticks_after(&self, at: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next_after(at), |tick| self.next_after(*tick))
    }

    /// The first tick after `at`.
    ///
    /// The expression is evaluated on the wall clock, as if it never changed; each reading of it is
    /// then placed in real time.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = at.with_timezone(&self.zone).naive_local();
        let next = self.readings_after(wall);
        let next = next.filter_map(|reading| self.first(reading)).find(|tick| *tick > at);
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Ambiguous(first, second) if self.repeats => {
                let again = self.readings_after(wall - (second - first));
                let again = again.filter_map(|reading| self.last(reading)).find(|tick| *tick > at);
                next.into_iter().chain(again).min()
            }
            _ => next,
        }
    }

    fn readings_after(&self, wall: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> + '_ {
        self.schedule.after(&wall.and_utc()).map(|reading| reading.naive_utc())
    }

    /// When the clock first shows `reading`, or would have if it had not been set forward.
    fn first(&self, reading: NaiveDateTime) -> Option<DateTime<Utc>> {
        let shown = self.zone.from_local_datetime(&reading).earliest();
        let shown = shown.or_else(|| GapInfo::new(&reading, &self.zone)?.end);
        shown.map(|time| time.with_timezone(&Utc))
    }

    fn last(&self, reading: NaiveDateTime) -> Option<DateTime<Utc>> {
        let shown = self.zone.from_local_datetime(&reading).latest();
        shown.map(|time| time.with_timezone(&Utc))
    }
}

/// The schedule, and whether its hours are an interval.
fn parse(expression: &str) -> Result<(cron::Schedule, bool), String> {
    let fields: Vec<_> = expression.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(format!("five fields are needed, {} are given", fields.len()));
    };
    if !matches!(day, "*" | "?") && !matches!(weekday, "*" | "?") {
        return Err("restrict the day of the month or the day of the week, not both".into());
    }
    let weekday = weekdays(weekday)?;
    let schedule = cron::Schedule::from_str(&format!("0 {minute} {hour} {day} {month} {weekday}"))
        .map_err(|error| error.to_string())?;
    // An expression is checked against a whole cycle of leap years.
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(365 * 55);
    schedule.after(&start).next().ok_or("it never ticks")?;
    Ok((schedule, hour.contains(['*', '?', '-', '/'])))
}

/// The `cron` crate counts days from 1 on Sunday; everybody else counts from 0.
fn weekdays(field: &str) -> Result<String, String> {
    if matches!(field, "*" | "?") {
        return Ok("*".into());
    }
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or("bad step")?;
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if range == "*" => (0, 6),
            None if part.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        if first > last {
            return Err(format!("the range {range} runs backwards"));
        }
        days.extend((first..=last).step_by(step).map(|day| day % 7 + 1));
    }
    Ok(days.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

fn weekday(text: &str) -> Result<usize, String> {
    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let named = NAMES.iter().position(|name| text.eq_ignore_ascii_case(name));
    named
        .or_else(|| text.parse().ok().filter(|day| *day <= 7))
        .ok_or_else(|| format!("{text:?} is no day of the week"))
}

#[cfg(test)]
mod zones;

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(expression: &str, zone: Tz, from: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(expression, zone).unwrap();
        let ticks = cron.ticks_after(from.parse().unwrap()).take(count);
        ticks.map(|tick| tick.format("%Y-%m-%dT%H:%MZ").to_string()).collect()
    }

    #[test]
    fn a_daily_expression_ticks_daily() {
        let ticks = ticks("10 3 * * *", Tz::UTC, "2025-03-01T03:10:00Z", 2);
        assert_eq!(ticks, ["2025-03-02T03:10Z", "2025-03-03T03:10Z"]);
    }

    #[test]
    fn days_of_the_week_count_from_sunday_as_zero_or_seven() {
        // 2 March 2025 was a Sunday.
        for (field, first) in [("0", "02"), ("7", "02"), ("sun", "02"), ("1", "03"), ("6", "08")] {
            let expression = format!("0 0 * * {field}");
            let ticks = ticks(&expression, Tz::UTC, "2025-03-01T00:00:00Z", 1);
            assert_eq!(ticks, [format!("2025-03-{first}T00:00Z")], "{field}");
        }
        let weekdays = ticks("0 0 * * mon-fri", Tz::UTC, "2025-03-06T12:00:00Z", 2);
        assert_eq!(weekdays, ["2025-03-07T00:00Z", "2025-03-10T00:00Z"]);
    }

    #[test]
    fn a_tick_in_a_skipped_hour_happens_once_right_after_it() {
        // In Paris 02:00 to 03:00 did not exist on 30 March 2025; 03:00 there was 01:00 UTC.
        let ticks = ticks("30 2 * * *", Tz::Europe__Paris, "2025-03-29T12:00:00Z", 2);
        assert_eq!(ticks, ["2025-03-30T01:00Z", "2025-03-31T00:30Z"]);
    }

    #[test]
    fn a_time_of_the_day_in_a_repeated_hour_ticks_once() {
        // In Paris 02:00 to 03:00 came twice on 26 October 2025.
        let ticks = ticks("30 2 * * *", Tz::Europe__Paris, "2025-10-25T12:00:00Z", 2);
        assert_eq!(ticks, ["2025-10-26T00:30Z", "2025-10-27T01:30Z"]);
    }

    #[test]
    fn an_interval_ticks_through_a_repeated_hour() {
        let from = "2025-10-26T00:00:00Z";
        let ticks = ticks("0,30 * * * *", Tz::Europe__Paris, from, 4);
        assert_eq!(ticks, ["00:30", "01:00", "01:30", "02:00"].map(|t| format!("2025-10-26T{t}Z")));
    }

    #[test]
    fn expressions_that_cannot_be_meant_are_refused_with_a_reason() {
        for (expression, reason) in [
            ("* * * *", "five fields"),
            ("0 0 0 1 1 *", "five fields"),
            ("0 0 1 * mon", "not both"),
            ("61 * * * *", "61"),
            ("0 0 * * 8", "no day of the week"),
            ("0 0 * * fri-mon", "backwards"),
            ("0 0 30 2 *", "never ticks"),
        ] {
            let error = Cron::parse(expression, Tz::UTC).unwrap_err().to_string();
            assert!(error.contains(reason), "{expression}: {error}");
        }
    }
}
