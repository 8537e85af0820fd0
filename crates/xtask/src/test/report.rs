//! What is said about the checks while they run, and at the end.

use std::time::{Duration, Instant};

use super::tally::Tally;

#[derive(Default)]
pub struct Report {
    tally: Tally,
    steps: Vec<Step>,
}

struct Step {
    title: String,
    took: Duration,
    passed: bool,
}

impl Report {
    /// Runs one check under its title.
    pub async fn step<T>(
        &mut self,
        title: &str,
        work: impl AsyncFnOnce(&mut Tally) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        println!("== {title}");
        let started = Instant::now();
        let result = work(&mut self.tally).await;
        let took = started.elapsed();
        println!("== {title}: {:.1} s", took.as_secs_f64());
        self.steps.push(Step { title: title.to_owned(), took, passed: result.is_ok() });
        result
    }

    /// Prints the summary, the count of tests as the last line.
    pub fn print(&self, failed: bool) {
        println!("\n{}", self.summary(failed));
    }

    fn summary(&self, failed: bool) -> String {
        let mut lines = Vec::new();
        for Step { title, took, passed } in &self.steps {
            let mark = if *passed { "ok    " } else { "FAILED" };
            lines.push(format!("{mark} {:>7.1} s  {title}", took.as_secs_f64()));
        }
        lines.extend(self.tally.failures.iter().map(|name| format!("FAILED test {name}")));
        let Tally { passed, failed: tests_failed, skipped, failures, .. } = &self.tally;
        // A program that was cut short has named failures but not counted them, and a failure
        // outside of the tests must not look like a pass.
        let failures = (*tests_failed).max(failures.len() as u64).max(u64::from(failed));
        let skipped = match skipped {
            0 => String::new(),
            count => format!(", {count} skipped"),
        };
        lines.push(format!("{passed} passed, {failures} failed{skipped}"));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tally: Tally) -> Report {
        let (title, took) = ("lint".to_owned(), Duration::from_millis(1500));
        Report { tally, steps: vec![Step { title, took, passed: false }] }
    }

    #[test]
    fn the_last_line_counts_the_tests() {
        let failures = vec!["a::b".to_owned()];
        let tally = Tally { passed: 7, failed: 1, skipped: 2, failures, ..Tally::default() };
        let summary = report(tally).summary(true);
        assert_eq!(
            summary,
            "FAILED     1.5 s  lint\nFAILED test a::b\n7 passed, 1 failed, 2 skipped"
        );
        assert!(
            report(Tally { passed: 7, ..Tally::default() })
                .summary(false)
                .ends_with("\n7 passed, 0 failed")
        );
    }

    #[test]
    fn a_check_that_fails_before_any_test_is_counted() {
        assert!(report(Tally::default()).summary(true).ends_with("\n0 passed, 1 failed"));
    }
}
